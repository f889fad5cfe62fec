import { join } from 'node:path';

/** Where things lie in an instance's data directory. */
export const layout = (dataDir: string) => ({
  kubeconfig: join(dataDir, 'kubeconfig'),
  kubectlCache: join(dataDir, 'kubectl-cache'),
  pki: join(dataDir, 'pki'),
  etcd: join(dataDir, 'etcd'),
  run: join(dataDir, 'run'),
  records: join(dataDir, 'run/units'),
  supervisorRecord: join(dataDir, 'run/supervisor.json'),
  supervisorConfig: join(dataDir, 'run/supervisor-config.json'),
  supervisorSocket: join(dataDir, 'run/supervisor.sock'),
  serverConfig: join(dataDir, 'run/server-config.json'),
  upLock: join(dataDir, 'run/up.lock'),
  logs: join(dataDir, 'log'),
  releases: join(dataDir, 'releases'),
  images: join(dataDir, 'images.json'),
  nodes: join(dataDir, 'nodes'),
});

export type Layout = ReturnType<typeof layout>;
