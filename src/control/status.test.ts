import { expect, test } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { Namespaces, Nodes } from '../api/core.ts';
import { patchDifference } from '../kube/patch.ts';
import { isConflict } from '../kube/errors.ts';
import { writeStatus } from './status.ts';

const { signal } = new AbortController();

async function bench() {
  const client = await startTestClient();
  const node = await client.create(Nodes, { metadata: { name: 'n1' } }, { signal });
  return { client, node };
}
const allocatable = (cpu: string) => ({ allocatable: { cpu } });

test('a status that is as wanted is not written', async () => {
  const { client, node } = await bench();
  const first = await writeStatus(client, Nodes, node, (now) => ({ ...now.status, ...allocatable('1') }), {
    signal,
  });
  expect(first?.status?.allocatable).toEqual({ cpu: '1' });
  expect(first?.metadata.resourceVersion).not.toBe(node.metadata.resourceVersion);
  if (!first) return;
  const again = await writeStatus(client, Nodes, first, (now) => ({ ...now.status, ...allocatable('1') }), {
    signal,
  });
  expect(again?.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
});

test('after a write of another it is computed anew from what is there, so nobody’s part is lost', async () => {
  const { client, node } = await bench();
  await writeStatus(client, Nodes, node, () => ({ phase: 'Running' }), { signal });
  let asked = 0;
  const written = await writeStatus(
    client,
    Nodes,
    node, // Older than what is stored.
    (now) => {
      asked++;
      return { ...now.status, ...allocatable('2') };
    },
    { signal },
  );
  expect(asked).toBe(2);
  expect(written?.status).toMatchObject({ phase: 'Running', allocatable: { cpu: '2' } });
});

test('an object that is gone, or was made anew under its name, is left alone', async () => {
  const { client, node } = await bench();
  await client.delete(Nodes, { name: 'n1' }, { signal });
  expect(await writeStatus(client, Nodes, node, () => ({ phase: 'x' }), { signal })).toBeUndefined();
  const other = await client.create(Nodes, { metadata: { name: 'n1' } }, { signal });
  expect(await writeStatus(client, Nodes, node, () => ({ phase: 'x' }), { signal })).toBeUndefined();
  expect((await client.get(Nodes, { name: 'n1' }, { signal }))?.metadata.resourceVersion).toBe(
    other.metadata.resourceVersion,
  );
});

test('a difference is sent as such, guarded by the revision where asked', async () => {
  const { client } = await bench();
  const before = await client.create(
    Namespaces,
    { metadata: { name: 'x', labels: { a: '1', b: '2' } } },
    { signal },
  );
  const { b: _gone, ...labels } = before.metadata.labels ?? {};
  const wanted = { ...before, metadata: { ...before.metadata, labels: { ...labels, c: '3' } } };
  const after = await patchDifference(client, Namespaces, before, wanted, { signal, ifUnchanged: true });
  expect(after.metadata.labels).toMatchObject({ a: '1', c: '3' });
  expect(after.metadata.labels).not.toHaveProperty('b');
  const late: unknown = await patchDifference(
    client,
    Namespaces,
    before,
    { ...before, metadata: { ...before.metadata, labels: {} } },
    { signal, ifUnchanged: true },
  ).catch((error: unknown) => error);
  expect(isConflict(late)).toBe(true);
});
