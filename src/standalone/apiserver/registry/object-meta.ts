import type { OwnerReference } from 'kubernetes-types/meta/v1.js';
import { badRequest, conflict } from '../status.ts';
import type { ApiObject, FieldError, JsonObject, KindInfo } from '../kind.ts';
import { isObject, metaOf, rfc3339 } from './json.ts';
import { apiVersionOf } from './kind-table.ts';

const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';
const maxGeneratedBase = 58;
const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const dnsLabel = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedName =
  /^(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
// A prefix of 253, a slash and a name of 63. Longer text would only keep the expression busy.
const maxQualifiedLength = 317;
const isQualified = (text: string) => text.length <= maxQualifiedLength && qualifiedName.test(text);
const maxAnnotationBytes = 256 * 1024;

/** Five characters without vowels, so that no name spells a word. */
export function randomSuffix(random: () => number, length = 5): string {
  return Array.from({ length }, () => suffixAlphabet[Math.floor(random() * suffixAlphabet.length)]).join('');
}

export const generatedName = (base: string, random: () => number): string =>
  base.slice(0, maxGeneratedBase) + randomSuffix(random);

/** Reads the object of a request's body: its type must be the one of the path. */
export function bodyObject(kind: KindInfo, body: unknown): ApiObject {
  if (!isObject(body)) throw badRequest('the body of the request is not an object');
  const apiVersion = apiVersionOf(kind);
  const said = { apiVersion: body['apiVersion'] ?? apiVersion, kind: body['kind'] ?? kind.kind };
  if (said.apiVersion !== apiVersion)
    throw badRequest(
      `the API version in the data (${String(said.apiVersion)}) does not match the expected API version (${apiVersion})`,
    );
  if (said.kind !== kind.kind)
    throw badRequest(
      `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: the object says it is a ${String(said.kind)}`,
    );
  if (body['metadata'] !== undefined && body['metadata'] !== null && !isObject(body['metadata']))
    throw badRequest('metadata is not an object');
  const object = { ...body, ...said } as ApiObject;
  metaOf(object);
  return object;
}

/** Sets the namespace and checks both against the path. */
export function settleNames(
  kind: KindInfo,
  object: ApiObject,
  namespace: string | undefined,
  name: string | undefined,
): void {
  const metadata = metaOf(object);
  if (kind.namespaced) {
    if (metadata.namespace && metadata.namespace !== namespace)
      throw badRequest(
        'the namespace of the provided object does not match the namespace sent on the request',
      );
    metadata.namespace = namespace as string;
  } else delete metadata.namespace;
  if (name === undefined) return;
  if (metadata.name && metadata.name !== name)
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
    );
  metadata.name = name;
}

const nameRule =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const labelRule =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

const wrong = (field: string, value: unknown, why: string): FieldError => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
});

function nameErrors(kind: KindInfo, name: string): FieldError[] {
  const field = 'metadata.name';
  if (name === '')
    return [
      { field, reason: 'FieldValueRequired', message: 'Required value: name or generateName is required' },
    ];
  if (kind.group === 'rbac.authorization.k8s.io')
    return name === '.' || name === '..' || /[/%]/.test(name)
      ? [wrong(field, name, 'may not be "." or "..", nor contain "/" or "%"')]
      : [];
  if (kind.group === '' && (kind.plural === 'namespaces' || kind.plural === 'services'))
    return name.length > 63 || !dnsLabel.test(name) ? [wrong(field, name, labelRule)] : [];
  if (name.length > 253) return [wrong(field, name, 'must be no more than 253 characters')];
  return dnsSubdomain.test(name) ? [] : [wrong(field, name, nameRule)];
}

