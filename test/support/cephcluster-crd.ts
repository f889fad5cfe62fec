import type { JsonObject } from '../../src/standalone/apiserver/kind.ts';

/** A CustomResourceDefinition of CephCluster as far as the API server reads one, with one version: `v1`, served. */
export const cephClusterCrd = (openAPIV3Schema: JsonObject, version: JsonObject = {}): JsonObject => ({
  spec: {
    group: 'ceph.rook.io',
    scope: 'Namespaced',
    names: { kind: 'CephCluster', plural: 'cephclusters' },
    versions: [{ name: 'v1', served: true, schema: { openAPIV3Schema }, ...version }],
  },
});
