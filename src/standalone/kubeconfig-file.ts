import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '../lib/atomic-file.ts';

export interface KubeconfigContent {
  readonly path: string;
  readonly server: string;
  readonly user: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Writes a kubeconfig that needs no other file, of mode 0600. JSON is YAML too. */
export async function writeKubeconfig(content: KubeconfigContent): Promise<void> {
  const data = async (path: string) => (await readFile(path)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'holdfast',
    clusters: [
      {
        name: 'holdfast',
        cluster: { server: content.server, 'certificate-authority-data': await data(content.caFile) },
      },
    ],
    users: [
      {
        name: content.user,
        user: {
          'client-certificate-data': await data(content.certFile),
          'client-key-data': await data(content.keyFile),
        },
      },
    ],
    contexts: [{ name: 'holdfast', context: { cluster: 'holdfast', user: content.user } }],
  };
  await writeFileAtomic(content.path, `${JSON.stringify(config, undefined, 2)}\n`);
}
