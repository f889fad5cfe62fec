import type { Json, JsonObject } from '../../kind.ts';
import { isJsonObject } from '../walk.ts';
import { ensureMap, mapIn, mapsIn, setAbsent, setEmpty } from './draft.ts';
import { volumeSourceDefaults } from './pod-defaults.ts';

export type ObjectDefaults = (object: JsonObject) => void;

const rbacGroup = 'rbac.authorization.k8s.io';

function binding(object: JsonObject): void {
  setEmpty(mapIn(object, 'roleRef'), 'apiGroup', rbacGroup);
  for (const subject of mapsIn(object, 'subjects'))
    if (subject['kind'] === 'User' || subject['kind'] === 'Group') setEmpty(subject, 'apiGroup', rbacGroup);
}

function secret(object: JsonObject): void {
  setEmpty(object, 'type', 'Opaque');
  const plain = mapIn(object, 'stringData');
  if (!plain) return;
  const data = ensureMap(object, 'data');
  for (const [key, value] of Object.entries(plain)) {
    // Something else than a string stays where it is, to be refused there.
    if (typeof value !== 'string' || !data) return;
    data[key] = Buffer.from(value).toString('base64');
  }
  delete object['stringData'];
}

function service(object: JsonObject): void {
  const spec = mapIn(object, 'spec');
  if (!spec) return;
  setEmpty(spec, 'type', 'ClusterIP');
  setEmpty(spec, 'sessionAffinity', 'None');
  if (spec['sessionAffinity'] === 'ClientIP') {
    const config = ensureMap(spec, 'sessionAffinityConfig');
    setAbsent(config && ensureMap(config, 'clientIP'), 'timeoutSeconds', 10_800);
  }
  for (const port of mapsIn(spec, 'ports')) {
    setEmpty(port, 'protocol', 'TCP');
    if (typeof port['port'] === 'number') setEmpty(port, 'targetPort', port['port']);
  }
  if (spec['type'] === 'ExternalName') return;
  setAbsent(spec, 'internalTrafficPolicy', 'Cluster');
  if (spec['type'] === 'ClusterIP') return;
  setEmpty(spec, 'externalTrafficPolicy', 'Cluster');
  if (spec['type'] === 'LoadBalancer') setAbsent(spec, 'allocateLoadBalancerNodePorts', true);
}

/** A source of data is said in two fields, of which clients may set either. */
function claimSources(spec: JsonObject): void {
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec['dataSourceRef'] = structuredClone(dataSource);
  else if (isJsonObject(dataSourceRef) && !dataSource && !dataSourceRef['namespace'])
    spec['dataSource'] = structuredClone(dataSourceRef);
}

function csiDriver(object: JsonObject): void {
  const spec = ensureMap(object, 'spec');
  setAbsent(spec, 'attachRequired', true);
  setAbsent(spec, 'podInfoOnMount', false);
  setAbsent(spec, 'storageCapacity', false);
  setAbsent(spec, 'fsGroupPolicy', 'ReadWriteOnceWithFSType');
  setAbsent(spec, 'requiresRepublish', false);
  setAbsent(spec, 'seLinuxMount', false);
  const modes = spec?.['volumeLifecycleModes'];
  if (spec && (!modes || (Array.isArray(modes) && modes.length === 0)))
    spec['volumeLifecycleModes'] = ['Persistent'];
}

function definition(object: JsonObject): void {
  const spec = mapIn(object, 'spec');
  if (!spec) return;
  setAbsent(spec, 'conversion', { strategy: 'None' });
  const names = mapIn(spec, 'names');
  const kind = names?.['kind'];
  if (typeof kind !== 'string' || kind === '') return;
  setEmpty(names, 'singular', kind.toLowerCase());
  setEmpty(names, 'listKind', `${kind}List`);
}

/** Of a container's limits each one stands in for the next that is not given: max, default, defaultRequest. */
function limitRange(object: JsonObject): void {
  const chain = (item: JsonObject, to: string, from: string) => {
    for (const [name, amount] of Object.entries(mapIn(item, from) ?? {}))
      setAbsent(ensureMap(item, to), name, amount as Json);
  };
  for (const item of mapsIn(mapIn(object, 'spec'), 'limits')) {
    if (item['type'] !== 'Container') continue;
    chain(item, 'default', 'max');
    chain(item, 'defaultRequest', 'default');
    chain(item, 'defaultRequest', 'min');
  }
}

function networkPolicy(object: JsonObject): void {
  const spec = mapIn(object, 'spec');
  if (!spec) return;
  const egress = mapsIn(spec, 'egress');
  setAbsent(spec, 'policyTypes', egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress']);
  for (const rule of [...mapsIn(spec, 'ingress'), ...egress])
    for (const port of mapsIn(rule, 'ports')) setAbsent(port, 'protocol', 'TCP');
}

function endpointPorts(ports: readonly JsonObject[]): void {
  for (const port of ports) setEmpty(port, 'protocol', 'TCP');
}

/** What the API server itself fills in, by kind. */
export const objectDefaults: Readonly<Record<string, ObjectDefaults>> = {
  Secret: secret,
  Service: service,
  RoleBinding: binding,
  ClusterRoleBinding: binding,
  CSIDriver: csiDriver,
  CustomResourceDefinition: definition,
  LimitRange: limitRange,
  NetworkPolicy: networkPolicy,
  PersistentVolume(object) {
    const spec = mapIn(object, 'spec');
    if (!spec) return;
    setEmpty(spec, 'persistentVolumeReclaimPolicy', 'Retain');
    setAbsent(spec, 'volumeMode', 'Filesystem');
    volumeSourceDefaults(spec);
  },
  PersistentVolumeClaim(object) {
    const spec = mapIn(object, 'spec');
    if (!spec) return;
    setAbsent(spec, 'volumeMode', 'Filesystem');
    claimSources(spec);
  },
  StorageClass(object) {
    setAbsent(object, 'reclaimPolicy', 'Delete');
    setAbsent(object, 'volumeBindingMode', 'Immediate');
  },
  Namespace(object) {
    const metadata = mapIn(object, 'metadata');
    if (!metadata || typeof metadata['name'] !== 'string') return;
    const labels = ensureMap(metadata, 'labels');
    if (labels) labels['kubernetes.io/metadata.name'] = metadata['name'];
  },
  Node(object) {
    setAbsent(object, 'spec', {});
    const status = mapIn(object, 'status');
    const capacity = mapIn(status, 'capacity');
    if (status && capacity) setAbsent(status, 'allocatable', { ...capacity });
  },
  PriorityClass(object) {
    setAbsent(object, 'preemptionPolicy', 'PreemptLowerPriority');
  },
  HorizontalPodAutoscaler(object) {
    setAbsent(mapIn(object, 'spec'), 'minReplicas', 1);
  },
  Endpoints(object) {
    for (const subset of mapsIn(object, 'subsets')) endpointPorts(mapsIn(subset, 'ports'));
  },
  EndpointSlice(object) {
    const ports = mapsIn(object, 'ports');
    endpointPorts(ports);
    for (const port of ports) setAbsent(port, 'name', '');
  },
};
