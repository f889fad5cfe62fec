import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { loadKubeConfig } from '../../src/kube/kubeconfig.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { createKubeClient } from '../../src/kube/undici-client.ts';

const root = resolve(import.meta.dirname, '../..');
/** The bundle that is tested: the built one, or another folder's, where several are built at once. */
export const bundle = join(process.env['HOLDFAST_TEST_DIST'] ?? join(root, 'dist'), 'holdfast.mjs');
export const examples = join(root, 'examples');

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end, whatever its exit code. */
export async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = spawn(file, args, {
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 180_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (part: Buffer) => (stdout += part.toString()));
  child.stderr?.on('data', (part: Buffer) => (stderr += part.toString()));
  child.stdin?.end(options.input);
  const code = await new Promise<number>((done, fail) => {
    child.once('error', fail);
    child.once('close', (status) => done(status ?? -1));
  });
  return { code, stdout, stderr };
}

export interface StandaloneInstance {
  readonly dataDir: string;
  readonly kubeconfig: string;
  /** `holdfast <verb> --data-dir ...`, whatever its exit code. */
  holdfast(verb: string, ...args: string[]): Promise<Outcome>;
  /** kubectl against the instance; throws where it fails. */
  kubectl(...args: string[]): Promise<string>;
  /** The same, whatever its exit code, with something on stdin. */
  kubectlOutcome(args: readonly string[], input?: string): Promise<Outcome>;
  client(): Promise<KubeClient>;
  /** The pid that the supervisor recorded for one of its units. */
  pidOf(unit: string): Promise<number>;
  /** Takes everything down and away. */
  purge(): Promise<void>;
}

/** An instance of its own, through the built bundle as a person runs it. `up` is left to the test. */
export function standaloneInstance(dataDir: string): StandaloneInstance {
  const kubeconfig = join(dataDir, 'kubeconfig');
  const holdfast = (verb: string, ...args: string[]) =>
    run(process.execPath, [bundle, verb, '--data-dir', dataDir, ...args]);
  const kubectlOutcome = (args: readonly string[], input?: string) =>
    run(process.execPath, [bundle, 'kubectl', ...args], {
      env: { HOLDFAST_DATA_DIR: dataDir },
      ...(input === undefined ? {} : { input }),
    });
  return {
    dataDir,
    kubeconfig,
    holdfast,
    kubectlOutcome,
    async kubectl(...args) {
      const { code, stdout, stderr } = await kubectlOutcome(args);
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr}`);
      return stdout;
    },
    client: async () => createKubeClient(await loadKubeConfig(kubeconfig)),
    async pidOf(unit) {
      const text = await readFile(join(dataDir, 'run/units', `${unit}.json`), 'utf8');
      return (JSON.parse(text) as { identity: { pid: number } }).identity.pid;
    },
    async purge() {
      const { code, stderr } = await holdfast('down', '--purge');
      if (code !== 0) throw new Error(`down --purge ended with ${code}: ${stderr}`);
    },
  };
}
