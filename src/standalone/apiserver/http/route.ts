/** A path below /api or /apis that names objects. */
export interface ResourceRoute {
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string;
  /** What follows the subresource: the path of a proxy request. */
  readonly rest: string;
}

const namespaceParts = new Set(['status', 'finalize']);

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

/** The objects a path names, or undefined where it names none (discovery, health, and wrong paths). */
export function resourceRoute(path: string): ResourceRoute | undefined {
  const parts: string[] = [];
  for (const raw of path.split('/').slice(1)) {
    const part = decoded(raw);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  if (parts.at(-1) === '') parts.pop();
  let group = '';
  const prefix = parts.shift();
  if (prefix === 'apis') {
    group = parts.shift() ?? '';
    if (group === '') return undefined;
  } else if (prefix !== 'api') return undefined;
  const version = parts.shift();
  if (version === undefined || version === '' || parts.length === 0 || parts.includes('')) return undefined;
  let namespace: string | undefined;
  const [first, second, third] = parts;
  if (first === 'namespaces' && second !== undefined && third !== undefined && !namespaceParts.has(third)) {
    namespace = second;
    parts.splice(0, 2);
  }
  const [plural, name, subresource = '', ...rest] = parts;
  if (plural === undefined) return undefined;
  return { group, version, namespace, plural, name, subresource, rest: rest.join('/') };
}

/** Kubernetes' verb of a request, as roles name them. */
export function verbOf(method: string, route: ResourceRoute, query: URLSearchParams): string {
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return route.name === undefined ? 'deletecollection' : 'delete';
    case 'GET':
    case 'HEAD':
      if (route.subresource === '' && isTrue(query.get('watch'))) return 'watch';
      return route.name === undefined ? 'list' : 'get';
    default:
      return method.toLowerCase();
  }
}

export const isTrue = (text: string | null): boolean =>
  text !== null && ['', '1', 'true', 'True'].includes(text);
