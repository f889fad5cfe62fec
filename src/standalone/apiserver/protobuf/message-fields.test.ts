import { expect, test } from 'vitest';
import { types } from '../../../gen/kinds.js';
import { messageFields } from './decode.ts';
import { kindMessages } from './group-messages.ts';

// A table that is kept by hand is held to the one that is made from a package: its names, though no numbers.

const fieldsOf = (message: string) =>
  (messageFields[message] || undefined)?.split(' ').map((text) => {
    const [number = '', name = '', type = ''] = text.split(':');
    return { number: Number(number), name, type: type.replace(/[*%?]$/, '') };
  }) ?? [];

test('every type is a message of the table or a special one, every number stands once', () => {
  const specials = /^([sibyd]|@(time|microtime|quantity|duration|fields|raw|intstr))$/;
  for (const message of Object.keys(messageFields)) {
    const fields = fieldsOf(message);
    const unknown = fields.filter(({ type }) => !specials.test(type) && !(type in messageFields));
    expect([message, unknown]).toEqual([message, []]);
    expect([message, new Set(fields.map(({ number }) => number)).size]).toEqual([message, fields.length]);
  }
  expect(Object.values(kindMessages).filter((message) => !(message in messageFields))).toEqual([]);
});

/** A message's fields by name, those of inlined ones among them. */
const namesOf = (message: string): string[] =>
  fieldsOf(message).flatMap(({ name, type }) => (name === '' ? namesOf(type) : [name]));

const generated = Object.entries(types).map(([type, fields]) => {
  const [, group = '', name = ''] = /^(\w+)\/v1\.(\w+)$/.exec(type) ?? [];
  return { message: `${group}.${name}`, names: fields.split(' ').map((field) => field.replace(/!?:.*/, '')) };
});

test('no field of a generated type is missing', () => {
  const known = generated.filter(({ message }) => message in messageFields);
  expect(known.length).toBeGreaterThan(200);
  const missing = known.flatMap(({ message, names }) => {
    const have = new Set([...namesOf(message), 'apiVersion', 'kind', '']);
    return names.filter((name) => !have.has(name)).map((name) => `${message}.${name}`);
  });
  // Alpha in 1.30, the version of the package, and gone since.
  expect(missing).toEqual(['core.PodResourceClaim.source']);
});
