import { z } from 'zod';
import type { Ceph } from './seam.ts';

export interface MgrState {
  readonly available: boolean;
  /** The active mgr's name, undefined where there is none. */
  readonly active: string | undefined;
  readonly standbys: number;
}

const MgrStatAnswer = z.object({
  available: z.boolean(),
  active_name: z.string(),
  num_standby: z.int(),
});

export async function readMgr(ceph: Ceph, signal: AbortSignal): Promise<MgrState> {
  const answer = await ceph.mon({ prefix: 'mgr stat' }, MgrStatAnswer, { signal });
  return {
    available: answer.available,
    active: answer.active_name || undefined,
    standbys: answer.num_standby,
  };
}

const ModulesAnswer = z.object({
  always_on_modules: z.array(z.string()),
  enabled_modules: z.array(z.string()),
});

/** Modules that run: those switched on and those that always do. */
export async function readMgrModules(ceph: Ceph, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const answer = await ceph.mon({ prefix: 'mgr module ls' }, ModulesAnswer, { signal });
  return new Set([...answer.always_on_modules, ...answer.enabled_modules]);
}

/** Idempotent. ENOENT where no mgr has such a module. */
export async function enableMgrModule(ceph: Ceph, module: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'mgr module enable', module }, z.unknown(), { signal });
}

export async function disableMgrModule(ceph: Ceph, module: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'mgr module disable', module }, z.unknown(), { signal });
}

/** Lets a standby take over. No error where that mgr is not active. */
export async function failMgr(ceph: Ceph, name: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'mgr fail', who: name }, z.unknown(), { signal });
}
