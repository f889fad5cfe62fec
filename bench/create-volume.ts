import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import * as grpc from '@grpc/grpc-js';
import { Controller, VolumeCapability_AccessMode_Mode as Mode } from '../src/gen/csi/v1/csi_pb.js';
import { unaryClient } from '../src/lib/grpc.ts';
import { mapLimit } from '../src/lib/map-limit.ts';
import { bareCreateMs } from './floor-ceph.ts';
import { openInstanceCeph, secret, until, type BenchInstance } from './instance.ts';
import type { Measure } from './measure.ts';
import { roleOf } from './processes.ts';
import { median } from './result.ts';

const warm = 10;
const count = 50;
const manyCount = 100;
const inFlight = 16; // As the provisioner does.
const pool = 'replicapool';

/** CreateVolume over the socket of the running csi controller, against bare librbd creates on the same cluster. */
export const createVolume: Measure = {
  name: 'create-volume',
  needs: 'ceph',
  async run({ instance, signal, note }) {
    const client = new grpc.Client(
      `unix://${await controllerSocket(instance, signal)}`,
      grpc.credentials.createInsecure(),
    );
    const controller = unaryClient(client, Controller);
    const secrets = Object.fromEntries(await secret(instance, 'rook-csi-rbd-provisioner', signal));
    const ceph = await openInstanceCeph(instance, signal);
    const create = (name: string) =>
      controller.createVolume(
        {
          name,
          capacityRange: { requiredBytes: 1024n ** 3n },
          volumeCapabilities: [
            {
              accessMode: { mode: Mode.SINGLE_NODE_WRITER },
              accessType: { case: 'mount', value: { fsType: 'ext4' } },
            },
          ],
          parameters: {
            clusterID: 'rook-ceph',
            pool,
            imageFeatures: 'layering,exclusive-lock,object-map,fast-diff,deep-flatten',
          },
          secrets,
        },
        { signal },
      );
    try {
      const figures: number[] = [];
      const floors: number[] = [];
      // Turn by turn, so that whatever else the machine does troubles both alike.
      for (let at = 0; at < warm + count; at++) {
        const startedMs = performance.now();
        await create(`bench-rpc-${at}`);
        figures.push(performance.now() - startedMs);
        floors.push(await bareCreateMs(ceph, pool, `bench-one-${at}`, signal));
      }
      const names = Array.from({ length: manyCount }, (_, at) => `bench-rpcs-${at}`);
      const startedMs = performance.now();
      await mapLimit(names, inFlight, create);
      const perSecond = (1000 * manyCount) / (performance.now() - startedMs);
      note(`CreateVolume, ${inFlight} in flight: ${perSecond.toFixed(0)} a second`);
      return [
        {
          name: 'CreateVolume p50',
          floor: median(floors.slice(warm)),
          figure: median(figures.slice(warm)),
          unit: 'ms',
          budget: { times: 2 },
        },
      ];
    } finally {
      client.close();
      await ceph.close();
    }
  },
};

/** The pod's socket, as the host sees it through the process that serves it. */
async function controllerSocket(instance: BenchInstance, signal: AbortSignal): Promise<string> {
  let path = '';
  await until('the csi controller', 60_000, signal, async () => {
    const found = (await instance.processes()).find((one) => roleOf(one) === 'csi controller');
    path = `/proc/${found?.pid}/root/csi/csi.sock`;
    return found !== undefined && existsSync(path);
  });
  return path;
}
