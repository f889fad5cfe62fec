import type { ObjectRef, Resource } from '../api/resource.ts';
import type { Selection } from './client.ts';

/** `/api/v1/namespaces/x/pods`, or over all namespaces where none is given. */
export function collectionPath(resource: Resource, namespace?: string): string {
  const root = resource.group === '' ? '/api/' : `/apis/${resource.group}/`;
  const scope = resource.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${root}${resource.version}${scope}/${resource.plural}`;
}

export function objectPath(resource: Resource, ref: ObjectRef, subresource?: string): string {
  if (ref.name === '') throw new TypeError(`a ${resource.kind} needs a name`);
  if (resource.namespaced && !ref.namespace) {
    throw new TypeError(`${resource.kind} ${ref.name} needs a namespace`);
  }
  const path = `${collectionPath(resource, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** A query string with its `?`, or nothing; undefined values are left out. */
export function queryOf(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== '' && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

export const selectionQuery = (selection: Selection) => ({
  labelSelector: selection.labelSelector,
  fieldSelector: selection.fieldSelector,
});

/** One selection's identity, for sharing caches and for logs. */
export const selectionKey = (resource: Resource, selection: Selection): string =>
  [
    `${resource.group}/${resource.version}/${resource.plural}`,
    selection.namespace ?? '',
    selection.labelSelector ?? '',
    selection.fieldSelector ?? '',
  ].join('|');
