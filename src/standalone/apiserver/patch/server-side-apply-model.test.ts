import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ApiObject, Json, JsonObject, StructuralSchema } from '../kind.ts';
import { difference, emptySet, isEmptySet, pathTexts, union, type FieldSet } from './field-set.ts';
import { ownable, readManagers } from './managed-fields.ts';
import { serverSideApply, trackManagedFields } from './server-side-apply.ts';
import { childSchema, claimedFields, itemElement, shapeOf } from './typed-value.ts';

const text: StructuralSchema = { type: 'string' };
const item: StructuralSchema = {
  type: 'object',
  properties: { name: text, value: text, labels: { type: 'object', additionalProperties: text } },
};
const spec: StructuralSchema = {
  type: 'object',
  properties: {
    size: { type: 'integer' },
    nested: { type: 'object', properties: { x: text, y: text } },
    map: { type: 'object', additionalProperties: text },
    whole: { type: 'object', additionalProperties: text, 'x-kubernetes-map-type': 'atomic' },
    order: { type: 'array', items: text },
    set: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
    list: {
      type: 'array',
      items: item,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
  },
};
const schema: StructuralSchema = {
  type: 'object',
  properties: {
    apiVersion: text,
    kind: text,
    metadata: { type: 'object', properties: { name: text } },
    spec,
  },
};
const write = { schema, apiVersion: 'x.io/v1', subresource: '' };

/** Objects whose keys of maps and names of items all begin with one letter. */
function specs(letters: string, minKeys = 0) {
  const key = fc.constantFrom(...[1, 2, 3].flatMap((n) => Array.from(letters, (letter) => `${letter}${n}`)));
  const value = fc.constantFrom<string>('1', '2');
  const map = fc.dictionary(key, value, { minKeys, maxKeys: 3, noNullPrototype: true });
  const one = fc.record({ name: key, value, labels: map }, { requiredKeys: ['name'] });
  const shared = {
    map,
    set: fc.uniqueArray(key, { maxLength: 3 }),
    list: fc.uniqueArray(one, { maxLength: 3, selector: ({ name }) => name }),
  };
  return { key, value, map, shared };
}
const { map: anyMap, value, key: anyKey, shared } = specs('ab');
const anySpec = fc.record(
  {
    ...shared,
    size: fc.integer({ min: 0, max: 2 }),
    nested: fc.record({ x: value, y: value }, { requiredKeys: [] }),
    whole: anyMap,
    order: fc.array(anyKey, { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const of = (own: unknown): ApiObject =>
  ({ apiVersion: 'x.io/v1', kind: 'X', metadata: { name: 'x' }, spec: own }) as unknown as ApiObject;

let now = 0;
const tick = () => new Date(++now * 1000).toISOString();
const apply = (live: ApiObject | undefined, applied: ApiObject, manager: string, force = true) =>
  serverSideApply({ ...write, live, applied, manager, force, now: tick() });
function applied(live: ApiObject | undefined, wanted: ApiObject, manager: string): ApiObject {
  const result = apply(live, wanted, manager);
  if ('conflicts' in result) throw new Error('a forced apply conflicts');
  return result.object;
}
const update = (live: ApiObject, updated: ApiObject, manager: string) =>
  trackManagedFields({ ...write, live, updated, manager, operation: 'Update', now: tick() });
const specOf = (object: ApiObject) => (object as JsonObject)['spec'] as JsonObject | undefined;
const owned = (object: ApiObject): FieldSet =>
  (readManagers(object.metadata?.managedFields) ?? []).map(({ fields }) => fields).reduce(union, emptySet());

/** The paths of a set that lead nowhere in the object. */
function dangling(
  own: StructuralSchema | undefined,
  at: Json | undefined,
  set: FieldSet,
  path = '',
): string[] {
  if (at === undefined) return [path];
  const shape = shapeOf(own, at);
  return [...set.children].flatMap(([element, child]) => {
    let next: Json | undefined;
    let nextSchema: StructuralSchema | undefined;
    if (shape === 'map') {
      next = (at as JsonObject)[element.slice(2)];
      nextSchema = childSchema(own, element.slice(2));
    } else if (shape === 'list') {
      next = (at as Json[]).find((one, i) => itemElement(own, one, i) === element);
      nextSchema = own?.items;
    }
    return dangling(nextSchema, next, child, path + element);
  });
}

test('applying twice is applying once', () => {
  fc.assert(
    fc.property(anySpec, anySpec, (first, second) => {
      const live = applied(applied(undefined, of(first), 'other'), of(second), 'me');
      expect(applied(live, of(second), 'me')).toEqual(live);
    }),
  );
});

test('two managers with fields of their own never conflict, and each has what it applied', () => {
  // Both say the size, which is no conflict while they agree; an empty map is a field of its own, so there is none.
  const own = (letter: string) =>
    fc.record({ ...specs(letter, 1).shared, size: fc.constant(1) }, { requiredKeys: ['size'] });
  const [mine, theirs] = [own('a'), own('b')];
  fc.assert(
    fc.property(mine, theirs, theirs, (a, b, later) => {
      const first = applied(undefined, of(a), 'a');
      const second = apply(first, of(b), 'b', false);
      if ('conflicts' in second) throw new Error(JSON.stringify(second));
      const third = apply(second.object, of(later), 'b', false);
      if ('conflicts' in third) throw new Error(JSON.stringify(third));
      const spared = claimedFields(schema, of(a) as Json);
      expect(pathTexts(difference(spared, claimedFields(schema, third.object as Json)))).toEqual([]);
      const gone = difference(claimedFields(schema, of(b) as Json), claimedFields(schema, of(later) as Json));
      const left = claimedFields(schema, third.object as Json);
      expect(pathTexts(difference(ownable(gone, '', false), left))).toEqual(
        pathTexts(ownable(gone, '', false)),
      );
    }),
  );
});

test('whatever is applied, in whatever order: what nobody owns is gone, and nobody owns what is not there', () => {
  const step = fc.tuple(fc.constantFrom('a', 'b', 'c'), anySpec);
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
      let live: ApiObject | undefined;
      for (const [manager, wanted] of steps) {
        live = applied(live, of(wanted), manager);
        expect(specOf(live) ?? {}).toMatchObject(withoutLists(wanted));
        const present = ownable(claimedFields(schema, live as Json), '', false);
        expect(pathTexts(difference(present, owned(live)))).toEqual([]);
        expect(dangling(schema, live as Json, owned(live))).toEqual([]);
      }
    }),
    { numRuns: 200 },
  );
});

/** Keyed lists keep the items of others, so only the rest is compared as it was applied. */
const withoutLists = ({ set: _set, list: _list, ...rest }: { set?: unknown; list?: unknown }) => rest;

test('a map of fields agrees with a model of its owners, through applies, refusals and updates', () => {
  type Op = {
    readonly kind: 'apply' | 'force' | 'update';
    readonly who: string;
    readonly map: Record<string, string>;
  };
  const op: fc.Arbitrary<Op> = fc.record({
    kind: fc.constantFrom('apply', 'force', 'update'),
    who: fc.constantFrom('a', 'b'),
    map: anyMap,
  });
  fc.assert(
    fc.property(anyMap, fc.array(op, { maxLength: 12 }), (first, ops) => {
      let live = applied(undefined, of({ size: 1, map: first }), 'a');
      const model = new Map(Object.entries(first).map(([k, v]) => [k, { v, owners: new Set(['Apply a']) }]));
      for (const { kind, who, map } of ops) {
        const id = `${kind === 'update' ? 'Update' : 'Apply'} ${who}`;
        const changed = Object.entries(map).filter(([k, v]) => model.get(k)?.v !== v);
        const contested = changed.filter(([k]) =>
          [...(model.get(k)?.owners ?? [])].some((one) => one !== id),
        );
        if (kind === 'update') {
          live = update(live, { ...live, spec: { ...specOf(live), map } } as unknown as ApiObject, who);
          for (const k of model.keys()) if (!(k in map)) model.delete(k);
        } else {
          const result = apply(live, of({ size: 1, map }), who, kind === 'force');
          if (kind === 'apply' && contested.length > 0) {
            const fields = 'conflicts' in result ? result.conflicts.flatMap((one) => one.fields) : [];
            expect(new Set(fields)).toEqual(new Set(contested.map(([k]) => `.spec.map.${k}`)));
            continue;
          }
          if ('conflicts' in result) throw new Error(JSON.stringify(result));
          live = result.object;
          for (const [k, { owners }] of model)
            if (!(k in map) && owners.delete(id) && owners.size === 0) model.delete(k);
          for (const k of Object.keys(map)) model.get(k)?.owners.add(id);
        }
        for (const [k, v] of changed) model.set(k, { v, owners: new Set([id]) });

        expect(specOf(live)?.['map'] ?? {}).toEqual(
          Object.fromEntries([...model].map(([k, { v }]) => [k, v])),
        );
        const owners = new Map<string, Set<string>>();
        for (const { name, operation, fields } of readManagers(live.metadata?.managedFields) ?? [])
          for (const path of pathTexts(fields)) {
            const k = /^\.spec\.map\.(.+)$/.exec(path)?.[1];
            if (k) owners.set(k, (owners.get(k) ?? new Set()).add(`${operation} ${name}`));
          }
        expect(owners).toEqual(new Map([...model].map(([k, one]) => [k, one.owners])));
      }
    }),
    { numRuns: 300 },
  );
});

test('a write touches neither the live object nor what was applied', () => {
  fc.assert(
    fc.property(anySpec, anySpec, (first, second) => {
      const live = applied(undefined, of(first), 'a');
      const wanted = of(second);
      const before = structuredClone([live, wanted]);
      apply(live, wanted, 'b');
      update(live, wanted, 'b');
      expect([live, wanted]).toEqual(before);
    }),
  );
});

test('fields that change hands leave no empty entries behind', () => {
  fc.assert(
    fc.property(anySpec, anySpec, (first, second) => {
      const live = applied(applied(undefined, of(first), 'a'), of(second), 'b');
      for (const { fields } of readManagers(live.metadata?.managedFields) ?? [])
        expect(isEmptySet(fields)).toBe(false);
    }),
  );
});
