import { z } from 'zod';
import { ConfigMaps } from '../../api/core.ts';
import type { ClusterWork } from '../ceph-cluster/work.ts';
import { fieldManager } from '../objects.ts';
import { csiConfigName } from './names.ts';

const Entry = z.looseObject({ clusterID: z.string() });
const key = 'csi-cluster-config-json';

/** `[v2:10.96.3.4:3300,v1:10.96.3.4:6789],...` -> `10.96.3.4:3300`, ... */
export const msgr2Endpoints = (monHost: string): string[] =>
  [...monHost.matchAll(/v2:([^,\]]+(?:\][^,\]]*)?)/g)].map((found) => found[1] ?? '');

/**
 * Puts this cluster into the ConfigMap that CSI reads, and leaves the entries of other clusters. Written
 * as a compare-and-swap, for clusters are worked on side by side.
 */
export async function ensureCsiConfig(work: ClusterWork, monHost: string): Promise<void> {
  const ref = { namespace: work.operatorNamespace, name: csiConfigName };
  const entry = { clusterID: work.namespace, monitors: msgr2Endpoints(monHost), namespace: work.namespace };
  const map = await work.objects.createOnce(
    ConfigMaps,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...ref }, data: { [key]: '[]' } },
    work.signal,
  );
  const before = map.data?.[key] ?? '[]';
  const entries = z.array(Entry).safeParse(JSON.parse(before)).data ?? [];
  const after = JSON.stringify([...entries.filter((one) => one.clusterID !== entry.clusterID), entry]);
  if (after === before) return;
  await work.kube.update(
    ConfigMaps,
    { ...map, data: { ...map.data, [key]: after } },
    { signal: work.signal, fieldManager },
  );
}
