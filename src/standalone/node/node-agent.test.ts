import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { startTestClient } from '../../../test/support/test-client.ts';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { NodeConfig } from '../config.ts';
import { nodeAgent } from './node-agent.ts';

const { signal } = new AbortController();
const config = {
  nodeName: 'node1',
  nodeIp: '10.245.0.11',
  podCidr: '10.244.0.0/24',
  kubeletRoot: tmpdir(),
} as NodeConfig;
const info = {
  kernelVersion: '6.1',
  osImage: 'Debian 12',
  runtimeVersion: 'containerd://1.6',
  machineId: 'm',
  systemUuid: 'm',
  bootId: 'b',
};
const capacity = { milliCpu: 2000n, memoryBytes: 8n << 30n, ephemeralStorageBytes: 1n << 40n };

test('a new node says at once what it has, and the version of its server', async () => {
  const client = await startTestClient();
  const agent = nodeAgent({
    client,
    config,
    facts: { capacity, info },
    clock: virtualClock(),
    log: silentLogger,
    notReady: () => 'the container runtime was not asked yet',
    volumesInUse: () => [],
  });
  const node = await agent.register(signal);
  expect(node.status?.allocatable).toMatchObject({ cpu: '2', memory: '8388608Ki', pods: '250' });
  expect(node.status?.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
    status: 'False',
    message: 'the container runtime was not asked yet',
  });
  const version = await client.request({ method: 'GET', path: '/version' }, { signal });
  expect(node.status?.nodeInfo?.kubeletVersion).toBe((version as { gitVersion: string }).gitVersion);
});
