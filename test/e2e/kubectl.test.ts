import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { etcdStore } from '../../src/standalone/apiserver/store/etcd-store.ts';
import { startEtcd, type TestEtcd } from '../support/etcd.ts';
import { startSecureApi, type SecureApi } from '../support/secure-api.ts';

// The real kubectl against the real server over the real etcd, as a user meets it.
const run = promisify(execFile);
let etcd: TestEtcd;
let api: SecureApi;
let folder: string;
let admin: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-kubectl-'));
  etcd = await startEtcd();
  const store = etcdStore({ endpoint: etcd.endpoint, tls: etcd.tls, clock: systemClock });
  api = await startSecureApi({ store, withoutAdmission: ['ServiceAccount'] });
  admin = await api.kubeconfig(api.admin);
  env = { PATH: process.env['PATH'] ?? '', HOME: folder, KUBECONFIG: admin, LC_ALL: 'C' };
});
afterAll(async () => {
  await api?.close();
  await etcd?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `kubectl` with words split at spaces. */
async function kubectl(words: string, more: readonly string[] = [], kubeconfig = admin): Promise<Result> {
  const args = [...words.split(' '), ...more];
  try {
    const { stdout, stderr } = await run('kubectl', args, {
      env: { ...env, KUBECONFIG: kubeconfig },
      timeout: 60_000,
    });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: code ?? -1, out: stdout ?? '', err: stderr ?? '' };
  }
}

async function ok(words: string, more: readonly string[] = []): Promise<string> {
  const { code, out, err } = await kubectl(words, more);
  expect(err, `kubectl ${words}`).not.toMatch(/error/i);
  expect(code, `kubectl ${words}: ${err}`).toBe(0);
  return out;
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const deployment = (replicas: number, image = 'busybox') => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: ${image}
        env: [{name: A, value: "1"}]
        ports: [{containerPort: 80}]
`;

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Phase, type: string, jsonPath: .status.phase}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wanted.
            properties:
              size: {type: integer, minimum: 1, maximum: 9, description: How many.}
              colour: {type: string, default: red}
          status:
            type: object
            properties: {phase: {type: string}}
`;

describe('apply', () => {
  test('creates, changes nothing, changes, diffs', async () => {
    const path = await file('web.yaml', deployment(1));
    expect(await ok(`apply -f ${path}`)).toContain('deployment.apps/web created');
    expect(await ok(`apply -f ${path}`)).toContain('deployment.apps/web unchanged');
    await file('web.yaml', deployment(2, 'debian:12'));
    const diff = await kubectl(`diff -f ${path}`);
    expect(diff.code).toBe(1);
    expect(diff.out).toMatch(/\+.*debian:12/);
    expect(await ok(`apply -f ${path}`)).toContain('deployment.apps/web configured');
    const shown = JSON.parse(await ok('get deploy web -o json')) as {
      spec: {
        replicas: number;
        template: { spec: { containers: { image: string; env: unknown[]; imagePullPolicy: string }[] } };
      };
      metadata: { generation: number };
    };
    expect(shown.spec.replicas).toBe(2);
    expect(shown.metadata.generation).toBe(2);
    const [container] = shown.spec.template.spec.containers;
    expect(container).toMatchObject({ image: 'debian:12', env: [{ name: 'A', value: '1' }] });
  });

  test('server-side: owns what it says, and refuses what is another manager’s', async () => {
    const map = (value: string) =>
      `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"ssa"},"data":{"k":"${value}"}}`;
    const path = await file('ssa.json', map('1'));
    expect(await ok(`apply --server-side --field-manager=one -f ${path}`)).toContain('serverside-applied');
    await file('ssa.json', map('2'));
    const refused = await kubectl(`apply --server-side --field-manager=two -f ${path}`);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('conflict with "one"');
    await ok(`apply --server-side --field-manager=two --force-conflicts -f ${path}`);
    const managers = await ok('get cm ssa --show-managed-fields', [
      '-o',
      'jsonpath={.metadata.managedFields[*].manager}',
    ]);
    expect(managers).toContain('two');
  });

  test('an unknown field is refused, a wrong type too', async () => {
    const path = await file(
      'wrong.yaml',
      deployment(1).replace('replicas: 1', 'replicas: 1\n  nonsense: true'),
    );
    const refused = await kubectl(`apply -f ${path}`);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('unknown field "spec.nonsense"');
    const bad = await file('bad.yaml', deployment(1).replace('replicas: 1', 'replicas: many'));
    expect((await kubectl(`apply -f ${bad}`)).code).not.toBe(0);
  });
});

describe('everyday commands', () => {
  test('create, label, annotate, patch, scale, delete', async () => {
    await ok('create configmap a --from-literal=x=1');
    await ok('create secret generic s --from-literal=password=geheim');
    await ok('create namespace extra');
    await ok('create serviceaccount robot -n extra');
    await ok('create deployment d --image=busybox --replicas=0');
    await ok('label configmap a tier=front');
    await ok('annotate configmap a note=hello');
    expect(await ok('get cm -l tier=front -o name')).toBe('configmap/a\n');
    await ok('patch configmap a', ['--type=json', '-p', '[{"op":"add","path":"/data/y","value":"2"}]']);
    await ok('patch configmap a', ['--type=merge', '-p', '{"data":{"x":null}}']);
    expect(await ok('get cm a', ['-o', 'jsonpath={.data}'])).toBe('{"y":"2"}');
    await ok('patch deployment d', [
      '-p',
      '{"spec":{"template":{"spec":{"containers":[{"name":"busybox","tty":true}]}}}}',
    ]);
    expect(await ok('get deploy d', ['-o', 'jsonpath={.spec.template.spec.containers[0].image}'])).toBe(
      'busybox',
    );
    expect(await ok('scale deploy d --replicas=3')).toContain('scaled');
    expect(await ok('get deploy d', ['-o', 'jsonpath={.spec.replicas}'])).toBe('3');
    expect(await ok('get secret s', ['-o', 'jsonpath={.data.password}'])).toBe(
      Buffer.from('geheim').toString('base64'),
    );
    await ok('set image deployment/d busybox=debian:12');
    await ok('delete deployment d --wait=true');
    await ok('delete cm a --wait=true');
    expect((await kubectl('get cm a')).err).toContain(
      'Error from server (NotFound): configmaps "a" not found',
    );
  });

  test('get in its forms: table, wide, sorted, all namespaces, events', async () => {
    for (const name of ['b', 'a']) await ok(`create configmap sorted-${name} --from-literal=k=v`);
    const table = await ok('get cm --sort-by=.metadata.name');
    expect(table.split('\n')[0]).toMatch(/^NAME +DATA +AGE/);
    expect(table.indexOf('sorted-a')).toBeLessThan(table.indexOf('sorted-b'));
    expect(await ok('get ns')).toMatch(/default +Active/);
    expect(await ok('get svc kubernetes -o wide')).toMatch(/kubernetes +ClusterIP +10\.96\.0\.1/);
    expect(await ok('get pods,svc -A')).toContain('service/kubernetes');
    expect((await kubectl('events')).code).toBe(0);
    expect(await ok('describe svc kubernetes')).toContain('Endpoints:');
    expect(await ok('describe deploy web')).toContain('Selector:');
    expect(await ok('get all')).toContain('deployment.apps/web');
  });

  test('wait and watch see changes', async () => {
    await ok('create configmap waited --from-literal=k=1');
    const waiting = kubectl('wait cm/waited --timeout=20s', ['--for=jsonpath={.data.k}=2']);
    const watching = spawn('kubectl', ['get', 'cm', 'waited', '-w', '-o', 'jsonpath={.data.k} '], { env });
    let seen = '';
    watching.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await expect.poll(() => seen).toContain('1');
    await ok('patch configmap waited', ['--type=merge', '-p', '{"data":{"k":"2"}}']);
    expect((await waiting).code).toBe(0);
    await expect.poll(() => seen).toContain('2');
    watching.kill();
    const gone = kubectl('wait cm/waited --for=delete --timeout=20s');
    await ok('delete cm waited');
    expect((await gone).code).toBe(0);
  });

  test('api-resources, api-versions, explain, version, can-i', async () => {
    const resources = await ok('api-resources');
    for (const line of [
      /pods +po +v1 +true +Pod/,
      /deployments +deploy +apps\/v1 +true +Deployment/,
      /storageclasses +sc +storage.k8s.io\/v1 +false +StorageClass/,
    ])
      expect(resources).toMatch(line);
    expect(await ok('api-versions')).toContain('rbac.authorization.k8s.io/v1');
    expect(await ok('explain deployment.spec.replicas')).toMatch(/FIELD: replicas <integer>/);
    expect(await ok('explain pod.spec.containers')).toContain('imagePullPolicy');
    expect((await kubectl('version')).out).toContain('Server Version: v1.32');
    expect(await ok('auth can-i delete pods')).toBe('yes\n');
    const bob = await api.kubeconfig(await api.issue('bob'));
    const refused = await kubectl('auth can-i delete pods', [], bob);
    expect([refused.out, refused.code]).toEqual(['no\n', 1]);
    expect((await kubectl('auth whoami', [], bob)).out).toContain('bob');
    expect((await kubectl('auth can-i --list', [], bob)).out).toContain(
      'selfsubjectaccessreviews.authorization.k8s.io',
    );
    expect((await kubectl('get pods', [], bob)).err).toContain(
      'Error from server (Forbidden): pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"',
    );
  });

  test('create token gives one that works', async () => {
    await ok('create serviceaccount reader');
    await ok('create role reader --verb=get,list --resource=configmaps');
    await ok('create rolebinding reader --role=reader --serviceaccount=default:reader');
    const token = (await ok('create token reader')).trim();
    const reader = await api.kubeconfig({ token });
    expect((await kubectl('get cm', [], reader)).code).toBe(0);
    expect((await kubectl('get secrets', [], reader)).err).toContain(
      'User "system:serviceaccount:default:reader" cannot list',
    );
  });
});

describe('custom kinds', () => {
  test('are served, printed, explained, defaulted and validated', async () => {
    const path = await file('widgets.yaml', widgets);
    await ok(`apply -f ${path}`);
    await ok('wait --for=condition=Established crd/widgets.example.com --timeout=10s');
    const widget = (name: string, size: unknown) =>
      `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"${name}"},"spec":{"size":${JSON.stringify(size)}}}`;
    expect(await ok(`apply -f ${await file('w.json', widget('w', 3))}`)).toContain(
      'widget.example.com/w created',
    );
    expect(await ok('get wd')).toMatch(/NAME +SIZE +PHASE\s+w +3/);
    expect(await ok('get widget w', ['-o', 'jsonpath={.spec.colour}'])).toBe('red');
    expect(await ok('explain widget.spec')).toContain('How many.');
    const wrong = await kubectl(`apply -f ${await file('wrong.json', widget('x', 10))}`);
    expect(wrong.code).not.toBe(0);
    expect(wrong.err).toContain('spec.size');
    await ok('patch widget w --subresource=status', ['--type=merge', '-p', '{"status":{"phase":"Ready"}}']);
    expect(await ok('get wd w')).toContain('Ready');
    await ok('delete crd widgets.example.com --wait=true --timeout=20s');
    expect((await kubectl('get widgets')).err).toMatch(
      /the server (doesn't have a resource type|could not find the requested resource)/,
    );
  });
});
