import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { ApiObject, KindInfo } from '../kind.ts';
import { builtinKinds } from './builtin-kinds.ts';
import { builtinDefaults, builtinValidate } from './builtin-rules.ts';
import { validate } from './validate.ts';

const kinds = new Map(builtinKinds().map((kind) => [kind.kind, kind]));

test('everything that is shipped to users passes', () => {
  const root = join(import.meta.dirname, '../../../..');
  const files = ['deploy', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => join(root, folder, file)),
  );
  const objects = files.flatMap((file) =>
    parseAllDocuments(readFileSync(file, 'utf8')).map((document) => ({
      file,
      object: document.toJS() as ApiObject,
    })),
  );
  const judged = objects.filter(({ object }) => object && kinds.has(object.kind ?? ''));
  expect(judged.length).toBeGreaterThan(10);
  for (const { file, object } of judged) {
    const kind = kinds.get(object.kind as string) as KindInfo;
    const full = builtinDefaults(kind, object) as ApiObject;
    expect([...validate(kind.schema, full), ...builtinValidate(kind, full)], file).toEqual([]);
  }
});
