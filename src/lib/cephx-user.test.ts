import { expect, test } from 'vitest';
import { cephxEntity, cephxId } from './cephx-user.ts';

test.each([
  ['csi-rbd-node', 'client.csi-rbd-node', 'csi-rbd-node'],
  ['client.csi-rbd-node', 'client.csi-rbd-node', 'csi-rbd-node'],
  ['team.a', 'client.team.a', 'team.a'], // A dot in a name is no type.
])('%s is %s, by id %s', (user, entity, id) => {
  expect([cephxEntity(user), cephxId(user)]).toEqual([entity, id]);
});
