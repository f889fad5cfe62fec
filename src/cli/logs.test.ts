import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../lib/clock.ts';
import { createInstance, type InstanceChoices } from '../standalone/instance.ts';
import type { CliContext } from './context.ts';
import { logs } from './logs.ts';

const choices: InstanceChoices = {
  apiPort: 6443,
  etcdPort: 2379,
  etcdPeerPort: 2380,
  serviceCidr: '10.1.0.0/16',
  podCidr: '10.2.0.0/16',
  fabricCidr: '10.3.0.0/24',
  nodes: [{ name: 'node1', disks: 0, diskSizeBytes: 0 }],
};

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'logs-'));
});
afterEach(() => rm(dataDir, { recursive: true }));

/** What `holdfast logs` prints. */
async function printed(process?: string): Promise<string> {
  let text = '';
  const context: CliContext = {
    dataDir,
    cacheDir: '/nowhere',
    claimsDir: '',
    dist: '/nowhere',
    node: '/nowhere',
    env: {},
    screen: { write: (part) => void (text += part), isTerminal: false, width: 80 },
    clock: systemClock,
    signal: new AbortController().signal,
  };
  await logs(context, process, {});
  return text;
}

async function instanceWithLogs(...files: readonly string[]): Promise<void> {
  await createInstance(dataDir, choices, 0);
  for (const file of files) {
    await mkdir(dirname(join(dataDir, file)), { recursive: true });
    await writeFile(join(dataDir, file), `from ${file}\n`);
  }
}

test('a process has the name that status shows; an agent is found by the name of its node, too', async () => {
  await instanceWithLogs('log/etcd.log', 'nodes/node1/init.log', 'nodes/node1/log/node.log');
  expect((await printed()).split('\n').map((line) => line.split(' ')[0])).toEqual([
    'etcd',
    'node1-init',
    'node1-agent',
    '',
  ]);
  expect(await printed('node1-agent')).toBe('from nodes/node1/log/node.log\n');
  expect(await printed('node1')).toBe('from nodes/node1/log/node.log\n');
  await expect(printed('node2')).rejects.toThrow('no log of node2; there are: etcd, node1-init, node1-agent');
});
