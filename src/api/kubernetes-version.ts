/** The Kubernetes that standalone's API server and node stand for: a node may be no newer than its server. */
export const kubernetesVersion = { major: '1', minor: '32', gitVersion: 'v1.32.4+holdfast' } as const;
