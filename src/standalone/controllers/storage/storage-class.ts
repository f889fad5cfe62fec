import type { StorageClass } from 'kubernetes-types/storage/v1.js';
import type { Stored } from '../../../api/resource.ts';

const defaultMarks = [
  'storageclass.kubernetes.io/is-default-class',
  'storageclass.beta.kubernetes.io/is-default-class',
];

/** The class that claims without one get: of several defaults the newest, then the first by name. */
export function defaultClass(classes: readonly Stored<StorageClass>[]): Stored<StorageClass> | undefined {
  const marked = classes.filter((one) =>
    defaultMarks.some((mark) => one.metadata.annotations?.[mark] === 'true'),
  );
  return marked.toSorted(
    (a, b) =>
      Date.parse(b.metadata.creationTimestamp) - Date.parse(a.metadata.creationTimestamp) ||
      (a.metadata.name < b.metadata.name ? -1 : 1),
  )[0];
}
