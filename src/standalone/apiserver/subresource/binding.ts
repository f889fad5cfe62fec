import type { Pod } from 'kubernetes-types/core/v1.js';
import { badRequest, conflict } from '../status.ts';
import type { JsonObject, KindInfo } from '../kind.ts';
import { readObject } from '../http/body.ts';
import { writeOptions, type Answer, type Exchange } from '../http/exchange.ts';
import { jsonReply } from '../http/respond.ts';
import { commitChange } from '../registry/commit.ts';
import { isObject, metaOf, rfc3339, valueAt } from '../registry/json.ts';
import { cloneJson } from '../../../lib/clone-json.ts';

const success = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };

/** POST pods/binding, and POST bindings: gives a pod its node, once. */
export async function bindPod(exchange: Exchange, podKind: KindInfo): Promise<Answer> {
  const { deps, route, caller, req } = exchange;
  const body = await readObject(req, caller.signal);
  const name = route.name ?? valueAt(body, 'metadata.name');
  const node = valueAt(body, 'target.name');
  const targetKind = valueAt(body, 'target.kind');
  if (typeof name !== 'string' || name === '') throw badRequest('metadata.name is required');
  if (typeof node !== 'string' || node === '') throw badRequest('target.name is required');
  if (targetKind !== undefined && targetKind !== '' && targetKind !== 'Node')
    throw badRequest(`target.kind: Unsupported value: "${String(targetKind)}": supported values: "Node"`);
  const uid = valueAt(body, 'metadata.uid');
  const { dryRun } = writeOptions(exchange);
  await commitChange(deps, podKind, route.namespace, name, { dryRun, signal: caller.signal }, (live) => {
    const pod = cloneJson(live);
    const { spec } = pod as unknown as Pod;
    const refused = (why: string) => conflict({ group: '', plural: 'pods/binding' }, name, why);
    if (typeof uid === 'string' && uid !== '' && uid !== live.metadata?.uid)
      throw refused(
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${live.metadata?.uid}`,
      );
    if (live.metadata?.deletionTimestamp)
      throw refused(`pod ${name} is being deleted, cannot be assigned to a host`);
    if (spec?.nodeName) throw refused(`pod ${name} is already assigned to node "${spec.nodeName}"`);
    const annotations = valueAt(body, 'metadata.annotations');
    if (isObject(annotations))
      metaOf(pod).annotations = { ...metaOf(pod).annotations, ...(annotations as Record<string, string>) };
    (pod as JsonObject)['spec'] = { ...(spec as unknown as JsonObject), nodeName: node };
    (pod as JsonObject)['status'] = scheduled((pod as JsonObject)['status'], rfc3339(deps.clock.now()));
    return { put: pod };
  });
  return jsonReply(201, success);
}

function scheduled(status: unknown, now: string): JsonObject {
  const before = isObject(status) ? status : {};
  const conditions = Array.isArray(before['conditions']) ? before['conditions'] : [];
  const others = conditions.filter(
    (condition) => isObject(condition) && condition['type'] !== 'PodScheduled',
  );
  const condition = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now };
  return { ...before, conditions: [...others, condition] };
}
