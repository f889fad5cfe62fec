import { Nodes, Pods } from '../api/core.ts';
import { resource, type KubeObject } from '../api/resource.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { createKubeClient } from '../kube/undici-client.ts';
import { readInstance } from '../standalone/instance.ts';
import { layout } from '../standalone/layout.ts';
import type { UnitState } from '../standalone/supervisor/control-socket.ts';
import { supervisorStatus } from '../standalone/supervisor/start-supervisor.ts';
import type { CliContext } from './context.ts';
import { formatTable } from './table.ts';

interface Cluster extends KubeObject {
  status?: {
    phase?: string;
    message?: string;
    ceph?: { health?: string; capacity?: { bytesTotal?: number; bytesUsed?: number } };
  };
}

const CephClusters = resource<Cluster>('ceph.rook.io', 'v1', 'CephCluster', 'cephclusters');
const callTimeoutMs = 3000;

/** `holdfast status`. Exit code 0 where everything runs, 3 where something does not, 4 where nothing is there. */
export async function status(context: CliContext): Promise<number> {
  const { dataDir, screen, clock } = context;
  const instance = await readInstance(dataDir);
  if (!instance) {
    screen.write(`no instance in ${dataDir}; holdfast up makes one\n`);
    return 4;
  }
  const places = layout(dataDir);
  const supervisor = await supervisorStatus(places);
  if (!supervisor) {
    screen.write(
      `instance ${instance.config.id} in ${dataDir} is down; holdfast up starts it, its data is kept\n`,
    );
    return 3;
  }
  screen.write(`instance    ${instance.config.id} in ${dataDir}, release ${supervisor.release}\n`);
  screen.write(`kubeconfig  ${places.kubeconfig}\n\n`);
  const rows = supervisor.units.map((unit) => processRow(unit, clock.now()));
  screen.write(`${formatTable(['PROCESS', 'STATE', 'PID', 'FOR', 'RESTARTS', 'MESSAGE'], rows)}\n`);
  const whole = await clusterLines(places.kubeconfig, context);
  for (const line of whole) screen.write(`${line}\n`);
  return supervisor.units.every((unit) => unit.phase === 'running') ? 0 : 3;
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

async function clusterLines(kubeconfig: string, { clock, signal }: CliContext): Promise<string[]> {
  const client = createKubeClient(await loadKubeConfig(kubeconfig), { clock });
  const options = { signal, timeoutMs: callTimeoutMs };
  try {
    const nodes = (await client.list(Nodes, {}, options)).items;
    const pods = (await client.list(Pods, {}, options)).items;
    const isReady = (object: { status?: { conditions?: { type: string; status: string }[] } }) =>
      object.status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false;
    const running = pods.filter((pod) => pod.status?.phase === 'Running');
    const clusters = await client.list(CephClusters, {}, options).catch(() => ({ items: [] }));
    return [
      '',
      `nodes       ${nodes.filter(isReady).length} of ${nodes.length} Ready`,
      `pods        ${running.filter(isReady).length} of ${running.length} running ones ready, ${pods.length} in all`,
      ...clusters.items.map(({ metadata, status: now }) => {
        const parts = [now?.phase, now?.ceph?.health, now?.message].filter((part) => part);
        return `ceph        ${metadata.namespace}/${metadata.name}: ${parts.join(', ') || 'no status yet'}`;
      }),
    ];
  } catch (error) {
    return ['', `the API does not answer: ${error instanceof Error ? error.message : String(error)}`];
  } finally {
    await client.close();
  }
}
