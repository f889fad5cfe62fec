import { z } from 'zod';
import type { Ceph } from './seam.ts';

export interface ConfigOption {
  /** `global`, `mon`, `osd.3` and so on. */
  readonly who: string;
  readonly name: string;
  readonly value: string;
  /** `host:n1` or `class:ssd`, empty where it holds for all. */
  readonly mask: string;
}

const DumpAnswer = z.array(
  z.object({ section: z.string(), name: z.string(), value: z.string(), mask: z.string() }),
);

/** Everything in the mons' central configuration. */
export const readConfig = async (ceph: Ceph, signal: AbortSignal): Promise<readonly ConfigOption[]> =>
  (await ceph.mon({ prefix: 'config dump' }, DumpAnswer, { signal })).map((option) => ({
    who: option.section,
    name: option.name,
    value: option.value,
    mask: option.mask,
  }));

/** EINVAL for an unknown option or a value of the wrong kind; the error's text says which. */
export async function setConfig(
  ceph: Ceph,
  who: string,
  name: string,
  value: string,
  signal: AbortSignal,
): Promise<void> {
  await ceph.mon({ prefix: 'config set', who, name, value }, z.unknown(), { signal });
}

/** Idempotent. */
export async function removeConfig(
  ceph: Ceph,
  who: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  await ceph.mon({ prefix: 'config rm', who, name }, z.unknown(), { signal });
}
