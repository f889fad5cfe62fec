/**
 * Whether revision `a` is later than `b`. Kubernetes promises since 1.35 (and etcd-backed servers have
 * always kept) that revisions of one resource are decimal numbers that grow; anything else is never later.
 */
export function isLater(a: string, b: string): boolean {
  if (!/^\d+$/.test(a)) return false;
  if (!/^\d+$/.test(b)) return true;
  return a.length === b.length ? a > b : a.length > b.length;
}
