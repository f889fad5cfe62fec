import { performance } from 'node:perf_hooks';
import {
  Namespaces,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  VolumeAttachments,
} from '../src/api/core.ts';
import { waitForObject } from '../src/kube/wait.ts';
import { attachmentName } from '../src/standalone/controllers/storage/attachment.ts';
import { claimOf } from './claims.ts';
import { bareCreateMs } from './floor-ceph.ts';
import { openInstanceCeph } from './instance.ts';
import type { Measure, MeasureContext } from './measure.ts';
import { podByHand, type HandTimes } from './pod-by-hand.ts';
import { median } from './result.ts';

const namespace = 'bench-pods';
const rounds = 5;
const limitMs = 60_000;
const pool = 'replicapool';
const node = 'node1';

const podOf = (name: string) => ({
  metadata: { namespace, name },
  spec: {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'sleeper',
        image: 'busybox',
        command: ['sleep', '1000'],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
  },
});

/** A pod with a new, bound claim applied -> Running, against the same done by hand in the same node. */
export const podStart: Measure = {
  name: 'pod',
  needs: 'ceph',
  async run(context) {
    const { instance, signal, note } = context;
    await instance.client.create(Namespaces, { metadata: { name: namespace } }, { signal });
    // The first pod of an image warms caches, and shows how its container is made.
    const first = await startPod(context, 'warm');
    const ceph = await openInstanceCeph(instance, signal);
    const hand = await podByHand(instance, { container: first.container, pool }, signal);
    try {
      const figures: number[] = [];
      const floors: HandTimes[] = [];
      for (let at = 0; at < rounds; at++) {
        figures.push((await startPod(context, `pod-${at}`)).ms);
        const image = `bench-hand-${at}`;
        await bareCreateMs(ceph, pool, image, signal);
        floors.push(await hand.start(image, signal));
      }
      const of = (part: keyof HandTimes) => median(floors.map((one) => one[part])).toFixed(0);
      note(
        `by hand: attach ${of('attach')}, mkfs ${of('mkfs')}, mount ${of('mount')}, sandbox ${of('sandbox')}, container ${of('container')} ms`,
      );
      const sum = (one: HandTimes) => Object.values(one).reduce((all: number, part: number) => all + part, 0);
      const floor = median(floors.map(sum));
      return [
        {
          name: 'pod with a claim -> Running',
          floor,
          figure: median(figures),
          unit: 'ms',
          budget: { times: 1.5 },
        },
      ];
    } finally {
      hand.close();
      await ceph.close();
    }
  },
};

async function startPod(
  { instance, signal, note }: MeasureContext,
  name: string,
): Promise<{ ms: number; container: string }> {
  const { client } = instance;
  const ref = { namespace, name };
  await client.create(PersistentVolumeClaims, claimOf(namespace, name), { signal });
  const wait = { signal, timeoutMs: limitMs };
  const claim = await waitForObject(
    client,
    PersistentVolumeClaims,
    ref,
    (found) => found?.status?.phase === 'Bound',
    wait,
  );

  const volume = await client.get(PersistentVolumes, { name: claim?.spec?.volumeName ?? '' }, { signal });
  const { volumeHandle = '', driver = '' } = volume?.spec?.csi ?? {};
  const attachment = { name: attachmentName(volumeHandle, driver, node) };

  const startedMs = performance.now();
  const since = () => (performance.now() - startedMs).toFixed(0);
  let scheduled = '';
  const running = waitForObject(
    client,
    Pods,
    ref,
    (found) => {
      if (found?.spec?.nodeName && scheduled === '') scheduled = since();
      return found?.status?.phase === 'Running';
    },
    wait,
  );
  running.catch(() => undefined);
  // Watched, for asking again and again would be a part of what is measured.
  const attached = waitForObject(
    client,
    VolumeAttachments,
    attachment,
    (found) => found?.status?.attached === true,
    wait,
  ).then(since);
  attached.catch(() => undefined);
  await client.create(Pods, podOf(name), { signal });
  const created = since();
  const pod = await running;
  const ms = performance.now() - startedMs;
  note(
    `${name}: created ${created}, scheduled ${scheduled}, attached ${await attached}, Running ${ms.toFixed(0)} ms`,
  );
  const id = pod?.status?.containerStatuses?.[0]?.containerID ?? '';
  return { ms, container: id.slice(id.indexOf('//') + 2) };
}
