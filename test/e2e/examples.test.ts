import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeObject } from '../../src/api/resource.ts';
import { parseManifests } from '../../src/kube/manifests.ts';
import { eventually } from '../support/eventually.ts';
import { startSecureApi } from '../support/secure-api.ts';
import { run, standaloneInstance } from '../support/standalone.ts';
import { tellOnFailure } from '../support/tell-on-failure.ts';

// Every file that users are given is applied as they would, by kubectl, and has to do what it says.

const root = resolve(import.meta.dirname, '../..');
const dataDir = '/var/lib/hf-e2e-examples';
const instance = standaloneInstance(dataDir);
tellOnFailure(instance);

beforeAll(async () => {
  await instance.purge().catch(() => undefined); // Left by a run that was killed.
  const up = await instance.holdfast('up', '--disks', '3');
  expect(up.code, up.stdout + up.stderr).toBe(0);
}, 120_000);

afterAll(async () => {
  await instance.purge();
}, 120_000);

const kubectl = (line: string) => instance.kubectl(...line.split(' '));
const waitFor = async (what: string, condition: string, timeoutSeconds = 60) =>
  await kubectl(`wait ${what} --for=${condition} --timeout=${timeoutSeconds}s`);
const inToolbox = (line: string) => kubectl(`-n rook-ceph exec deploy/rook-ceph-tools -- ${line}`);

/** What each example promises, in the order in which they build on each other. */
const promises: readonly (readonly [file: string, holds: () => Promise<void>])[] = [
  [
    'ceph/cluster.yaml',
    async () => {
      await waitFor('-n rook-ceph cephcluster/rook-ceph', 'jsonpath={.status.phase}=Ready', 120);
      await waitFor('-n rook-ceph cephcluster/rook-ceph', 'jsonpath={.status.ceph.health}=HEALTH_OK');
      await waitFor('-n rook-ceph cephblockpool/replicapool', 'jsonpath={.status.phase}=Ready');
      const pods = async (app: string) =>
        (await kubectl(`-n rook-ceph get pods -l app=${app} -o name`)).trim().split('\n').length;
      expect(await pods('rook-ceph-mon')).toBe(3);
      expect(await pods('rook-ceph-mgr')).toBe(1);
      expect(await pods('rook-ceph-osd')).toBe(3);
      // An example asks for nothing that would not be done.
      const both = await kubectl('-n rook-ceph get cephclusters,cephblockpools -o json');
      const { items } = JSON.parse(both) as { items: { status: { conditions: { type: string }[] } }[] };
      const types = items.flatMap(({ status }) => status.conditions.map(({ type }) => type));
      expect(types).not.toContain('FieldsNotHonoured');
    },
  ],
  [
    'ceph/toolbox.yaml',
    async () => {
      await waitFor('-n rook-ceph deploy/rook-ceph-tools', 'condition=Available');
      const status = async () =>
        JSON.parse(await inToolbox('ceph status --format json')) as {
          health: { status: string };
          quorum_names: string[];
          osdmap: { num_up_osds: number };
        };
      expect((await status()).quorum_names).toHaveLength(3);
      expect((await status()).osdmap.num_up_osds).toBe(3);
      // The pool is seconds old: Ceph may warn of placement groups that are still being made.
      await eventually('healthy', 30_000, async () => (await status()).health.status === 'HEALTH_OK');
      expect(await inToolbox('ceph osd pool get replicapool size')).toBe('size: 3\n');
      // The key is only its owner's to read: YAML's 0400 has to have arrived as octal.
      expect(await inToolbox('stat -L -c %a /keyring/keyring')).toBe('400\n');
    },
  ],
  [
    'ceph/storageclass.yaml',
    async () => {
      expect(await kubectl('get storageclass rook-ceph-block -o jsonpath={.provisioner}')).toBe(
        'rook-ceph.rbd.csi.ceph.com',
      );
    },
  ],
  [
    'demo/claim.yaml',
    async () => {
      await waitFor('pvc/holdfast-demo', 'jsonpath={.status.phase}=Bound');
      expect(await inToolbox('rbd ls replicapool')).toMatch(/^csi-vol-\S+\n$/);
    },
  ],
  [
    'demo/writer.yaml',
    async () => {
      await waitFor('pod/holdfast-demo-writer', 'jsonpath={.status.phase}=Succeeded');
      await kubectl('delete pod holdfast-demo-writer');
    },
  ],
  [
    'demo/reader.yaml',
    async () => {
      await waitFor('pod/holdfast-demo-reader', 'condition=Ready');
      expect(await kubectl('logs holdfast-demo-reader')).toContain('demo.bin: OK');
    },
  ],
];

