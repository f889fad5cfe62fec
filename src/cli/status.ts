import type { Node, Pod } from 'kubernetes-types/core/v1.js';
import { Nodes, Pods } from '../api/core.ts';
import { hasCondition } from '../control/conditions.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { layout, type Layout } from '../standalone/layout.ts';
import type { UnitState } from '../standalone/supervisor/control-socket.ts';
import { supervisorStatus } from '../standalone/supervisor/start-supervisor.ts';
import { recordedProcesses } from '../standalone/supervisor/unit.ts';
import { command, type CliContext } from './context.ts';
import { findInstance, noInstance } from './find-instance.ts';
import { CephClusters, describeStorage } from './storage-kinds.ts';
import { formatTable } from './table.ts';

const callTimeoutMs = 3000;

/** `holdfast status`. Exit code 0 where everything runs, 3 where something does not, 4 where nothing is there. */
export async function status(context: CliContext): Promise<number> {
  const { dataDir, screen, clock } = context;
  const instance = await findInstance(dataDir);
  if (!instance) {
    screen.write(`${noInstance(dataDir)}\n`);
    return 4;
  }
  const places = layout(dataDir);
  const supervisor = await supervisorStatus(places);
  if (!supervisor) {
    screen.write(`instance ${instance.config.id} in ${dataDir} ${await without(places, dataDir)}\n`);
    return 3;
  }
  screen.write(
    `instance    ${instance.config.id} in ${dataDir}, release ${supervisor.release}${supervisor.stopping ? ', stopping' : ''}\n`,
  );
  screen.write(`kubeconfig  ${places.kubeconfig}\n\n`);
  const rows = supervisor.units.map((unit) => processRow(unit, clock.now()));
  screen.write(`${formatTable(['PROCESS', 'STATE', 'PID', 'FOR', 'RESTARTS', 'MESSAGE'], rows)}\n`);
  const { lines, answers } = await clusterLines(places.kubeconfig, context);
  for (const line of lines) screen.write(`${line}\n`);
  return answers && supervisor.units.every((unit) => unit.phase === 'running') ? 0 : 3;
}

/** What is true while no supervisor answers: all is down, or it alone was killed. */
async function without(places: Layout, dataDir: string): Promise<string> {
  const running = await recordedProcesses(places.records);
  if (running.length === 0) return `is down; ${command('up', dataDir)} starts it, its data is kept`;
  return `has no supervisor, but ${running.join(', ')} still run; ${command('up', dataDir)} takes them up again`;
}

function processRow(unit: UnitState, nowMs: number): string[] {
  const seconds = Math.max(0, Math.round((nowMs - unit.sinceMs) / 1000));
  const age =
    seconds < 120
      ? `${seconds}s`
      : seconds < 7200
        ? `${Math.floor(seconds / 60)}m`
        : `${Math.floor(seconds / 3600)}h`;
  return [unit.name, unit.phase, String(unit.pid ?? '-'), age, String(unit.restarts), unit.message ?? ''];
}

async function clusterLines(
  kubeconfig: string,
  { clock, signal, dataDir }: CliContext,
): Promise<{ readonly lines: readonly string[]; readonly answers: boolean }> {
  const client = createKubeClient(await loadKubeConfig(kubeconfig), { clock });
  const options = { signal, timeoutMs: callTimeoutMs };
  try {
    const nodes = (await client.list(Nodes, {}, options)).items;
    const pods = (await client.list(Pods, {}, options)).items;
    const isReady = ({ status: now }: Node | Pod) => hasCondition(now?.conditions, 'Ready');
    const running = pods.filter((pod) => pod.status?.phase === 'Running');
    const clusters = await client.list(CephClusters, {}, options).catch(() => ({ items: [] }));
    const lines = [
      '',
      `nodes       ${nodes.filter(isReady).length} of ${nodes.length} Ready`,
      `pods        ${running.filter(isReady).length} of ${running.length} running ones ready, ${pods.length} in all`,
      ...clusters.items.map((cluster) => {
        const { namespace, name } = cluster.metadata;
        return `ceph        ${namespace}/${name}: ${describeStorage(cluster) || 'no status yet'}`;
      }),
    ];
    return { lines, answers: true };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const logs = command('logs', dataDir);
    return { lines: ['', `the API does not answer: ${why}; ${logs} server says more`], answers: false };
  } finally {
    await client.close();
  }
}
