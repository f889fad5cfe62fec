import type { LifecycleHandler } from 'kubernetes-types/core/v1.js';
import type { Clock } from '../../lib/clock.ts';
import { runAction, type ActionResult, type ActionTarget } from './probe-action.ts';

/** Runs a postStart or preStop hook. */
export async function runHook(
  hook: LifecycleHandler,
  target: ActionTarget,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ActionResult> {
  const seconds = hook.sleep?.seconds;
  if (seconds !== undefined) {
    await clock.sleep(Math.min(seconds * 1000, timeoutMs), signal);
    return { ok: true, output: '' };
  }
  return await runAction(hook, target, timeoutMs, signal);
}