async function yamlBelow(folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true });
  return entries.filter((name) => /\.ya?ml$/.test(name)).sort();
}

test('every example has a promise here', async () => {
  expect(promises.map(([file]) => file).sort()).toEqual(await yamlBelow('examples'));
});

for (const [file, holds] of promises) {
  test(`examples/${file} does what it says`, { timeout: 180_000 }, async () => {
    const args = ['apply', '--validate=strict', '-f', join(root, 'examples', file)];
    const { code, stderr } = await instance.kubectlOutcome(args);
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain('Warning');
    await holds();
  });
}

interface WithImages extends KubeObject {
  spec?: { template?: { spec?: { containers?: { image?: string }[] } } };
}

test('standalone has the very objects of deploy/, only the image is the one just built', async () => {
  const files = await yamlBelow('deploy');
  expect(files.length).toBeGreaterThanOrEqual(4);
  let images = 0;
  for (const file of files) {
    const text = await readFile(join(root, 'deploy', file), 'utf8');
    for (const wanted of parseManifests(text, file) as WithImages[]) {
      const { kind = '', metadata } = wanted;
      const where = metadata?.namespace ? ['-n', metadata.namespace] : [];
      const there = await instance.kubectl(...where, 'get', kind, metadata?.name ?? '', '-o', 'json');
      const found = JSON.parse(there) as WithImages;
      for (const [index, container] of (wanted.spec?.template?.spec?.containers ?? []).entries()) {
        if (container.image !== 'holdfast:latest') continue;
        images++;
        const built = found.spec?.template?.spec?.containers?.[index]?.image ?? '';
        expect(built).toMatch(/^holdfast:[0-9a-f]{16}$/);
        container.image = built;
      }
      expect(found, `${file}: ${kind} ${metadata?.name}`).toMatchObject(wanted);
    }
  }
  expect(images).toBe(1);
});

test('a fresh API takes deploy/ from kubectl without a warning', async () => {
  const api = await startSecureApi();
  try {
    const env = { KUBECONFIG: await api.kubeconfig(api.admin) };
    const fresh = (...args: string[]) => run('kubectl', args, { env });
    const made = await fresh('create', 'namespace', 'rook-ceph');
    expect(made.code, made.stderr).toBe(0);
    for (const folder of ['deploy/crds', 'deploy']) {
      const names = (await yamlBelow(folder)).filter((name) => !name.includes('/'));
      const files = names.flatMap((name) => ['-f', join(root, folder, name)]);
      const dry = await fresh('apply', '--dry-run=server', '--validate=strict', ...files);
      expect(dry.code, dry.stderr).toBe(0);
      // The namespace was made above, for a dry run makes none to put things in; kubectl says that it adopts it.
      const warnings = dry.stderr.split('\n').filter((line) => line !== '');
      expect(warnings.filter((line) => !line.includes('namespaces/rook-ceph is missing'))).toEqual([]);
      expect(
        dry.stdout
          .trim()
          .split('\n')
          .every((line) => /\((server )?dry run\)$/.test(line)),
      ).toBe(true);
    }
  } finally {
    await api.close();
  }
});
