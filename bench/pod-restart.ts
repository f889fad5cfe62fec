import { performance } from 'node:perf_hooks';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { CephClusters } from '../src/api/ceph/ceph-cluster.ts';
import { Namespaces, PersistentVolumeClaims, Pods } from '../src/api/core.ts';
import type { Stored } from '../src/api/resource.ts';
import { waitForObject } from '../src/kube/wait.ts';
import { say } from './bring-up.ts';
import { claimOf } from './claims.ts';
import type { Measure } from './measure.ts';

const namespace = 'bench-restart';
const name = 'reader';
const limitMs = 120_000;

// Its first container writes and every one verifies: that it is ready says that the data was read.
const script = `
cd /data
[ -f proof ] || { head -c 1048576 /dev/urandom > data; sha256sum data > proof; sync -f proof; }
sha256sum -c proof && touch /tmp/verified
exec sleep 100000`;

const reader = {
  metadata: { namespace, name },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [
      {
        name: 'reader',
        image: 'busybox',
        command: ['sh', '-ec', script],
        readinessProbe: { exec: { command: ['test', '-f', '/tmp/verified'] }, periodSeconds: 1 },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
  },
};

/** `holdfast up` on an instance that was taken down in order -> a pod has verified what is on its volume. */
export const podRestart: Measure = {
  name: 'pod-restart',
  needs: 'ceph',
  async run({ instance, signal, note }) {
    const { client } = instance;
    const wait = { signal, timeoutMs: limitMs };
    await client.create(Namespaces, { metadata: { name: namespace } }, { signal });
    await client.create(PersistentVolumeClaims, claimOf(namespace, name), { signal });
    await client.create(Pods, reader, { signal });
    await waitForObject(client, Pods, { namespace, name }, hasVerified(0), wait);
    await instance.holdfast(['down'], signal);

    const startedMs = performance.now();
    const said = say(startedMs, note);
    await instance.holdfast(['up'], signal);
    said('up', 'returned');
    // What the cluster says on the way, beginning with what it said before it went down.
    const watched = new AbortController();
    const cluster = { namespace: 'rook-ceph', name: 'rook-ceph' };
    const watching = waitForObject(
      client,
      CephClusters,
      cluster,
      (found) => {
        const { phase, message, ceph } = found?.status ?? {};
        said('cluster', [phase, ceph?.health, message].filter(Boolean).join(', '));
        return false;
      },
      { ...wait, signal: AbortSignal.any([signal, watched.signal]) },
    ).catch(() => undefined);
    await waitForObject(client, Pods, { namespace, name }, hasVerified(1), wait);
    const figure = performance.now() - startedMs;
    watched.abort(new Error('the pod has verified its data'));
    await watching;
    await client.delete(Pods, { namespace, name }, { signal });
    return [{ name: 'up on existing data -> pod verified', figure, unit: 'ms', budget: { most: 20_000 } }];
  },
};

/** A container after this many restarts has read its data; what stood in status before does not count. */
const hasVerified = (restarts: number) => (pod: Stored<Pod> | undefined) => {
  const [container] = pod?.status?.containerStatuses ?? [];
  return container?.ready === true && container.restartCount >= restarts;
};
