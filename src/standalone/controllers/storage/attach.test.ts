import type { Pod } from 'kubernetes-types/core/v1.js';
import type { VolumeAttachment } from 'kubernetes-types/storage/v1.js';
import { expect, test } from 'vitest';
import type { Stored } from '../../../api/resource.ts';
import { silentLogger } from '../../../lib/log.ts';
import { volumeAttach } from './attach.ts';
import { attachmentName, type AttachDeps } from './attachment.ts';

const context = { signal: new AbortController().signal, log: silentLogger };
const metadata = (name: string, uid: string) => ({
  name,
  namespace: 'd',
  uid,
  resourceVersion: '1',
  creationTimestamp: '',
});
const pod = (uid: string, phase = 'Pending'): Stored<Pod> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: metadata('p', uid),
  spec: {
    nodeName: 'n1',
    containers: [],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'c' } }],
  },
  status: { phase },
});

/** One bound claim, and its attachment as a test sets it. */
function bench() {
  const told: string[] = [];
  let attachment: Stored<VolumeAttachment> | undefined;
  const only = (object: unknown) => ({ get: () => object, list: () => [object] });
  const csi = { driver: 'rbd.example', volumeHandle: 'handle' };
  const deps = {
    events: {
      event: (object: Pod, _type: string, reason: string, message: string) =>
        told.push(`${object.metadata?.uid} ${reason}: ${message}`),
    },
    claims: only({ spec: { volumeName: 'pv' }, status: { phase: 'Bound' } }),
    volumes: only({ metadata: { name: 'pv' }, spec: { csi } }),
    drivers: only(undefined),
    attachments: { get: () => attachment },
  } as unknown as AttachDeps;
  const reconciler = volumeAttach(deps);
  return {
    told,
    reconciler,
    set(uid: string, status: VolumeAttachment['status']) {
      const name = attachmentName('handle', 'rbd.example', 'n1');
      const spec = { attacher: csi.driver, nodeName: 'n1', source: { persistentVolumeName: 'pv' } };
      attachment = { metadata: metadata(name, uid), spec, status } as Stored<VolumeAttachment>;
    },
  };
}
const succeeded = 'SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "pv"';

test('how an attach went is told once, however often the pod is looked at', async () => {
  const { told, reconciler, set } = bench();
  const look = async (of = pod('u1')) => await reconciler.reconcile(of, context);
  set('a1', { attached: false, attachError: { message: 'no' } });
  for (let turn = 0; turn < 3; turn++) await look();
  expect(told).toEqual(['u1 FailedAttachVolume: AttachVolume.Attach failed for volume "pv" : no']);
  set('a1', { attached: true });
  for (let turn = 0; turn < 3; turn++) await look();
  expect(told.slice(1)).toEqual([`u1 ${succeeded}`]);
  await look(pod('u1', 'Running'));
  expect(told).toHaveLength(2);
});

test('another attach, and another pod of the same name, are told of again', async () => {
  const { told, reconciler, set } = bench();
  set('a1', { attached: true });
  await reconciler.reconcile(pod('u1'), context);
  set('a2', { attached: true });
  await reconciler.reconcile(pod('u1'), context);
  await reconciler.gone?.({ namespace: 'd', name: 'p' }, context);
  await reconciler.reconcile(pod('u2'), context);
  expect(told).toEqual([`u1 ${succeeded}`, `u1 ${succeeded}`, `u2 ${succeeded}`]);
});
