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

/** Path and query of a request's target. */
export interface Target {
  readonly path: string;
  readonly query: URLSearchParams;
}

// Nothing that a URL would be read differently for: no dot segments, no empty ones, no other characters.
const plainPath = /^(?:\/(?!\.|%2e)[\w\-.~%:@!$&'()*+,;=]+)+\/?$/i;

/** Takes a request's target apart, as the URL that it is: by hand where that is the same, for it is cheaper. */
export function targetOf(target: string): Target {
  const end = target.indexOf('?');
  const path = end < 0 ? target : target.slice(0, end);
  if (plainPath.test(path) && !target.includes('#'))
    return { path, query: new URLSearchParams(end < 0 ? '' : target.slice(end + 1)) };
  const url = new URL(target, 'http://api');
  return { path: url.pathname, query: url.searchParams };
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
