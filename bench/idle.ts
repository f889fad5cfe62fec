import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchInstance } from './instance.ts';
import type { Measure } from './measure.ts';
import { roleOf, usageOf } from './processes.ts';

const settleMs = 15_000;
const watchMs = 20_000;
// Without these it is not the whole product that idles.
const roles = ['supervisor', 'server', 'node', 'operator', 'csi controller', 'csi node', 'mounter', 'broker'];

/** Memory and CPU of Holdfast's own processes, while a Ceph cluster runs and nobody asks for anything. */
export const idle: Measure = {
  name: 'idle',
  needs: 'ceph',
  async run({ instance, signal, note }) {
    await sleep(settleMs, undefined, { signal });
    const before = await usage(instance);
    const startedMs = Date.now();
    await sleep(watchMs, undefined, { signal });
    const after = await usage(instance);
    const wallMs = Date.now() - startedMs;

    const missing = roles.filter((role) => ![...after.values()].some((one) => one.role === role));
    if (missing.length > 0) throw new Error(`not running: ${missing.join(', ')}`);
    let pssKib = 0;
    let cpuMs = 0;
    for (const [pid, one] of after) {
      const used = one.cpuMs - (before.get(pid)?.cpuMs ?? 0);
      pssKib += one.pssKib;
      cpuMs += used;
      note(`${one.role}: ${(one.pssKib / 1024).toFixed(0)} MiB, ${((100 * used) / wallMs).toFixed(2)} %`);
    }
    return [
      {
        name: 'idle memory (PSS)',
        figure: (pssKib * 1024) / 1e6,
        unit: 'MB',
        budget: { most: 300 },
      },
      { name: 'idle CPU of one core', figure: (100 * cpuMs) / wallMs, unit: '%', budget: { most: 3 } },
    ];
  },
};

async function usage(instance: BenchInstance) {
  const found = new Map<number, { role: string; pssKib: number; cpuMs: number }>();
  for (const one of await instance.processes()) {
    const role = roleOf(one);
    if (role) found.set(one.pid, { role, ...(await usageOf(one.pid)) });
  }
  return found;
}
