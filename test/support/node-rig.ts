import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { createKubeClient } from '../../src/kube/undici-client.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { isRunning, signalProcess, type ProcessIdentity } from '../../src/lib/process-identity.ts';
import { createApiServer, type ApiServer } from '../../src/standalone/apiserver/server.ts';
import { memoryStore } from '../../src/standalone/apiserver/store/memory-store.ts';
import { httpsNodeProxy } from '../../src/standalone/apiserver/subresource/node-proxy.ts';
import type { NodeConfig } from '../../src/standalone/config.ts';
import { debianImage, pauseImage } from '../../src/standalone/images/base-images.ts';
import { importImage, startContainerd } from '../../src/standalone/machine/containerd.ts';
import { startFabric, stopFabric } from '../../src/standalone/machine/fabric.ts';
import {
  enter,
  removeInstanceGroup,
  spawnInNode,
  startNode,
  stopNode,
  type NodeSpec,
} from '../../src/standalone/machine/virtual-node.ts';
import { ensurePki, issueCertificate } from '../../src/standalone/pki.ts';
import { serverSecurity } from './secure-api.ts';
import { findTestTree } from './tree.ts';

/** A real virtual node with the node role in it, and the real API server on the host's end of its fabric. */
export interface NodeRig {
  readonly spec: NodeSpec;
  readonly client: KubeClient;
  readonly api: {
    readonly host: string;
    readonly port: number;
    readonly ca: string;
    readonly cert: string;
    readonly key: string;
  };
  /** Runs a program inside the node; its stdout. */
  inside(...command: string[]): Promise<string>;
  /** Starts the node role. */
  startRole(): Promise<void>;
  /** Ends the node role as a crash would, or politely. */
  stopRole(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  roleIdentity(): ProcessIdentity;
  /** Runs a bundled helper of test/support in the node. */
  startHelper(name: string, ...args: string[]): Promise<ProcessIdentity>;
  killContainerd(): Promise<void>;
  startContainerd(): Promise<void>;
  /** The node loses its power, and comes back: its disks keep what was written. */
  powerCycle(): Promise<void>;
  roleLog(): Promise<string>;
  close(): Promise<void>;
}

const network = {
  ip: '10.254.87.11',
  gateway: '10.254.87.1',
  podCidr: '10.254.88.0/24',
  serviceCidr: '10.254.89.0/24',
};

async function bundle(entry: string, outfile: string): Promise<void> {
  const js =
    "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);";
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.20',
    external: ['koffi'],
    banner: { js },
    logLevel: 'error',
  });
}

export async function startNodeRig(instanceId: string, signal: AbortSignal): Promise<NodeRig> {
  const deps = { clock: systemClock, signal };
  const tree = await findTestTree();
  const base = await mkdtemp('/var/tmp/hf-node-');
  const spec = await prepareNode(base, tree.path, instanceId);
  const run = join(spec.folder, 'run');
  const { kept, keep, of, end } = keptProcesses(signal);
  const fabric = {
    tree: tree.path,
    instanceId,
    hostIp: network.gateway,
    prefixLength: 24,
    logFile: join(base, 'fabric.log'),
  };
  await startFabric(fabric, deps, keep('fabric'));
  const { server, certificates } = await startApi(base, run);
  const bringUp = async () => {
    await startNode(spec, { ...deps, fabric: of('fabric') }, keep('init'));
    await startContainerd(spec, of('init'), deps, keep('containerd'));
  };
  await bringUp();
  await importImages(tree.path, run, of('init'), signal);
  await writeFile(join(run, 'config.json'), JSON.stringify(nodeConfig));
  const url = server.urls[0] ?? '';
  const client = createKubeClient({ url, tls: certificates });
  const spawn = (script: string, logName: string, args: readonly string[]) => {
    const command = ['/opt/holdfast/releases/node', `/opt/holdfast/releases/${script}.mjs`, ...args];
    const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
    return spawnInNode(spec, of('init'), { command, env, logFile: join(base, `${logName}.log`) }, deps);
  };
  return {
    spec,
    client,
    api: { host: network.gateway, port: Number(new URL(url).port), ...certificates },
    inside: async (...command) => (await enter(of('init'), command, { signal })).stdout,
    async startRole() {
      kept['role'] = await spawn('node-process', 'role', ['/run/node/config.json']);
    },
    stopRole: (how) => end('role', how),
    roleIdentity: () => of('role'),
    startHelper: (name, ...args) => spawn(name, name, args),
    killContainerd: () => end('containerd', 'SIGKILL'),
    startContainerd: async () => void (await startContainerd(spec, of('init'), deps, keep('containerd'))),
    async powerCycle() {
      await signalProcess(of('init'), 'SIGKILL');
      await stopNode(spec, of('init'), deps);
      await bringUp();
    },
    roleLog: () => readFile(join(base, 'role.log'), 'utf8'),
    async close() {
      await client.close();
      await stopNode(spec, kept['init'], deps);
      await server.close();
      await stopFabric(fabric, kept['fabric'], signal);
      await removeInstanceGroup(instanceId, deps);
      await rm(base, { recursive: true, force: true });
    },
  };
}

