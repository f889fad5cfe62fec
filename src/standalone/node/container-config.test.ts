import type { Container, Pod } from 'kubernetes-types/core/v1.js';
import { expect, test } from 'vitest';
import { containerConfig, linuxResources, type ResolvedImage } from './container-config.ts';
import { hostnameOf, parseResolvConf, sandboxConfig } from './sandbox-config.ts';

const image: ResolvedImage = {
  reference: 'localhost/base:1',
  mounts: [
    { hostPath: '/usr', containerPath: '/usr' },
    { hostPath: '/etc/ssl', containerPath: '/etc/ssl' },
  ],
  env: ['PATH=/bin', 'X=image'],
  entrypoint: ['/entry'],
  cmd: ['default'],
  uid: 0n,
};
const pod = (spec: object = {}): Pod => ({
  metadata: { name: 'p', namespace: 'd', uid: 'u' },
  spec: { containers: [], ...spec },
});
const config = (container: Partial<Container>, spec: object = {}, mounts: object[] = []) =>
  containerConfig({
    pod: pod(spec),
    container: { name: 'main', image: 'img', ...container },
    attempt: 3,
    image,
    environment: new Map([
      ['X', 'pod'],
      ['Y', 'y'],
    ]),
    mounts: mounts as never,
    devices: [],
    terminationFile: '/t',
  });

test.each([
  [{}, ['/entry'], ['default']],
  [{ args: ['a'] }, ['/entry'], ['a']],
  [{ command: ['c'] }, ['c'], []],
  [{ command: ['c', '$(Y)'], args: ['$(X)', '$(NO)'] }, ['c', 'y'], ['pod', '$(NO)']],
])('command and args: %j', (container, command, args) => {
  expect(config(container)).toMatchObject({ command, args });
});

test("the pod's environment wins over the image's", () => {
  const envs = config({}).envs?.map((one) => `${one.key}=${Buffer.from(one.value ?? []).toString()}`);
  expect(envs).toEqual(['PATH=/bin', 'X=pod', 'Y=y']);
});

test("the image's mounts are read-only and give way to the pod's own", () => {
  const { mounts } = config({}, {}, [{ hostPath: '/v', containerPath: '/etc/ssl/' }]);
  expect(mounts).toEqual([
    expect.objectContaining({ hostPath: '/usr', readonly: true }),
    { hostPath: '/v', containerPath: '/etc/ssl/' },
    { hostPath: '/t', containerPath: '/dev/termination-log' },
  ]);
});

test('security: what the container says wins over the pod', () => {
  const { linux } = config(
    {
      securityContext: {
        runAsUser: 7,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { add: ['CAP_NET_ADMIN'], drop: ['ALL'] },
      },
    },
    {
      securityContext: { runAsUser: 5, runAsGroup: 6, fsGroup: 9, supplementalGroups: [8] },
      hostPID: true,
      hostNetwork: true,
    },
  );
  expect(linux?.securityContext).toMatchObject({
    runAsUser: { value: 7n },
    runAsGroup: { value: 6n },
    supplementalGroups: [8n, 9n],
    noNewPrivs: true,
    readonlyRootfs: true,
    capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] },
    namespaceOptions: { network: 2, pid: 2, ipc: 0 },
  });
  expect(config({ securityContext: { privileged: true } }).linux?.securityContext).toMatchObject({
    privileged: true,
    maskedPaths: [],
  });
});

test('root where root is refused', () => {
  const nonRoot = { runAsNonRoot: true };
  expect(() => config({ securityContext: nonRoot })).toThrow('image will run as root');
  expect(() => config({ securityContext: { ...nonRoot, runAsUser: 0 } })).toThrow('breaks non-root policy');
  expect(() => config({ securityContext: { ...nonRoot, runAsUser: 1 } })).not.toThrow();
});

test('resources', () => {
  const of = (resources: object) => linuxResources({ name: 'c', resources });
  expect(of({})).toEqual({ cpuShares: 2n });
  expect(of({ requests: { cpu: '500m' } })).toEqual({ cpuShares: 512n });
  expect(of({ limits: { cpu: '2', memory: '1Gi' } })).toEqual({
    cpuShares: 2048n,
    cpuPeriod: 100_000n,
    cpuQuota: 200_000n,
    memoryLimitInBytes: 1n << 30n,
  });
  expect(of({ limits: { cpu: '1m' } }).cpuQuota).toBe(1000n);
});

test('sandbox: names, host name and DNS', () => {
  const inputs = {
    attempt: 0,
    nodeName: 'n1',
    logDirectory: '/l',
    nodeResolv: parseResolvConf('nameserver 9.9.9.9\nsearch a b\n'),
  };
  const dns = (spec: object, clusterDns?: string) =>
    sandboxConfig({ ...inputs, pod: pod(spec), clusterDns }).dnsConfig;
  expect(dns({})).toEqual({ servers: ['9.9.9.9'], searches: ['a', 'b'], options: [] });
  expect(dns({}, '10.96.0.10')).toMatchObject({
    servers: ['10.96.0.10'],
    searches: ['d.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'a', 'b'],
  });
  expect(dns({ hostNetwork: true }, '10.96.0.10')).toMatchObject({ servers: ['9.9.9.9'] });
  expect(
    dns({
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['1.1.1.1'], options: [{ name: 'ndots', value: '2' }] },
    }),
  ).toEqual({ servers: ['1.1.1.1'], searches: [], options: ['ndots:2'] });
  expect(hostnameOf({ metadata: { name: `${'x'.repeat(62)}-y` } })).toBe('x'.repeat(62));
});
