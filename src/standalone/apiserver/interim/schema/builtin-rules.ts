import type { ApiObject, FieldError, JsonObject, KindInfo } from '../../kind.ts';
// oxlint-disable-next-line typescript/no-explicit-any
type O = { [k: string]: any };
function probe(p: O | undefined): void {
  if (!p) return;
  p['timeoutSeconds'] ??= 1;
  p['periodSeconds'] ??= 10;
  p['successThreshold'] ??= 1;
  p['failureThreshold'] ??= 3;
  if (p['httpGet']) {
    p['httpGet'].path ??= '/';
    p['httpGet'].scheme ??= 'HTTP';
  }
}
function container(c: O): void {
  const tag = /:([^/:]+)$/.exec(String(c['image'] ?? ''))?.[1];
  c['imagePullPolicy'] ??=
    String(c['image']).includes('@') || (tag !== undefined && tag !== 'latest') ? 'IfNotPresent' : 'Always';
  c['terminationMessagePath'] ??= '/dev/termination-log';
  c['terminationMessagePolicy'] ??= 'File';
  c['resources'] ??= {};
  for (const p of c['ports'] ?? []) p.protocol ??= 'TCP';
  for (const e of c['env'] ?? []) if (e.valueFrom?.fieldRef) e.valueFrom.fieldRef.apiVersion ??= 'v1';
  for (const [r, l] of Object.entries(c['resources'].limits ?? {})) {
    c['resources'].requests ??= {};
    c['resources'].requests[r] ??= l;
  }
  probe(c['livenessProbe']);
  probe(c['readinessProbe']);
  probe(c['startupProbe']);
}
function podSpec(s: O | undefined, restart = 'Always'): void {
  if (!s) return;
  s['restartPolicy'] ??= restart;
  s['terminationGracePeriodSeconds'] ??= 30;
  s['dnsPolicy'] ??= 'ClusterFirst';
  s['securityContext'] ??= {};
  s['schedulerName'] ??= 'default-scheduler';
  for (const c of [...(s['containers'] ?? []), ...(s['initContainers'] ?? [])]) container(c);
  for (const v of s['volumes'] ?? []) {
    for (const k of ['secret', 'configMap', 'downwardAPI', 'projected']) if (v[k]) v[k].defaultMode ??= 420;
    if (v.hostPath) v.hostPath.type ??= '';
    if (Object.keys(v).length === 1) v.emptyDir = {};
    for (const src of v.projected?.sources ?? [])
      if (src.serviceAccountToken) src.serviceAccountToken.expirationSeconds ??= 3600;
  }
}
export function builtinDefaults(kind: KindInfo, object: unknown): unknown {
  const o = object as O;
  const s = o['spec'] as O | undefined;
  if (kind.plural === 'secrets' && o['stringData']) {
    o['data'] = {
      ...o['data'],
      ...Object.fromEntries(
        Object.entries(o['stringData'] as O).map(([k, v]) => [k, Buffer.from(String(v)).toString('base64')]),
      ),
    };
    delete o['stringData'];
  }
  if (kind.plural === 'secrets') o['type'] ??= 'Opaque';
  if (kind.plural === 'pods') {
    podSpec(s);
    if (s && !o['status']) o['status'] = { phase: 'Pending', qosClass: 'BestEffort' };
    if (s) s['enableServiceLinks'] ??= true;
  }
  podSpec(s?.['template']?.spec);
  if (kind.plural === 'deployments' && s) {
    s['replicas'] ??= 1;
    s['revisionHistoryLimit'] ??= 10;
    s['progressDeadlineSeconds'] ??= 600;
    s['strategy'] ??= {};
    s['strategy'].type ??= 'RollingUpdate';
    if (s['strategy'].type === 'RollingUpdate')
      s['strategy'].rollingUpdate = {
        maxSurge: '25%',
        maxUnavailable: '25%',
        ...s['strategy'].rollingUpdate,
      };
  }
  if (kind.plural === 'replicasets' && s) s['replicas'] ??= 1;
  if (kind.plural === 'statefulsets' && s) {
    s['replicas'] ??= 1;
    s['revisionHistoryLimit'] ??= 10;
    s['podManagementPolicy'] ??= 'OrderedReady';
    s['updateStrategy'] ??= { type: 'RollingUpdate', rollingUpdate: { partition: 0 } };
  }
  if (kind.plural === 'daemonsets' && s) {
    s['revisionHistoryLimit'] ??= 10;
    s['updateStrategy'] ??= {};
    s['updateStrategy'].type ??= 'RollingUpdate';
    if (s['updateStrategy'].type === 'RollingUpdate')
      s['updateStrategy'].rollingUpdate = {
        maxSurge: 0,
        maxUnavailable: 1,
        ...s['updateStrategy'].rollingUpdate,
      };
  }
  if (kind.plural === 'jobs' && s) {
    s['parallelism'] ??= 1;
    s['completions'] ??= 1;
    s['backoffLimit'] ??= 6;
    s['completionMode'] ??= 'NonIndexed';
    s['suspend'] ??= false;
  }
  if (kind.plural === 'persistentvolumeclaims' && s) {
    s['volumeMode'] ??= 'Filesystem';
    if (!o['status']) o['status'] = { phase: 'Pending' };
  }
  if (kind.plural === 'persistentvolumes' && s) {
    s['volumeMode'] ??= 'Filesystem';
    s['persistentVolumeReclaimPolicy'] ??= 'Retain';
    if (!o['status']) o['status'] = { phase: 'Pending' };
  }
  if (kind.plural === 'storageclasses') {
    o['reclaimPolicy'] ??= 'Delete';
    o['volumeBindingMode'] ??= 'Immediate';
  }
  if (kind.plural === 'services' && s)
    for (const p of s['ports'] ?? []) {
      p.protocol ??= 'TCP';
      p.targetPort ??= p.port;
    }
  if (kind.plural === 'nodes' && !o['spec']) o['spec'] = {};
  return o;
}
export const builtinValidate = (
  _kind: KindInfo,
  _object: ApiObject | JsonObject,
  _old?: unknown,
): FieldError[] => [];
