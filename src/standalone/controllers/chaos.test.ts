import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import { afterEach, expect, test, vi } from 'vitest';
import { startTestApi } from '../../../test/support/api-server.ts';
import { Deployments, Nodes, Pods, ReplicaSets } from '../../api/core.ts';
import { createKubeClient } from '../../kube/undici-client.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { runControllers } from './controllers.ts';

// A real API server answers here, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Numbers that look random and are the same for one seed. */
function seeded(seed: number) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A wire to the API that can be cut: every connection at once, or each after some bytes. */
async function cuttableWire(target: string) {
  const { port } = new URL(target);
  const open = new Set<Socket>();
  let down = false;
  const server = createServer((near) => {
    if (down) {
      near.destroy();
      return;
    }
    const far = createConnection({ port: Number(port), host: '127.0.0.1' });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  closers.push(async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    setDown(value: boolean) {
      down = value;
      if (value) cut();
    },
  };
}

const deployment = (replicas: number): Deployment => ({
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    replicas,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 5, maxUnavailable: 5 } },
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'v0' }] } },
  },
});

test.each([1, 2, 3])(
  'with connections cut at any moment (seed %i) everything comes out as asked, once',
  async (seed) => {
    const random = seeded(seed);
    const api = await startTestApi();
    closers.push(() => api.close());
    const wire = await cuttableWire(api.url);
    const steady = createKubeClient({ url: api.url });
    const shaky = createKubeClient({ url: wire.url });
    closers.push(
      () => steady.close(),
      () => shaky.close(),
    );
    const stop = new AbortController();
    const { signal } = stop;
    const running = runControllers({ client: shaky, clock: systemClock, log: silentLogger, signal, random });
    closers.push(async () => {
      stop.abort(new Error('the test is over'));
      await running;
    });
    await steady.create(Nodes, { metadata: { name: 'n1' } }, { signal });
    const allocatable = { cpu: '64', memory: '64Gi', pods: '500' };
    const conditions = [{ type: 'Ready', status: 'True' }];
    await steady.patch(
      Nodes,
      { name: 'n1' },
      { type: 'merge', body: { status: { allocatable, conditions } } },
      { signal, subresource: 'status' },
    );

    const ref = { namespace: 'default', name: 'web' };
    await steady.create(Deployments, deployment(10), { signal });
    for (let round = 1; round <= 12; round++) {
      const image = `v${Math.floor(round / 4)}`;
      const replicas = 5 + Math.floor(random() * 20);
      const spec = { replicas, template: { spec: { containers: [{ name: 'c', image }] } } };
      await steady.patch(Deployments, ref, { type: 'merge', body: { spec } }, { signal });
      await new Promise((resolve) => setTimeout(resolve, random() * 40));
      if (random() < 0.3) {
        wire.setDown(true);
        await new Promise((resolve) => setTimeout(resolve, random() * 60));
        wire.setDown(false);
      } else wire.cut();
      // The node runs what is placed and ends what is to go.
      for (const pod of (await steady.list(Pods, {}, { signal })).items) await play(pod);
    }
    await steady.patch(Deployments, ref, { type: 'merge', body: { spec: { replicas: 12 } } }, { signal });
    const limit = Date.now() + 25_000;
    for (;;) {
      const pods = (await steady.list(Pods, {}, { signal })).items;
      for (const pod of pods) await play(pod);
      const status = (await steady.get(Deployments, ref, { signal }))?.status;
      const well = pods.every((pod) => pod.spec?.nodeName === 'n1' && pod.spec.containers[0]?.image === 'v3');
      if (pods.length === 12 && well && status?.availableReplicas === 12 && status.replicas === 12) break;
      if (Date.now() > limit) throw new Error(`${pods.length} pods; ${JSON.stringify(status)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const sets = (await steady.list(ReplicaSets, {}, { signal })).items;
    expect(sets.filter((one) => (one.spec?.replicas ?? 0) > 0).map((one) => one.spec?.replicas)).toEqual([
      12,
    ]);
    expect(new Set(sets.map((one) => one.spec?.template?.spec?.containers[0]?.image)).size).toBe(sets.length);

    async function play(
      pod: Awaited<ReturnType<typeof steady.list<(typeof Pods)['objectType'] & object>>>['items'][number],
    ) {
      const options = { signal };
      const at = { namespace: 'default', name: pod.metadata.name };
      try {
        if (pod.metadata.deletionTimestamp)
          await steady.delete(Pods, at, { ...options, gracePeriodSeconds: 0 });
        else if (pod.spec?.nodeName && pod.status?.phase !== 'Running') {
          const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
          await steady.patch(
            Pods,
            at,
            { type: 'merge', body: { status } },
            { ...options, subresource: 'status' },
          );
        }
      } catch {
        // It went meanwhile.
      }
    }
  },
  60_000,
);
