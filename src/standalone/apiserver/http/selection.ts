import type { ApiObject, KindInfo } from '../kind.ts';
import { parseFieldSelector } from '../selector/field-selector.ts';
import { parseLabelSelector } from '../selector/label-selector.ts';
import type { Selection } from '../registry/list.ts';
import { badRequest } from '../status.ts';

/** The selection that a request's path and query describe; 400 where a selector makes no sense. */
export function selectionOf(
  kind: KindInfo,
  namespace: string | undefined,
  name: string | undefined,
  query: URLSearchParams,
): Selection {
  const tests: ((object: ApiObject) => boolean)[] = [];
  const labels = query.get('labelSelector');
  const fields = query.get('fieldSelector');
  try {
    if (labels) {
      const selector = parseLabelSelector(labels);
      tests.push((object) => selector.matches(object.metadata?.labels ?? {}));
    }
    if (fields) {
      const selector = parseFieldSelector(fields, kind.selectableFields);
      tests.push((object) => selector.matches(object));
    }
  } catch (error) {
    throw badRequest((error as Error).message);
  }
  if (name !== undefined) tests.push((object) => object.metadata?.name === name);
  const [first] = tests;
  return {
    namespace,
    matches: tests.length <= 1 ? first : (object) => tests.every((test) => test(object)),
  };
}