function labelErrors(labels: unknown): FieldError[] {
  if (labels === undefined || labels === null) return [];
  const field = 'metadata.labels';
  if (!isObject(labels)) return [wrong(field, labels, 'must be an object')];
  return Object.entries(labels).flatMap(([key, value]) => {
    if (!isQualified(key))
      return [
        wrong(
          field,
          key,
          "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
      ];
    if (typeof value !== 'string' || !labelValue.test(value))
      return [
        wrong(
          field,
          value,
          "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
      ];
    return [];
  });
}

function annotationErrors(annotations: unknown): FieldError[] {
  if (annotations === undefined || annotations === null) return [];
  const field = 'metadata.annotations';
  if (!isObject(annotations)) return [wrong(field, annotations, 'must be an object')];
  let bytes = 0;
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(annotations)) {
    bytes += key.length + (typeof value === 'string' ? value.length : 0);
    if (!isQualified(key.toLowerCase())) errors.push(wrong(field, key, 'must be a qualified name'));
    if (typeof value !== 'string') errors.push(wrong(`${field}.${key}`, value, 'must be a string'));
  }
  if (bytes > maxAnnotationBytes)
    errors.push({
      field,
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxAnnotationBytes} bytes`,
    });
  return errors;
}

function ownerErrors(owners: unknown): FieldError[] {
  if (owners === undefined || owners === null) return [];
  const field = 'metadata.ownerReferences';
  if (!Array.isArray(owners)) return [wrong(field, owners, 'must be an array')];
  const errors = owners.flatMap((owner: unknown, i) =>
    (['apiVersion', 'kind', 'name', 'uid'] as const)
      .filter((key) => !isObject(owner) || typeof owner[key] !== 'string' || owner[key] === '')
      .map((key) => wrong(`${field}[${i}].${key}`, '', 'must not be empty')),
  );
  if ((owners as OwnerReference[]).filter((owner) => owner?.controller).length > 1)
    errors.push(wrong(field, owners, 'Only one reference can have Controller set to true'));
  return errors;
}

/** All that is wrong with an object's metadata. */
export function metadataErrors(kind: KindInfo, object: ApiObject): FieldError[] {
  const metadata = (object.metadata ?? {}) as JsonObject;
  const finalizers = metadata['finalizers'];
  return [
    ...nameErrors(kind, typeof metadata['name'] === 'string' ? metadata['name'] : ''),
    ...labelErrors(metadata['labels']),
    ...annotationErrors(metadata['annotations']),
    ...ownerErrors(metadata['ownerReferences']),
    ...(Array.isArray(finalizers) ? finalizers : []).flatMap((finalizer) =>
      typeof finalizer === 'string' && isQualified(finalizer)
        ? []
        : [wrong('metadata.finalizers', finalizer, 'must be a qualified name')],
    ),
  ];
}

/** What only the server sets, at creation. */
export function stampNew(object: ApiObject, nowMs: number, uid: string, hasGeneration: boolean): void {
  const metadata = metaOf(object);
  delete metadata.resourceVersion;
  delete metadata.selfLink;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.generation;
  if (hasGeneration) metadata.generation = 1;
  metadata.uid = uid;
  metadata.creationTimestamp = rfc3339(nowMs);
}

/** Keeps what only the server sets, and checks the caller's preconditions in the body. */
export function keepServerFields(kind: KindInfo, next: ApiObject, live: ApiObject): void {
  const metadata = metaOf(next);
  const before = live.metadata ?? {};
  const name = before.name ?? '';
  if (metadata.uid && metadata.uid !== before.uid)
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${before.uid}`,
    );
  if (metadata.resourceVersion && metadata.resourceVersion !== before.resourceVersion)
    throw conflict(kind, name);
  for (const field of [
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
    'resourceVersion',
  ] as const) {
    if (before[field] === undefined) delete metadata[field];
    else (metadata as Record<string, unknown>)[field] = before[field];
  }
  delete metadata.selfLink;
}

/** Errors of finalizers added to an object that is being deleted. */
export function finalizerErrors(next: ApiObject, live: ApiObject): FieldError[] {
  if (!live.metadata?.deletionTimestamp) return [];
  const before = new Set(live.metadata.finalizers);
  const added = (next.metadata?.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
  if (added.length === 0) return [];
  return [
    {
      field: 'metadata.finalizers',
      reason: 'FieldValueForbidden',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
    },
  ];
}
