/** Kubernetes' MicroTime: `2026-01-01T00:00:00.000000Z`. */
export const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z');

/** Kubernetes' Time, whole seconds: `2026-01-01T00:00:00Z`. */
export const secondTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** Milliseconds since the epoch of either form, or undefined where it is none. */
export function parseTime(text: string | undefined): number | undefined {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
