import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { ProcessIdentity } from '../../lib/process-identity.ts';
import { endProcess } from '../../lib/detached-process.ts';
import { importImage, importedImages, startContainerd } from '../machine/containerd.ts';
import { startFabric, stopFabric, type FabricSpec } from '../machine/fabric.ts';
import { spawnInNode, startNode, stopNode, type NodeSpec } from '../machine/virtual-node.ts';
import type { Unit } from './unit.ts';

/** How a unit finds another's process: the supervisor knows. */
export type FindProcess = (unit: string) => ProcessIdentity;

export function fabricUnit(spec: FabricSpec, treeHash: string, clock: Clock): Unit {
  return {
    name: 'fabric',
    needs: [],
    version: treeHash,
    logFiles: [spec.logFile],
    start: (signal, spawned) => startFabric(spec, { clock, signal }, spawned),
    stop: (identity, signal) => stopFabric(spec, identity, signal),
  };
}

export interface NodeUnitsOptions {
  readonly spec: NodeSpec;
  readonly treeHash: string;
  readonly release: string;
  readonly clock: Clock;
  readonly processOf: FindProcess;
}

const imagesFolder = 'images';

/** A virtual node, its containerd, and the kubelet's part: three units, for they fail apart. */
export function nodeUnits({ spec, treeHash, release, clock, processOf }: NodeUnitsOptions): Unit[] {
  const init = `${spec.name}-init`;
  const containerd = `${spec.name}-containerd`;
  const agent = `${spec.name}-agent`;
  const agentLog = join(spec.folder, 'log', 'node.log');
  return [
    {
      name: init,
      needs: ['fabric'],
      version: `${treeHash} ${spec.disks}`,
      logFiles: [join(spec.folder, 'init.log')],
      async start(signal, spawned) {
        // Whatever an earlier node of this name left: a power cut or a kill leaves no one else to do it.
        await stopNode(spec, undefined, { clock, signal });
        return await startNode(spec, { clock, signal, fabric: processOf('fabric') }, spawned);
      },
      stop: (identity, signal) => stopNode(spec, identity, { clock, signal }),
    },
    {
      name: containerd,
      needs: [init],
      version: treeHash,
      logFiles: [join(spec.folder, 'log', 'containerd.log')],
      async start(signal, spawned) {
        const identity = await startContainerd(spec, processOf(init), { clock, signal }, spawned);
        await importMissing(spec, processOf(init), signal);
        return identity;
      },
      stop: (identity, signal) => endProcess(identity, 5000, signal),
    },
    {
      name: agent,
      needs: [init],
      after: [containerd, 'server'],
      version: release,
      logFiles: [agentLog],
      async start(signal, spawned) {
        // A release may have come since containerd started.
        await importMissing(spec, processOf(init), signal).catch(() => undefined);
        const folder = `/opt/holdfast/releases/${release}`;
        const command = [
          `${folder}/node`,
          '--max-semi-space-size=2', // As for the server; here as little as does not show.
          `${folder}/holdfast.mjs`,
          'node',
          '--config',
          '/run/node/config.json',
        ];
        const identity = await spawnInNode(
          spec,
          processOf(init),
          { command, env: {}, logFile: agentLog },
          { clock, signal },
        );
        await spawned(identity);
        return identity;
      },
      stop: (identity, signal) => endProcess(identity, 10_000, signal),
    },
  ];
}

/** Imports the archives that lie in the node's folder and that its containerd does not have yet. */
async function importMissing(spec: NodeSpec, init: ProcessIdentity, signal: AbortSignal): Promise<void> {
  const there = await importedImages(init, signal);
  for (const file of await readdir(join(spec.folder, 'run', imagesFolder))) {
    const name = decodeURIComponent(file.replace(/\.tar$/, ''));
    if (!there.has(name)) await importImage(init, `/run/node/${imagesFolder}/${file}`, signal);
  }
}
