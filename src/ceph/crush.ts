import { z } from 'zod';
import { isCephError } from './errors.ts';
import type { Ceph } from './seam.ts';

export interface CrushRule {
  readonly id: number;
  readonly name: string;
  /** `default` */
  readonly root: string;
  /** `host`, `osd`, `rack`; undefined where the rule has other steps than one choice. */
  readonly failureDomain: string | undefined;
  readonly deviceClass: string | undefined;
}

const RuleAnswer = z.object({
  rule_id: z.int(),
  rule_name: z.string(),
  steps: z.array(z.object({ op: z.string(), item_name: z.string().optional(), type: z.string().optional() })),
});

function toRule(answer: z.infer<typeof RuleAnswer>): CrushRule {
  const take = answer.steps.find((step) => step.op === 'take')?.item_name ?? '';
  const choices = answer.steps.filter((step) => step.op.startsWith('choose'));
  const [root = '', deviceClass] = take.split('~');
  return {
    id: answer.rule_id,
    name: answer.rule_name,
    root,
    failureDomain: choices.length === 1 ? choices[0]?.type : undefined,
    deviceClass,
  };
}

/** Undefined where there is no such rule. */
export async function readRule(
  ceph: Ceph,
  name: string,
  signal: AbortSignal,
): Promise<CrushRule | undefined> {
  try {
    return toRule(await ceph.mon({ prefix: 'osd crush rule dump', name }, RuleAnswer, { signal }));
  } catch (error) {
    if (isCephError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export interface RuleSpec {
  readonly root: string;
  readonly failureDomain: string;
  readonly deviceClass?: string | undefined;
}

/**
 * Makes a replicated rule. Ceph answers success where a rule of that name is there, whatever it says, so
 * compare the rule that is answered. ENOENT without the root, EINVAL for an unknown type or device class.
 */
export async function createRule(
  ceph: Ceph,
  name: string,
  spec: RuleSpec,
  signal: AbortSignal,
): Promise<CrushRule> {
  await ceph.mon(
    {
      prefix: 'osd crush rule create-replicated',
      name,
      root: spec.root,
      type: spec.failureDomain,
      ...(spec.deviceClass === undefined ? {} : { class: spec.deviceClass }),
    },
    z.unknown(),
    { signal },
  );
  const made = await readRule(ceph, name, signal);
  if (!made) throw new Error(`CRUSH rule ${name} was removed while it was being made`);
  return made;
}

/** Idempotent; EBUSY while a pool uses the rule. */
export async function deleteRule(ceph: Ceph, name: string, signal: AbortSignal): Promise<void> {
  await ceph.mon({ prefix: 'osd crush rule rm', name }, z.unknown(), { signal });
}

export const readDeviceClasses = (ceph: Ceph, signal: AbortSignal): Promise<readonly string[]> =>
  ceph.mon({ prefix: 'osd crush class ls' }, z.array(z.string()), { signal });

/** Puts OSDs into a device class, out of another one first where they are in one. */
export async function setDeviceClass(
  ceph: Ceph,
  ids: readonly number[],
  deviceClass: string,
  signal: AbortSignal,
): Promise<void> {
  const set = () =>
    ceph.mon(
      { prefix: 'osd crush set-device-class', class: deviceClass, ids: ids.map(String) },
      z.unknown(),
      {
        signal,
      },
    );
  try {
    await set();
  } catch (error) {
    if (!isCephError(error, 'EBUSY')) throw error;
    await ceph.mon({ prefix: 'osd crush rm-device-class', ids: ids.map(String) }, z.unknown(), { signal });
    await set();
  }
}
