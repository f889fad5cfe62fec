/**
 * The whole name of an image, as registries know it: `busybox` is `docker.io/library/busybox:latest`. A
 * digest, where there is one, stays and makes the tag needless.
 */
export function normalizeImageName(name: string): string {
  const [path = '', digest] = name.split('@');
  const slash = path.indexOf('/');
  const first = slash < 0 ? '' : path.slice(0, slash);
  const hasHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const rest = hasHost ? path.slice(slash + 1) : path;
  const host = hasHost ? first : 'docker.io';
  const colon = rest.lastIndexOf(':');
  const hasTag = colon > rest.lastIndexOf('/');
  const repository = hasTag ? rest.slice(0, colon) : rest;
  const tag = hasTag ? rest.slice(colon + 1) : 'latest';
  const full = host === 'docker.io' && !repository.includes('/') ? `library/${repository}` : repository;
  return digest === undefined ? `${host}/${full}:${tag}` : `${host}/${full}@${digest}`;
}
