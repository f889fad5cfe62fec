// Fills the generated parts of docs/reference: which fields are acted on, and the reasons in status. The
// prose around them is written by hand; a part stands between two comments that name it.
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importSource } from './import-source.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** @typedef {Record<string, any>} Schema */
/** @typedef {{ path: string, type: string, about: string }} Field */

const from = await importSource(`
  export { cephClusterKind } from './src/api/ceph/ceph-cluster.ts';
  export { cephBlockPoolKind } from './src/api/ceph/ceph-block-pool.ts';
  export { crdOf } from './src/api/ceph/crd.ts';
  export { reasons } from './src/api/reasons.ts';
  export * from './src/operator/ceph-cluster/honoured.ts';
  export * from './src/operator/block-pool/honoured.ts';`);

/** @returns {Field} */
function fieldAt(/** @type {Schema} */ spec, /** @type {string} */ path) {
  const below = path.endsWith('.**');
  let node = spec;
  for (const part of path.replace(/\.\*\*$/, '').split('.')) {
    const name = part.replace('[]', '');
    const child = node['properties']?.[name] ?? node['additionalProperties'];
    if (typeof child !== 'object') return { path, type: 'string', about: 'A key of a free map.' };
    node = part.endsWith('[]') ? child['items'] : child;
  }
  return {
    path,
    type: typeOf(node),
    about: `${node['description'] ?? ''}${below ? ' All fields below it.' : ''}`,
  };
}

function typeOf(/** @type {Schema} */ node) {
  if (node['x-kubernetes-int-or-string']) return 'integer or string';
  if (node['enum'])
    return node['enum'].map((/** @type {unknown} */ one) => `\`${JSON.stringify(one)}\``).join(', ');
  if (node['type'] === 'array') return 'list';
  if (node['type'] === 'object' && node['additionalProperties']) return 'map';
  return node['type'] ?? 'any';
}

/**
 * The highest paths of a schema that nothing honoured lies at or below.
 * @param {Schema} node
 * @param {readonly string[]} honoured
 * @returns {string[]}
 */
function untouched(node, honoured, path = '') {
  const exact = honoured.map((one) => one.replace(/\.\*\*$/, ''));
  if (path !== '' && exact.includes(path)) return [];
  const reaches =
    path === '' || exact.some((one) => one.startsWith(`${path}.`) || one.startsWith(`${path}[]`));
  if (!reaches) return [path];
  const children = node['items']?.['properties'] ?? node['properties'] ?? {};
  const stem = path === '' ? '' : `${path}${node['items'] ? '[]' : ''}.`;
  return Object.entries(children).flatMap(([name, child]) =>
    untouched(/** @type {Schema} */ (child), honoured, `${stem}${name}`),
  );
}

const cell = (/** @type {string} */ text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ').trim();

/** @param {{ kind: any, honoured: readonly string[], harmless: Record<string, readonly unknown[]> }} about */
function fieldsPart({ kind, honoured, harmless }) {
  const spec = from.crdOf(kind).spec.versions[0].schema.openAPIV3Schema.properties.spec;
  const rows = honoured.map((path) => {
    const { type, about } = fieldAt(spec, path);
    return `| \`${path.replace(/\.\*\*$/, '')}\` | ${cell(type)} | ${cell(about)} |`;
  });
  const quiet = Object.entries(harmless).map(
    ([path, values]) => `\`${path}: ${values.map((one) => JSON.stringify(one)).join(' or ')}\``,
  );
  const rest = untouched(spec, honoured).map((path) => `\`${path}\``);
  return [
    '| Field of `spec` | Type | Meaning |',
    '|---|---|---|',
    ...rows,
    '',
    `These values ask for what happens anyway, so they are accepted without a word: ${quiet.join(', ')}.`,
    '',
    'Everything else in the schema is accepted and kept, and named in the condition `FieldsNotHonoured` where it is set:',
    '',
    `${rest.join(', ')}.`,
  ].join('\n');
}

/**
 * Reasons that the sources of these folders or files name, but those that another table has.
 * @param {readonly string[]} places
 * @param {string} [elsewhere]
 */
async function reasonsPart(places, elsewhere = '') {
  let text = '';
  for (const place of places) {
    const path = join(root, place);
    const files = place.endsWith('.ts')
      ? [path]
      : (await readdir(path)).filter((name) => /(?<!\.test)\.ts$/.test(name)).map((name) => join(path, name));
    for (const file of files) text += await readFile(file, 'utf8');
  }
  const used = Object.entries(from.reasons).filter(
    ([reason]) => new RegExp(`['"]${reason}['"]`).test(text) && !elsewhere.includes(`\`${reason}\``),
  );
  return [
    '| Reason | Meaning |',
    '|---|---|',
    ...used.map(([reason, about]) => `| \`${reason}\` | ${about} |`),
  ].join('\n');
}

async function fill(/** @type {string} */ file, /** @type {Record<string, string>} */ parts) {
  const path = join(root, 'docs/reference', file);
  let text = await readFile(path, 'utf8');
  for (const [name, body] of Object.entries(parts)) {
    const [start, end] = [`<!-- generated: ${name} (npm run gen) -->`, `<!-- end: ${name} -->`];
    const [from_, to] = [text.indexOf(start), text.indexOf(end)];
    if (from_ < 0 || to < from_) throw new Error(`docs/reference/${file} lacks ${start} ... ${end}`);
    text = `${text.slice(0, from_ + start.length)}\n${body}\n${text.slice(to)}`;
  }
  await writeFile(path, text);
}

const verdicts = await reasonsPart([
  'src/operator/osd',
  'src/host/disks.ts',
  'src/operator/ceph-cluster/osds.ts',
]);
await fill('cephcluster.md', {
  fields: fieldsPart({
    kind: from.cephClusterKind,
    honoured: from.honouredClusterFields,
    harmless: from.harmlessClusterValues,
  }),
  reasons: await reasonsPart(['src/operator/ceph-cluster', 'src/operator/failures.ts'], verdicts),
  verdicts,
});
await fill('cephblockpool.md', {
  fields: fieldsPart({
    kind: from.cephBlockPoolKind,
    honoured: from.honouredPoolFields,
    harmless: from.harmlessPoolValues,
  }),
  reasons: await reasonsPart(['src/operator/block-pool', 'src/operator/failures.ts']),
});
process.stdout.write('filled docs/reference\n');
