// Makes src/gen/kinds.js: the fields of Kubernetes' built-in types, from the declarations that the npm package
// kubernetes-types publishes. Only names, types and which fields are required are kept; no description is.
//
// One line a type: `name:type` or `name!:type` (required), parted by spaces. A type is
//   s string, i integer, n number, b boolean, x int-or-string, q quantity, t time, u time with microseconds,
//   * anything, [T a list of T, {T a map of T, or the name of another type.
//
// The declarations are simple and regular, so they are read line by line; anything unexpected stops the run.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = dirname(createRequire(import.meta.url).resolve('kubernetes-types/package.json'));

/** Where the closure of types starts. */
const roots = {
  'core/v1': [
    'Pod',
    'PodTemplate',
    'Node',
    'Namespace',
    'Service',
    'Endpoints',
    'Secret',
    'ConfigMap',
    'ServiceAccount',
    'Event',
    'PersistentVolume',
    'PersistentVolumeClaim',
    'LimitRange',
    'ResourceQuota',
    'ReplicationController',
    'Binding',
  ],
  'apps/v1': ['Deployment', 'ReplicaSet', 'DaemonSet', 'StatefulSet', 'ControllerRevision'],
  'batch/v1': ['Job', 'CronJob'],
  'coordination/v1': ['Lease'],
  'discovery/v1': ['EndpointSlice'],
  'events/v1': ['Event'],
  'policy/v1': ['PodDisruptionBudget', 'Eviction'],
  'scheduling/v1': ['PriorityClass'],
  'rbac/v1': ['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding'],
  'storage/v1': ['StorageClass', 'VolumeAttachment', 'CSIDriver', 'CSINode', 'CSIStorageCapacity'],
  'networking/v1': ['NetworkPolicy', 'Ingress', 'IngressClass'],
  'node/v1': ['RuntimeClass'],
  'autoscaling/v1': ['Scale'],
  'autoscaling/v2': ['HorizontalPodAutoscaler'],
  'authentication/v1': ['TokenReview', 'TokenRequest', 'SelfSubjectReview'],
  'authorization/v1': [
    'SubjectAccessReview',
    'SelfSubjectAccessReview',
    'SelfSubjectRulesReview',
    'LocalSubjectAccessReview',
  ],
  'apiextensions/v1': ['CustomResourceDefinition'],
  'meta/v1': ['Status', 'DeleteOptions'],
};

/** @type {Record<string, string>} Aliases that the declarations give as plain strings or as empty interfaces. */
const known = {
  'api/resource.Quantity': 'q',
  'meta/v1.Time': 't',
  'meta/v1.MicroTime': 'u',
  'meta/v1.FieldsV1': '*',
  'runtime.RawExtension': '*',
  'apiextensions/v1.JSON': '*',
  'apiextensions/v1.JSONSchemaPropsOrArray': '*',
  'apiextensions/v1.JSONSchemaPropsOrBool': '*',
  'apiextensions/v1.JSONSchemaPropsOrStringArray': '*',
};

/** Numbers that may have a fraction: every other number of the API is an integer. */
const fractions = /^apiextensions\/v1\.JSONSchemaProps\.(maximum|minimum|multipleOf)$/;

/**
 * @typedef {{name: string, required: boolean, type: string}} Field
 * @typedef {{imported: Map<string, string>, types: Map<string, Field[]>}} Module
 */

/** @type {Map<string, Module>} */
const modules = new Map();

/** @param {string} name @returns {Module} */
function moduleOf(name) {
  const read = modules.get(name);
  if (read) return read;
  const path = join(source, `${name}.d.ts`);
  if (!existsSync(path)) throw new Error(`kubernetes-types has no ${name}`);
  const lines = readFileSync(path, 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  /** @type {Map<string, string>} */
  const imported = new Map();
  /** @type {Map<string, Field[]>} */
  const types = new Map();
  /** @type {Field[] | undefined} */
  let fields;
  /** @type {Field | undefined} */
  let map;
  for (const line of lines) {
    let match;
    if ((match = /^import \{ (.*) \} from "(.*)";$/.exec(line))) {
      const [, list = '', from = ''] = match;
      for (const type of list.split(', ')) imported.set(type, posix.join(posix.dirname(name), from));
    } else if ((match = /^export interface (\w+) \{$/.exec(line))) {
      fields = [];
      types.set(match[1] ?? '', fields);
    } else if (line.startsWith('export type ')) {
      continue; // An alias: `known` says what it is.
    } else if (map && (match = /^\[name: string\]: (.*);$/.exec(line))) {
      map.type = `{${match[1]}`;
    } else if (line === '};' && map) {
      map = undefined;
    } else if (line === '}') {
      fields = undefined;
    } else if (fields && (match = /^(?:readonly )?"?([\w$-]+)"?(\??): \{$/.exec(line))) {
      map = { name: match[1] ?? '', required: match[2] === '', type: '' };
      fields.push(map);
    } else if (fields && (match = /^(?:readonly )?"?([\w$-]+)"?(\??): (.*);$/.exec(line))) {
      fields.push({ name: match[1] ?? '', required: match[2] === '', type: match[3] ?? '' });
    } else {
      throw new Error(`${name}: cannot read the line: ${line}`);
    }
  }
  const made = { imported, types };
  modules.set(name, made);
  return made;
}

/** @type {Map<string, string>} */
const done = new Map();

/** @param {string} module @param {string} type @param {string} path @returns {string} */
function codeOf(module, type, path) {
  if (type.startsWith('{')) return `{${codeOf(module, type.slice(1), path)}`;
  const list = /^Array<(.*)>$/.exec(type);
  if (list?.[1]) return `[${codeOf(module, list[1], path)}`;
  if (type === 'string' || /^"[^"]*"$/.test(type)) return 's';
  if (type === 'number') return fractions.test(path) ? 'n' : 'i';
  if (type === 'boolean') return 'b';
  if (type === 'number | string') return 'x';
  if (!/^\w+$/.test(type)) throw new Error(`${path}: cannot read the type ${type}`);
  const from = moduleOf(module).imported.get(type) ?? module;
  const full = `${from}.${type}`;
  if (known[full]) return known[full];
  visit(from, type);
  return full;
}

/** @param {string} module @param {string} type */
function visit(module, type) {
  const full = `${module}.${type}`;
  if (done.has(full)) return;
  const fields = moduleOf(module).types.get(type);
  if (!fields) throw new Error(`${module} has no type ${type}`);
  done.set(full, ''); // Set before its fields are read: a type may hold itself.
  done.set(
    full,
    fields
      .map(
        (field) =>
          `${field.name}${field.required ? '!' : ''}:${codeOf(module, field.type, `${full}.${field.name}`)}`,
      )
      .join(' '),
  );
}

for (const [module, types] of Object.entries(roots)) for (const type of types) visit(module, type);

const version = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')).version;
const table = [...done].sort(([a], [b]) => (a < b ? -1 : 1));
const head = `// Generated by scripts/gen-kinds.mjs from kubernetes-types ${version}. Do not edit.\n`;
writeFileSync(
  join(root, 'src/gen/kinds.js'),
  `${head}export const types = {\n${table.map(([name, code]) => `  '${name}': '${code}',`).join('\n')}\n};\n`,
);
writeFileSync(
  join(root, 'src/gen/kinds.d.ts'),
  `${head}/** Each built-in type's fields, in the notation that scripts/gen-kinds.mjs describes. */\nexport declare const types: Readonly<Record<string, string>>;\n`,
);
