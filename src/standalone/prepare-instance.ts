import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import type { NodeConfig, ServerConfig } from './config.ts';
import { pauseImage } from './images/base-images.ts';
import { decideImages, readImageTable, writeImageTable } from './images/image-table.ts';
import { knownImages, type KnownImages } from './images/known-images.ts';
import { installRelease, removeOldReleases } from './images/release.ts';
import type { OpenInstance } from './instance.ts';
import { writeKubeconfig } from './kubeconfig-file.ts';
import { layout, type Layout } from './layout.ts';
import { busyboxApplets } from './machine/busybox-applets.ts';
import { openOrCreate, type OpenOptions } from './open-instance.ts';
import { planOf, type NodePlan } from './plan.ts';
import { ensureNodePki, ensurePki, type InstancePki } from './pki.ts';
import type { SupervisorConfig } from './supervisor/units.ts';

export interface Tree {
  readonly path: string;
  readonly hash: string;
  readonly packages: Readonly<Record<string, string>>;
}

export interface PrepareOptions extends OpenOptions {
  readonly tree: Tree;
  /** The folder of the running bundle. */
  readonly dist: string;
  /** Node's binary. */
  readonly node: string;
}

export interface PreparedInstance {
  readonly instance: OpenInstance;
  readonly supervisor: SupervisorConfig;
  /** The image that manifests shall name. */
  readonly image: string;
}

/** Makes or completes everything that the processes of an instance start from: only files, nothing runs. */
export async function prepareInstance(options: PrepareOptions): Promise<PreparedInstance> {
  const { dataDir, tree, nowMs } = options;
  const instance = await openOrCreate(options);
  const places = layout(dataDir);
  const plan = planOf(instance.config);
  for (const folder of [places.run, places.logs, places.nodes])
    await mkdir(folder, { recursive: true, mode: 0o700 });
  const pki = await ensurePki({
    directory: places.pki,
    apiHosts: [
      '127.0.0.1',
      'localhost',
      plan.hostIp,
      plan.kubernetesIp,
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
    ],
    nowMs,
  });
  await writeServerFiles(instance, pki, places);
  const release = await installRelease(options.dist, options.node, places.releases);
  await removeOldReleases(places.releases, new Set([release]));
  const images = await decideInstanceImages(options, release, places);
  for (const node of plan.nodes) await writeNodeFiles(instance, node, pki, images, options);
  const supervisor: SupervisorConfig = { dataDir, tree: { path: tree.path, hash: tree.hash }, release, pki };
  await writeFileAtomic(places.supervisorConfig, JSON.stringify(supervisor));
  return { instance, supervisor, image: images.release };
}

async function writeServerFiles(
  { dataDir, config }: OpenInstance,
  pki: InstancePki,
  places: Layout,
): Promise<void> {
  const plan = planOf(config);
  const server: ServerConfig = {
    dataDir,
    etcd: {
      endpoint: `127.0.0.1:${config.etcdPort}`,
      caFile: pki.etcdCaCert,
      certFile: pki.etcdClientCert,
      keyFile: pki.etcdClientKey,
    },
    listen: [
      { host: '127.0.0.1', port: config.apiPort },
      { host: plan.hostIp, port: config.apiPort },
    ],
    advertise: { host: plan.hostIp, port: config.apiPort },
    serviceCidr: config.serviceCidr,
    pki,
  };
  await writeFileAtomic(places.serverConfig, JSON.stringify(server));
  const local = `https://127.0.0.1:${config.apiPort}`;
  const common = { server: local, caFile: pki.caCert };
  await writeKubeconfig({
    ...common,
    path: places.kubeconfig,
    user: 'kubernetes-admin',
    certFile: pki.adminCert,
    keyFile: pki.adminKey,
  });
}

async function decideInstanceImages(
  options: PrepareOptions,
  release: string,
  places: Layout,
): Promise<KnownImages> {
  const { tree, signal } = options;
  const images = knownImages({
    cephVersion: tree.packages['ceph-mon'] ?? '',
    releaseHash: release,
    busyboxApplets: await busyboxApplets(tree.path, signal),
  });
  const table = decideImages(await readImageTable(places.images), images.rules, images.replaced);
  await writeImageTable(places.images, table);
  return images;
}

/** A node's folder as it appears at /run/node inside: its configuration, its identity, its images. */
async function writeNodeFiles(
  instance: OpenInstance,
  node: NodePlan,
  pki: InstancePki,
  images: KnownImages,
  options: PrepareOptions,
): Promise<void> {
  const { dataDir, config } = instance;
  const places = layout(dataDir);
  const run = join(places.nodes, node.name, 'run');
  await mkdir(join(run, 'images'), { recursive: true, mode: 0o700 });
  const own = await ensureNodePki(join(run, 'pki'), pki, node, options.nowMs);
  const plan = planOf(config);
  await writeKubeconfig({
    path: join(run, 'kubeconfig'),
    server: `https://${plan.hostIp}:${config.apiPort}`,
    user: `system:node:${node.name}`,
    caFile: pki.caCert,
    certFile: own.cert,
    keyFile: own.key,
  });
  const inside = (name: string) => `/run/node/${name}`;
  const nodeConfig: NodeConfig = {
    nodeName: node.name,
    nodeIp: node.ip,
    podCidr: node.podCidr,
    serviceCidr: config.serviceCidr,
    kubeconfig: inside('kubeconfig'),
    criSocket: '/run/containerd/containerd.sock',
    kubeletRoot: '/var/lib/kubelet',
    tls: { cert: inside('pki/node.crt'), key: inside('pki/node.key'), clientCa: inside('pki/ca.crt') },
    imageTable: inside('images.json'),
    labels: {},
  };
  await writeFileAtomic(join(run, 'config.json'), JSON.stringify(nodeConfig));
  await writeFileAtomic(join(run, 'images.json'), await readFile(places.images), 0o644);
  for (const base of [await pauseImage(options.tree.path), ...images.bases]) {
    await writeFile(join(run, 'images', `${encodeURIComponent(base.image)}.tar`), base.archive.bytes, {
      mode: 0o600,
    });
  }
}
