import type { JsonObject } from '../../kind.ts';
import { ensureMap, mapIn, mapsIn, setAbsent, setEmpty } from './draft.ts';

const fileMode = 0o644;

function httpDefaults(action: JsonObject | undefined): void {
  setEmpty(action, 'path', '/');
  setEmpty(action, 'scheme', 'HTTP');
}

function probeDefaults(probe: JsonObject | undefined): void {
  if (!probe) return;
  setEmpty(probe, 'timeoutSeconds', 1);
  setEmpty(probe, 'periodSeconds', 10);
  setEmpty(probe, 'successThreshold', 1);
  setEmpty(probe, 'failureThreshold', 3);
  httpDefaults(mapIn(probe, 'httpGet'));
  const grpc = mapIn(probe, 'grpc');
  if (grpc) setAbsent(grpc, 'service', '');
}

/** `Always` where the image may change under its name: no tag, or `latest`. */
function pullPolicy(image: unknown): string {
  if (typeof image !== 'string' || image.includes('@')) return 'IfNotPresent';
  const tag = /:([^:/]+)$/.exec(image)?.[1] ?? 'latest';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function envDefaults(container: JsonObject): void {
  for (const variable of mapsIn(container, 'env')) {
    const from = mapIn(variable, 'valueFrom');
    setEmpty(mapIn(from, 'fieldRef'), 'apiVersion', 'v1');
    setAbsent(mapIn(from, 'resourceFieldRef'), 'divisor', '0');
  }
}

function containerDefaults(container: JsonObject): void {
  setEmpty(container, 'imagePullPolicy', pullPolicy(container['image']));
  setEmpty(container, 'terminationMessagePath', '/dev/termination-log');
  setEmpty(container, 'terminationMessagePolicy', 'File');
  setAbsent(container, 'resources', {});
  for (const port of mapsIn(container, 'ports')) setEmpty(port, 'protocol', 'TCP');
  envDefaults(container);
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'])
    probeDefaults(mapIn(container, probe));
  const lifecycle = mapIn(container, 'lifecycle');
  for (const moment of ['postStart', 'preStop']) httpDefaults(mapIn(mapIn(lifecycle, moment), 'httpGet'));
}

function fieldItems(source: JsonObject | undefined): void {
  for (const item of mapsIn(source, 'items')) {
    setEmpty(mapIn(item, 'fieldRef'), 'apiVersion', 'v1');
    setAbsent(mapIn(item, 'resourceFieldRef'), 'divisor', '0');
  }
}

/** The defaults of what PVs and pods' volumes have in common. */
export function volumeSourceDefaults(volume: JsonObject): void {
  setAbsent(mapIn(volume, 'hostPath'), 'type', '');
  setEmpty(mapIn(volume, 'iscsi'), 'iscsiInterface', 'default');
  const rbd = mapIn(volume, 'rbd');
  setEmpty(rbd, 'pool', 'rbd');
  setEmpty(rbd, 'user', 'admin');
  setEmpty(rbd, 'keyring', '/etc/ceph/keyring');
}

function volumeDefaults(volume: JsonObject): void {
  if (Object.keys(volume).every((field) => field === 'name')) volume['emptyDir'] = {};
  for (const source of ['secret', 'configMap', 'downwardAPI', 'projected'])
    setAbsent(mapIn(volume, source), 'defaultMode', fileMode);
  fieldItems(mapIn(volume, 'downwardAPI'));
  for (const source of mapsIn(mapIn(volume, 'projected'), 'sources')) {
    setAbsent(mapIn(source, 'serviceAccountToken'), 'expirationSeconds', 3600);
    fieldItems(mapIn(source, 'downwardAPI'));
  }
  const claim = mapIn(mapIn(mapIn(volume, 'ephemeral'), 'volumeClaimTemplate'), 'spec');
  setAbsent(claim, 'volumeMode', 'Filesystem');
  volumeSourceDefaults(volume);
}

const containersOf = (spec: JsonObject): JsonObject[] => [
  ...mapsIn(spec, 'initContainers'),
  ...mapsIn(spec, 'containers'),
];

/** Fills in a pod spec, of a pod or of a template. */
export function podSpecDefaults(spec: JsonObject | undefined): void {
  if (!spec) return;
  setEmpty(spec, 'restartPolicy', 'Always');
  setEmpty(spec, 'dnsPolicy', 'ClusterFirst');
  setEmpty(spec, 'schedulerName', 'default-scheduler');
  setAbsent(spec, 'terminationGracePeriodSeconds', 30);
  setAbsent(spec, 'securityContext', {});
  for (const container of [...containersOf(spec), ...mapsIn(spec, 'ephemeralContainers')])
    containerDefaults(container);
  for (const volume of mapsIn(spec, 'volumes')) volumeDefaults(volume);
}

/** Fills in a pod: what a template leaves open, because it depends on the whole pod, is settled here. */
export function podDefaults(spec: JsonObject | undefined): void {
  if (!spec) return;
  setAbsent(spec, 'enableServiceLinks', true);
  podSpecDefaults(spec);
  for (const container of containersOf(spec)) {
    const limits = mapIn(mapIn(container, 'resources'), 'limits');
    const resources = mapIn(container, 'resources');
    for (const [name, amount] of Object.entries(limits ?? {}))
      setAbsent(resources && ensureMap(resources, 'requests'), name, amount);
    if (spec['hostNetwork'] !== true) continue;
    for (const port of mapsIn(container, 'ports'))
      if (typeof port['containerPort'] === 'number') setEmpty(port, 'hostPort', port['containerPort']);
  }
}
