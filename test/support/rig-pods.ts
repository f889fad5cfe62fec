import { request as httpsRequest } from 'node:https';
import type { Container, Pod } from 'kubernetes-types/core/v1.js';
import { WebSocket } from 'ws';
import * as core from '../../src/api/core.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { startNodeRig, type NodeRig } from './node-rig.ts';

/** The namespace of every pod here. */
export const namespace = 'default';

/** A rig whose node role runs, with what controllers make of a namespace on a whole system. */
export async function startRigWithRole(instanceId: string, signal: AbortSignal): Promise<NodeRig> {
  const rig = await startNodeRig(instanceId, signal);
  const { client, api } = rig;
  await client.create(core.ServiceAccounts, { metadata: { name: 'default', namespace } }, { signal });
  await client.create(
    core.ConfigMaps,
    { metadata: { name: 'kube-root-ca.crt', namespace }, data: { 'ca.crt': api.ca } },
    { signal },
  );
  await rig.startRole();
  return rig;
}

export const shell = (script: string, over: Partial<Container> = {}): Container => ({
  name: 'main',
  image: 'debian:12',
  command: ['/bin/bash', '-c', script],
  ...over,
});
/** Ends at once on TERM: as process 1 a shell would ignore it. */
export const forever = 'trap "exit 0" TERM; while :; do sleep 0.2; done';

export const isReady = (pod: Pod | undefined) =>
  pod?.status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false;

/** Pods on a rig's node, made and watched as a user would. `rigOf` is asked once a test runs. */
export function rigPods(rigOf: () => NodeRig, signal: AbortSignal) {
  async function until<T>(
    what: string,
    look: () => Promise<T | undefined | false>,
    limitMs = 30_000,
  ): Promise<T> {
    const endMs = Date.now() + limitMs;
    for (;;) {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      if (Date.now() > endMs)
        throw new Error(
          `never: ${what}\n${(await rigOf().roleLog()).split('\n').slice(-12).join('\n').slice(-6000)}`,
        );
      await systemClock.sleep(50, signal);
    }
  }

  async function createPod(name: string, spec: Partial<NonNullable<Pod['spec']>>): Promise<void> {
    const pod = {
      metadata: { name, namespace, labels: { app: name } },
      spec: { nodeName: 'n1', terminationGracePeriodSeconds: 5, containers: [shell(forever)], ...spec },
    };
    await rigOf().client.create(core.Pods, pod, { signal });
  }
  const getPod = (name: string) => rigOf().client.get(core.Pods, { namespace, name }, { signal });
  const ready = (name: string, limitMs?: number) =>
    until(
      `${name} is ready`,
      async () => {
        const pod = await getPod(name);
        return isReady(pod) && pod;
      },
      limitMs,
    );
  const inPhase = (name: string, phase: string) =>
    until(`${name} is ${phase}`, async () => {
      const pod = await getPod(name);
      return pod?.status?.phase === phase && pod;
    });
  async function deletePod(name: string, gracePeriodSeconds?: number): Promise<void> {
    await rigOf().client.delete(
      core.Pods,
      { namespace, name },
      { signal, ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }) },
    );
    await until(`${name} is gone`, async () => (await getPod(name)) === undefined);
  }
  const reasons = async (name: string) =>
    (
      await rigOf().client.list(
        core.Events,
        { namespace, fieldSelector: `involvedObject.name=${name}` },
        { signal },
      )
    ).items.map((event) => `${event.reason}: ${event.message}`);
  return { until, createPod, getPod, ready, inPhase, deletePod, reasons };
}

/** What kubectl asks of the API server about a pod's containers. */
export function rigContainers(rigOf: () => NodeRig) {
  function call(path: string): Promise<{ status: number; body: string }> {
    const { host, port, ca, cert, key } = rigOf().api;
    return new Promise((resolve, reject) => {
      httpsRequest({ host, port, ca, cert, key, path }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on('error', reject)
        .end();
    });
  }
  const logOf = async (name: string, query = '') =>
    (await call(`/api/v1/namespaces/${namespace}/pods/${name}/log${query}`)).body;

  /** kubectl's exec over a websocket: stdout, stderr and the exit status. */
  function exec(name: string, ...command: string[]): Promise<{ out: string; err: string; status: string }> {
    const { host, port, ca, cert, key } = rigOf().api;
    const query = command.map((one) => `command=${encodeURIComponent(one)}`).join('&');
    const url = `wss://${host}:${port}/api/v1/namespaces/${namespace}/pods/${name}/exec?stdout=true&stderr=true&${query}`;
    return new Promise((resolve, reject) => {
      const channels = ['', '', '', ''];
      const socket = new WebSocket(url, ['v4.channel.k8s.io'], { ca, cert, key });
      socket.on('message', (data: Buffer) => (channels[data[0] ?? 0] += data.subarray(1).toString()));
      socket.on('error', reject);
      socket.on('close', () =>
        resolve({ out: channels[1] ?? '', err: channels[2] ?? '', status: channels[3] ?? '' }),
      );
    });
  }
  return { logOf, exec };
}
