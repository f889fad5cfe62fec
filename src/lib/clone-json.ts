/** A deep copy of what JSON can say: several times as fast as structuredClone, which serializes. */
export function cloneJson<T>(value: T): T {
  if (Array.isArray(value)) return value.map(cloneJson) as T;
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[key];
    const own = typeof inner === 'object' && inner !== null ? cloneJson(inner) : inner;
    // Assigned plainly, this key would set the copy's prototype instead.
    if (key === '__proto__')
      Object.defineProperty(copy, key, { value: own, enumerable: true, writable: true, configurable: true });
    else copy[key] = own;
  }
  return copy as T;
}
