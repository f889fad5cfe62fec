import type { KubeObject } from '../../../api/resource.ts';
import type { ApiObject, Json, PrinterColumn } from '../kind.ts';

/** How a built-in kind is shown as rows: its columns, and a cell for each of them. */
export interface BuiltinPrinter {
  readonly columns: readonly PrinterColumn[];
  cells(object: ApiObject, nowMs: number): Json[];
}

/**
 * The printer of one kind. `columns` are names parted by commas; a star marks those of `-o wide` only. `cells`
 * gives as many values, in that order.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- a table of kinds: the cells' own type
export function printer<T extends KubeObject>(
  columns: string,
  cells: (object: T, nowMs: number) => readonly (Json | undefined)[],
): BuiltinPrinter {
  return {
    columns: columns.split(',').map((text) => {
      const name = text.replace('*', '');
      const priority = text.endsWith('*') ? 1 : 0;
      return { name, type: 'string', format: name === 'Name' ? 'name' : '', description: '', priority };
    }),
    cells: (object, nowMs) => cells(object as unknown as T, nowMs).map((cell) => cell ?? ''),
  };
}

export const none = '<none>';
export const unset = '<unset>';
export const unknown = '<unknown>';

export const nameOf = (object: KubeObject): string => object.metadata?.name ?? '';

/** `a=b,c=d` in the order of their keys, or `<none>`. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? none : pairs.toSorted().join(',');
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** A label selector in the form that `kubectl get -l` takes, or `<none>`. */
export function selectorText(selector: Selector | undefined): string {
  const equal = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const others = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.toSorted().join(',')})`;
  });
  const terms = [...equal, ...others].toSorted();
  return terms.length === 0 ? none : terms.join(',');
}