/** The node's folders, and what it runs. */
async function prepareNode(base: string, tree: string, instanceId: string): Promise<NodeSpec> {
  const releases = join(base, 'releases');
  const folder = join(base, 'nodes/n1');
  await mkdir(releases);
  await mkdir(join(folder, 'run'), { recursive: true });
  for (const name of ['node-process', 'hostpath-csi'])
    await bundle(resolve(import.meta.dirname, `${name}.ts`), join(releases, `${name}.mjs`));
  await copyFile(process.execPath, join(releases, 'node'));
  return {
    ...network,
    name: 'n1',
    number: 1,
    instanceId,
    tree,
    folder,
    releases,
    scripts: resolve(import.meta.dirname, '../../src/standalone/machine'),
    disks: 0,
    diskSizeBytes: 0,
    prefixLength: 24,
    peers: [],
  };
}

/** What was started, by name. */
function keptProcesses(signal: AbortSignal) {
  const kept: Record<string, ProcessIdentity> = {};
  const of = (name: string): ProcessIdentity => {
    const identity = kept[name];
    if (!identity) throw new Error(`${name} was not started`);
    return identity;
  };
  return {
    kept,
    of,
    keep: (name: string) => (identity: ProcessIdentity) => {
      kept[name] = identity;
      return Promise.resolve();
    },
    async end(name: string, how: NodeJS.Signals) {
      await signalProcess(of(name), how);
      while (await isRunning(of(name))) await systemClock.sleep(10, signal);
    },
  };
}

/** The images of a node without a registry, and the table that names them. */
async function importImages(
  tree: string,
  run: string,
  init: ProcessIdentity,
  signal: AbortSignal,
): Promise<void> {
  const debian = debianImage();
  for (const image of [await pauseImage(tree), debian]) {
    const name = `${image.image.replace(/\W+/g, '-')}.tar`;
    await writeFile(join(run, name), image.archive.bytes);
    await importImage(init, `/run/node/${name}`, signal);
  }
  const entry = {
    ...debian.config,
    name: 'docker.io/library/debian:12',
    image: debian.image,
    digest: debian.archive.digest,
    mounts: debian.mounts,
  };
  await writeFile(join(run, 'images.json'), JSON.stringify({ entries: [entry] }));
}

const nodeConfig: NodeConfig = {
  nodeName: 'n1',
  nodeIp: network.ip,
  podCidr: network.podCidr,
  serviceCidr: network.serviceCidr,
  kubeconfig: '/run/node/kubeconfig',
  criSocket: '/run/containerd/containerd.sock',
  kubeletRoot: '/var/lib/kubelet',
  tls: { cert: '/run/node/node.crt', key: '/run/node/node.key', clientCa: '/run/node/ca.crt' },
  imageTable: '/run/node/images.json',
  labels: { rig: 'yes' },
};

/** The API server with certificates, tokens and RBAC; the node's own files go into `run`. */
async function startApi(
  base: string,
  run: string,
): Promise<{ server: ApiServer; certificates: { ca: string; cert: string; key: string } }> {
  const pki = await ensurePki({
    directory: join(base, 'pki'),
    apiHosts: [network.gateway],
    nowMs: Date.now(),
  });
  const text = (file: string) => readFile(file, 'utf8');
  const { ca, caKey, tls, authn } = await serverSecurity(pki);
  const server = await createApiServer({
    store: memoryStore(),
    listen: [{ host: network.gateway, port: 0 }],
    tls,
    authn,
    nodeProxy: httpsNodeProxy({
      ca,
      cert: await text(pki.kubeletClientCert),
      key: await text(pki.kubeletClientKey),
    }),
    serviceCidr: network.serviceCidr,
    log: silentLogger,
  });
  const request = {
    commonName: 'system:node:n1',
    organizations: ['system:nodes'],
    hosts: [network.ip, 'n1'],
    usage: 'both' as const,
  };
  const leaf = await issueCertificate({ certificatePem: ca, privateKeyPem: caKey }, request, Date.now());
  await writeFile(join(run, 'ca.crt'), ca);
  await writeFile(join(run, 'node.crt'), leaf.certificatePem);
  await writeFile(join(run, 'node.key'), leaf.privateKeyPem, { mode: 0o600 });
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'node',
    clusters: [
      { name: 'c', cluster: { server: server.urls[0], 'certificate-authority': '/run/node/ca.crt' } },
    ],
    users: [
      {
        name: 'node',
        user: { 'client-certificate': '/run/node/node.crt', 'client-key': '/run/node/node.key' },
      },
    ],
    contexts: [{ name: 'node', context: { cluster: 'c', user: 'node' } }],
  };
  await writeFile(join(run, 'kubeconfig'), JSON.stringify(kubeconfig), { mode: 0o600 });
  return { server, certificates: { ca, cert: await text(pki.adminCert), key: await text(pki.adminKey) } };
}
