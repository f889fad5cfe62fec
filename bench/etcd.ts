import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import type { BenchInstance } from './instance.ts';

/** A connection of our own to the instance's etcd, as the API server's user. */
export async function openEtcd({ places, config }: BenchInstance): Promise<grpc.Client> {
  const [ca, key, cert] = await Promise.all(
    ['etcd-ca.crt', 'etcd-client.key', 'etcd-client.crt'].map((name) => readFile(join(places.pki, name))),
  );
  return new grpc.Client(`127.0.0.1:${config.etcdPort}`, grpc.credentials.createSsl(ca, key, cert), {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.max_receive_message_length': -1,
  });
}
