/** One condition of a status, as `metav1.Condition` and its older relatives have it. */
export interface Condition {
  type: string;
  /** True, False or Unknown. */
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  /** When something last happened to it; Deployments and Jobs have it. */
  lastUpdateTime?: string;
  observedGeneration?: number;
}

export interface ConditionUpdate {
  readonly type: string;
  readonly status: boolean | 'Unknown';
  /** CamelCase; those of Holdfast's own kinds come from api/reasons.ts. */
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number | undefined;
}

/**
 * The list with this condition set; the same list where nothing changes. lastTransitionTime moves only
 * when the status does: it says since when, and a new message is no new state.
 */
export function setCondition<C extends Condition>(
  conditions: readonly C[] | undefined,
  update: ConditionUpdate,
  nowMs: number,
): C[] {
  const list = [...(conditions ?? [])];
  const at = list.findIndex((one) => one.type === update.type);
  const before = list[at];
  const status = update.status === 'Unknown' ? 'Unknown' : update.status ? 'True' : 'False';
  const moved = before?.status !== status;
  const next = {
    ...before,
    type: update.type,
    status,
    reason: update.reason,
    message: update.message,
    lastTransitionTime: moved ? timeOf(nowMs) : (before?.lastTransitionTime ?? timeOf(nowMs)),
    ...(update.observedGeneration === undefined ? {} : { observedGeneration: update.observedGeneration }),
  } as C;
  if (at < 0) return [...list, next];
  const same =
    !moved &&
    before?.reason === next.reason &&
    before.message === next.message &&
    before.observedGeneration === next.observedGeneration;
  if (same) return conditions as C[];
  list[at] = next;
  return list;
}

/** Whether the condition is there with this status. */
export const hasCondition = (
  conditions: readonly { type?: string | undefined; status?: string | undefined }[] | undefined,
  type: string,
  status: 'True' | 'False' | 'Unknown' = 'True',
): boolean => conditions?.some((one) => one.type === type && one.status === status) ?? false;

export const findCondition = <C extends { type: string }>(
  conditions: readonly C[] | undefined,
  type: string,
): C | undefined => conditions?.find((one) => one.type === type);

const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
