import { z } from 'zod';
import { int, list, map, object, text } from './schema.ts';

/** A condition as Rook has it: Kubernetes' own fields, and a heartbeat. */
export const conditions = list(
  z.looseObject({
    lastHeartbeatTime: z
      .string()
      .optional()
      .describe('When it was last confirmed.')
      .meta({ format: 'date-time' }),
    lastTransitionTime: z
      .string()
      .optional()
      .describe('When its status changed.')
      .meta({ format: 'date-time' }),
    message: text('What it means here.'),
    observedGeneration: int('The generation it speaks of.', { format: 'int64' }),
    reason: text('One word, from the documented list.'),
    status: text('True, False or Unknown.'),
    type: text('What it is about.'),
  }),
  'What holds and what does not, with reasons.',
);

const cephxShape = {
  keyCephVersion: text('The Ceph version that made the keys.'),
  keyGeneration: int('The generation of the keys.', { format: 'int32' }),
  keyType: text('The cipher of the keys.').meta({ minLength: 3, maxLength: 7 }),
};
export const cephxKey = (about: string) => object(cephxShape, about);
export const cephxKeyWithPrior = (about: string) =>
  object({ ...cephxShape, priorKeyCount: int('Older keys that are still valid.') }, about);

export const countByVersion = (about: string) => map(z.int(), about);
export const checked = {
  details: text('What went wrong, if anything.'),
  lastChanged: text('When it changed.'),
  lastChecked: text('When it was looked at.'),
};
