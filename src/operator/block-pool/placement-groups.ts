/** Placement groups that each OSD should hold, copies counted: Ceph’s own target. */
const targetPerOsd = 100;
const poolsExpected = 4;

/**
 * With how many placement groups a pool starts: a power of two, its fair share of the target among a few
 * pools. The autoscaler moves it later, a small start is only slow on large clusters, and each split
 * moves data, so a good guess is worth it.
 */
export function startingPgNum(osds: number, size: number, targetSizeRatio: number | undefined): number {
  const share = targetSizeRatio && targetSizeRatio > 0 ? Math.min(1, targetSizeRatio) : 1 / poolsExpected;
  const ideal = (Math.max(1, osds) * targetPerOsd * share) / Math.max(1, size);
  const power = Math.max(0, Math.round(Math.log2(ideal)));
  return Math.min(1024, Math.max(8, 2 ** power));
}
