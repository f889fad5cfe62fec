import { describe, expect, test } from 'vitest';
import { ManifestError, parseManifests } from './manifests.ts';

const config = (data: string) => `apiVersion: v1\nkind: ConfigMap\ndata:\n  value: ${data}\n`;
const valueOf = (data: string) =>
  (parseManifests(config(data), 'a.yaml')[0] as { data?: { value?: unknown } } | undefined)?.data?.value;

describe('manifests are read as kubectl reads them', () => {
  test.each([
    ['0400', 256],
    ['0x10', 16],
    ['400', 400],
    ['"0400"', '0400'],
    ['yes', true],
    ['off', false],
    ['12:30', '12:30'],
    ['2026-01-01', '2026-01-01'],
    ['2026-01-01T10:00:00Z', '2026-01-01T10:00:00Z'],
    ['6789:6789', '6789:6789'],
  ])('%s', (text, value) => expect(valueOf(text)).toBe(value));
});

test('documents and Lists give their objects in order; empty documents none', () => {
  const list =
    'apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- {apiVersion: v1, kind: Node}\n';
  const kinds = parseManifests(`---\n${config('a')}---\n# nothing\n---\n${list}`, 'a.yaml');
  expect(kinds.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Pod', 'Node']);
});

test.each([
  ['kind: Pod', 'a.yaml: document 1 has no apiVersion and kind'],
  ['a: [', 'a.yaml: Flow sequence'],
])('%j is refused with the place', (text, message) => {
  expect(() => parseManifests(text, 'a.yaml')).toThrow(ManifestError);
  expect(() => parseManifests(text, 'a.yaml')).toThrow(message);
});
