import { describe, expect, test } from 'vitest';
import type { ApiObject, JsonObject, KindInfo } from '../kind.ts';
import { builtinKinds } from './builtin-kinds.ts';
import { builtinDefaults, builtinValidate } from './builtin-rules.ts';

const kinds = new Map(builtinKinds().map((kind) => [kind.kind, kind]));
const kindOf = (name: string) => kinds.get(name) as KindInfo;
const metadata = { name: 'x', namespace: 'default' };

/** As it comes over the wire: fields that are undefined are gone. */
const plainJson = (object: object): ApiObject => JSON.parse(JSON.stringify(object)) as ApiObject;

function made(kind: string, object: object): ApiObject {
  return builtinDefaults(kindOf(kind), plainJson({ metadata, ...object })) as ApiObject;
}

/** `field: message` of all that is wrong. */
function wrong(kind: string, object: object, before?: object): string[] {
  const next = made(kind, object);
  const old = before && plainJson({ metadata, ...before });
  return builtinValidate(kindOf(kind), next, old).map(({ field, message }) => `${field}: ${message}`);
}

const container = { name: 'a', image: 'busybox:1' };
const pod = (spec: object = {}) => ({ spec: { containers: [container], ...spec } });
const withContainer = (more: object) => pod({ containers: [{ ...container, ...more }] });
const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [container] } };
const deployment = (more: object = {}) => ({
  spec: { selector: { matchLabels: { app: 'web' } }, template, ...more },
});

describe('defaults', () => {
  test('of a pod', () => {
    const probe = { httpGet: { port: 80 } };
    const ports = [{ containerPort: 80 }];
    const resources = { limits: { memory: '1Gi' } };
    const volumes = [{ name: 'a' }, { name: 'b', hostPath: { path: '/b' } }, { name: 'c', secret: {} }];
    const containers = [{ name: 'a', image: 'busybox', ports, resources, livenessProbe: probe }];
    expect(made('Pod', { spec: { containers, volumes, hostNetwork: true } })['spec']).toEqual({
      hostNetwork: true,
      restartPolicy: 'Always',
      dnsPolicy: 'ClusterFirst',
      schedulerName: 'default-scheduler',
      terminationGracePeriodSeconds: 30,
      securityContext: {},
      enableServiceLinks: true,
      containers: [
        {
          name: 'a',
          image: 'busybox',
          imagePullPolicy: 'Always',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
          resources: { limits: { memory: '1Gi' }, requests: { memory: '1Gi' } },
          livenessProbe: {
            httpGet: { port: 80, path: '/', scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
        },
      ],
      volumes: [
        { name: 'a', emptyDir: {} },
        { name: 'b', hostPath: { path: '/b', type: '' } },
        { name: 'c', secret: { defaultMode: 420 } },
      ],
    });
  });

  test.each([
    ['busybox', 'Always'],
    ['busybox:latest', 'Always'],
    ['localhost:5000/busybox', 'Always'],
    ['quay.io/ceph/ceph:v16', 'IfNotPresent'],
    ['busybox@sha256:00', 'IfNotPresent'],
  ])('the pull policy of %s', (image, policy) => {
    const spec = made('Pod', { spec: { containers: [{ name: 'a', image }] } })['spec'];
    expect(spec).toMatchObject({ containers: [{ imagePullPolicy: policy }] });
  });

  test('of workloads', () => {
    expect(made('Deployment', deployment())['spec']).toMatchObject({
      replicas: 1,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      template: { spec: { restartPolicy: 'Always' } },
    });
    expect(made('Deployment', deployment({ strategy: { type: 'Recreate' } }))['spec']).toMatchObject({
      strategy: { type: 'Recreate' },
    });
    expect(made('Job', { spec: { template } })['spec']).toMatchObject({ completions: 1, parallelism: 1 });
    expect(made('Job', { spec: { template, parallelism: 2 } })['spec']).not.toHaveProperty('completions');
    expect(made('DaemonSet', deployment())['spec']).toMatchObject({
      updateStrategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    });
  });

  test('of other objects', () => {
    const data = { data: { a: 'QQ==' }, stringData: { b: 'B' } };
    const secret = made('Secret', data) as JsonObject;
    expect(secret).toMatchObject({ type: 'Opaque', data: { a: 'QQ==', b: 'Qg==' } });
    expect(secret).not.toHaveProperty('stringData');
    const service = made('Service', { spec: { ports: [{ port: 80 }] } })['spec'];
    expect(service).toMatchObject({
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    });
    const storageClass = made('StorageClass', { provisioner: 'p' });
    expect(storageClass).toMatchObject({ reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' });
    expect(storageClass).not.toHaveProperty('allowVolumeExpansion');
    const dataSource = { kind: 'PersistentVolumeClaim', name: 'from' };
    const claim = made('PersistentVolumeClaim', { spec: { dataSource } })['spec'];
    expect(claim).toMatchObject({ volumeMode: 'Filesystem', dataSourceRef: dataSource });
  });

  test('do nothing the second time, and bear objects of any shape', () => {
    for (const kind of kinds.values()) {
      for (const odd of [null, 1, 'x', [], { spec: 1 }, { spec: [{}] }, { spec: { template: 3 } }])
        expect(() => builtinDefaults(kind, structuredClone(odd))).not.toThrow();
      const once = made(kind.kind, deployment({ volumes: [null], containers: [7], ports: 'x' }));
      expect(builtinDefaults(kind, structuredClone(once))).toEqual(once);
    }
  });
});

describe('pods', () => {
  test('a right one passes', () => {
    expect(wrong('Pod', pod())).toEqual([]);
  });

  test('all errors at once', () => {
    const containers = [
      { name: 'A_b', volumeMounts: [{ name: 'gone', mountPath: '/x' }] },
      { ...container, ports: [{ containerPort: 70_000 }], env: [{ name: 'a=b' }] },
      container,
    ];
    const found = wrong('Pod', pod({ containers, volumes: [{ name: 'v' }, { name: 'v' }] }));
    expect(found).toEqual([
      'spec.volumes[1].name: Duplicate value: "v"',
      expect.stringContaining(
        'spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of',
      ),
      'spec.containers[0].image: Required value',
      'spec.containers[0].volumeMounts[0].name: Not found: "gone"',
      'spec.containers[1].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      expect.stringContaining('spec.containers[1].env[0].name: Invalid value: "a=b": a valid environment'),
      'spec.containers[2].name: Duplicate value: "a"',
    ]);
  });

  test.each([
    [
      { resources: { limits: { cpu: '1' }, requests: { cpu: '2' } } },
      'must be less than or equal to cpu limit of 1',
    ],
    [{ resources: { requests: { memory: '-1' } } }, 'must be greater than or equal to 0'],
    [{ livenessProbe: {} }, 'must specify a handler type'],
    [{ livenessProbe: { exec: { command: ['a'] }, tcpSocket: { port: 1 } } }, 'more than 1 handler type'],
    [{ livenessProbe: { tcpSocket: { port: 1 }, successThreshold: 2 } }, 'must be 1'],
    [
      { env: [{ name: 'A', value: 'a', valueFrom: { fieldRef: { fieldPath: 'x' } } }] },
      'may not be specified when',
    ],
    [
      {
        ports: [
          { containerPort: 1, name: 'a' },
          { containerPort: 2, name: 'a' },
        ],
      },
      'Duplicate value: "a"',
    ],
    [{ imagePullPolicy: 'Sometimes' }, 'supported values: "Always", "IfNotPresent", "Never"'],
  ])('a container with %j', (more, words) => {
    const found = wrong('Pod', withContainer(more));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(words);
  });

  test('mounts', () => {
    const mount = (more: object = {}) => ({ name: 'v', mountPath: '/a', ...more });
    const show = (...volumeMounts: object[]) => {
      const containers = [{ ...container, volumeMounts }];
      return wrong('Pod', pod({ containers, volumes: [{ name: 'v' }] }));
    };
    expect(show(mount())).toEqual([]);
    expect(show(mount(), mount())[0]).toContain(
      'volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
    );
    expect(show(mount({ subPath: '../b' }))[0]).toContain("must not contain '..'");
    expect(show(mount({ mountPropagation: 'Bidirectional' }))[0]).toContain('only to privileged containers');
  });

  test('only some fields change in its life', () => {
    const before = made('Pod', pod());
    expect(wrong('Pod', withContainer({ image: 'busybox:2' }), before)).toEqual([]);
    expect(wrong('Pod', pod({ activeDeadlineSeconds: 5 }), before)).toEqual([]);
    expect(wrong('Pod', pod({ hostNetwork: true }), before)[0]).toContain(
      'spec: Forbidden: pod updates may not change fields other than',
    );
    expect(wrong('Pod', pod({ containers: [container, { ...container, name: 'b' }] }), before)[0]).toContain(
      'may not add or remove containers',
    );
  });

  test('what is stored without today’s defaults can be written again', () => {
    expect(wrong('Pod', pod({ activeDeadlineSeconds: 5 }), pod())).toEqual([]);
  });

  test('one that breaks a rule already can still lose its finalizers', () => {
    const broken = withContainer({ image: '' });
    expect(wrong('Pod', broken)).toHaveLength(1);
    expect(wrong('Pod', { ...broken, metadata: { ...metadata, finalizers: [] } }, broken)).toEqual([]);
  });
});

describe('workloads', () => {
  test('the selector must find the template, stays, and pods restart always', () => {
    expect(wrong('Deployment', deployment())).toEqual([]);
    expect(wrong('Deployment', deployment({ selector: { matchLabels: { app: 'x' } } }))[0]).toContain(
      '`selector` does not match template `labels`',
    );
    expect(wrong('Deployment', deployment({ selector: {} }))[0]).toContain('empty selector is invalid');
    const never = { ...template, spec: { ...template.spec, restartPolicy: 'Never' } };
    expect(wrong('Deployment', deployment({ template: never }))).toEqual([
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ]);
    const other = { ...template, metadata: { labels: { app: 'y', web: 'x' } } };
    const moved = deployment({ selector: { matchLabels: { app: 'y' } }, template: other });
    for (const kind of ['Deployment', 'ReplicaSet', 'DaemonSet'])
      expect(wrong(kind, moved, deployment())).toEqual([
        'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable',
      ]);
    expect(wrong('StatefulSet', { spec: { ...moved.spec, serviceName: 's' } }, deployment())[0]).toContain(
      'spec: Forbidden: updates to statefulset spec for fields other than',
    );
  });

  test('a StatefulSet’s containers mount what its claim templates bring, and nothing else', () => {
    const mounting = (name: string) => {
      const containers = [{ ...container, volumeMounts: [{ name, mountPath: '/data' }] }];
      const spec = { ...template.spec, containers };
      const volumeClaimTemplates = [{ metadata: { name: 'data' }, spec: {} }];
      return wrong('StatefulSet', deployment({ template: { ...template, spec }, volumeClaimTemplates }));
    };
    expect(mounting('data')).toEqual([]);
    expect(mounting('other')).toEqual([expect.stringContaining('Not found: "other"')]);
  });

  test('a roll-out that could not move', () => {
    const rollingUpdate = { maxSurge: 0, maxUnavailable: 0 };
    expect(wrong('Deployment', deployment({ strategy: { rollingUpdate } }))[0]).toContain(
      'may not be 0 when `maxSurge` is 0',
    );
    expect(wrong('Deployment', deployment({ replicas: -1 }))[0]).toContain('greater than or equal to 0');
  });

  test('jobs', () => {
    const job = (more: object = {}) => {
      const spec = { ...template.spec, restartPolicy: 'Never', ...more };
      return { spec: { template: { ...template, spec } } };
    };
    expect(wrong('Job', job())).toEqual([]);
    expect(wrong('Job', job({ restartPolicy: 'Always' }))).toEqual([
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ]);
    expect(wrong('Job', job({ hostNetwork: true }), job())[0]).toMatch(
      /^spec.template: .*field is immutable$/,
    );
  });
});

describe('storage', () => {
  const claim = (more: object = {}, storage = '1Gi') => ({
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'c',
      resources: { requests: { storage } },
      ...more,
    },
  });
  const bound = { phase: 'Bound', capacity: { storage: '1Gi' } };

  test('claims', () => {
    expect(wrong('PersistentVolumeClaim', claim())).toEqual([]);
    expect(wrong('PersistentVolumeClaim', { spec: {} })).toEqual([
      'spec.accessModes: Required value: at least 1 access mode is required',
      'spec.resources[storage]: Required value',
    ]);
    const accessModes = ['ReadWriteOncePod', 'ReadWriteOnce'];
    expect(wrong('PersistentVolumeClaim', claim({ accessModes }))[0]).toContain(
      'may not use ReadWriteOncePod with other access modes',
    );
  });

  test('what of a claim may change', () => {
    const change = (next: object, before: object) => wrong('PersistentVolumeClaim', next, before);
    const words = expect.stringContaining('spec: Forbidden: spec is immutable after creation except');
    expect(change(claim({ volumeName: 'v' }), claim())).toEqual([]);
    expect(change(claim({ volumeName: 'w' }), claim({ volumeName: 'v' }))).toEqual([words]);
    expect(change(claim({ storageClassName: 'd' }), claim())).toEqual([words]);
    expect(change(claim(), claim({ storageClassName: undefined }))).toEqual([]);
    expect(change(claim({}, '2Gi'), claim())).toEqual([words]);
    const held = { ...claim({ volumeName: 'v' }), status: bound };
    expect(change(claim({ volumeName: 'v' }, '2Gi'), held)).toEqual([]);
    expect(change(claim({ volumeName: 'v' }, '1Mi'), held)).toEqual([
      'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
    ]);
  });

  test('volumes', () => {
    const csi = { driver: 'd', volumeHandle: 'h' };
    const spec = { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, csi };
    expect(wrong('PersistentVolume', { spec })).toEqual([]);
    expect(wrong('PersistentVolume', { spec: { ...spec, csi: undefined } })).toHaveLength(1);
    expect(wrong('PersistentVolume', { spec: { ...spec, hostPath: { path: '/a' } } })).toHaveLength(1);
    const change = (more: object) =>
      wrong('PersistentVolume', { spec: { ...spec, csi: { ...csi, ...more } } }, { spec });
    expect(change({ volumeHandle: 'i' })[0]).toContain('spec.persistentvolumesource is immutable');
    expect(change({ nodeExpandSecretRef: { name: 's' } })).toEqual([]);
    const claimRef = { namespace: 'default', name: 'c' };
    expect(wrong('PersistentVolume', { spec: { ...spec, claimRef } }, { spec })).toEqual([]);
  });

  test('classes', () => {
    const before = { provisioner: 'p', parameters: { pool: 'a' } };
    const after = { provisioner: 'q', parameters: { pool: 'b' }, reclaimPolicy: 'Retain' };
    expect(wrong('StorageClass', after, before)).toEqual([
      'parameters: Forbidden: updates to parameters are forbidden.',
      'provisioner: Forbidden: updates to provisioner are forbidden.',
      'reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.',
    ]);
    expect(wrong('StorageClass', { ...before, allowVolumeExpansion: true }, before)).toEqual([]);
  });
});

describe('other objects', () => {
  test('those that say they stay as they are', () => {
    const before = { immutable: true, data: { a: 'QQ==' } };
    for (const kind of ['Secret', 'ConfigMap'])
      expect(wrong(kind, { data: { a: 'Qg==' } }, before)).toEqual([
        'immutable: Forbidden: field is immutable when `immutable` is set',
        'data: Forbidden: field is immutable when `immutable` is set',
      ]);
    expect(wrong('ConfigMap', { data: { 'a/b': '' } })[0]).toContain('a valid config key must consist of');
    expect(wrong('Secret', { type: 'kubernetes.io/tls', data: {} })).toHaveLength(2);
  });

  test('services', () => {
    expect(wrong('Service', { spec: {} })).toEqual(['spec.ports: Required value']);
    expect(wrong('Service', { spec: { clusterIP: 'None' } })).toEqual([]);
    const ports = [{ port: 80 }, { port: 80, name: 'a' }];
    expect(wrong('Service', { spec: { ports } })).toEqual([
      'spec.ports[0].name: Required value',
      'spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}',
    ]);
  });

  test('roles and bindings', () => {
    expect(wrong('Role', { rules: [{ resources: ['pods'], apiGroups: [''] }] })).toHaveLength(1);
    const binding = (name: string) => ({ roleRef: { kind: 'Role', name }, subjects: [] });
    expect(wrong('RoleBinding', binding('b'), binding('a'))[0]).toContain('cannot change roleRef');
    const subjects = [{ kind: 'Robot', name: 'r' }];
    expect(wrong('RoleBinding', { ...binding('a'), subjects })[0]).toContain('Unsupported value: "Robot"');
  });
});

test('definitions', () => {
  const crd = (more: object = {}, version: object = { name: 'v1', served: true, storage: true }) => ({
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { kind: 'Widget', plural: 'widgets' },
      versions: [version],
      ...more,
    },
  });
  const found = (next: object, before?: object) => wrong('CustomResourceDefinition', next, before);
  expect(made('CustomResourceDefinition', crd())['spec']).toMatchObject({
    conversion: { strategy: 'None' },
    names: { singular: 'widget', listKind: 'WidgetList' },
  });
  expect(found(crd())).toEqual([]);
  expect(found(crd({ names: { kind: 'Widget', plural: 'gadgets' } }))).toEqual([
    'metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group',
  ]);
  expect(found(crd({}, { name: 'v1', served: true, storage: false }))).toEqual([
    'spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version',
  ]);
  expect(found(crd({ scope: 'Cluster' }), crd())).toEqual([
    'spec.scope: Invalid value: "Cluster": field is immutable',
  ]);
});
