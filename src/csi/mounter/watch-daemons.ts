import type { ImageSpec } from '../../host/attacher.ts';
import { isHeldDevice, type HealReport } from '../../host/heal-qsd.ts';
import { imageKey } from '../../host/image-key.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { withDeadline } from '../../lib/deadline.ts';
import type { Logger } from '../../lib/log.ts';

/** An attacher whose devices hang on daemons, and that can give them new ones. */
export interface HealingAttacher {
  unhealed(): Promise<readonly ImageSpec[]>;
  heal(image: ImageSpec, signal: AbortSignal): Promise<HealReport | undefined>;
}

export interface WatchDeps {
  readonly attachers: readonly Partial<HealingAttacher>[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const watchEveryMs = 1000;
const healLimitMs = 90_000; // Waiting for a watch to end is in it.
const mostAtOnce = 4;
const retry = { baseMs: 1000, maxMs: 60_000 };

interface Patient {
  tries: number;
  dueMs: number;
  healing: boolean;
  seen: boolean;
}

/** Looks after the daemons: each that died is replaced, and its mounts with it. Ends with the signal. */
export async function watchDaemons({ attachers, clock, log, signal }: WatchDeps): Promise<void> {
  const patients = new Map<string, Patient>();
  const healOne = async (attacher: HealingAttacher, image: ImageSpec, patient: Patient) => {
    const startedMs = clock.now();
    patient.healing = true;
    try {
      const report = await withDeadline(`healing ${image.image}`, healLimitMs, signal, (own) =>
        attacher.heal(image, own),
      );
      if (report) tell(log, image, report, clock.now() - startedMs);
      patient.tries = 0;
      patient.dueMs = 0;
    } catch (error) {
      if (signal.aborted) return;
      const delayMs = backoffMs(patient.tries++, retry);
      patient.dueMs = clock.now() + delayMs;
      // A device that is held may be let go at any moment, and to look costs little.
      if (isHeldDevice(error)) patient.dueMs = clock.now() + watchEveryMs;
      if (!isHeldDevice(error) || patient.tries === 1)
        log.error({ err: error, image: image.image, retryInMs: delayMs }, 'a dead mount is not healed yet');
    } finally {
      patient.healing = false;
    }
  };
  while (!signal.aborted) {
    for (const patient of patients.values()) patient.seen = false;
    for (const attacher of attachers) {
      if (!isHealing(attacher)) continue;
      const images = await attacher.unhealed().catch((error: unknown) => {
        log.warn({ err: error }, 'the ledger of attached images cannot be read');
        return [];
      });
      for (const image of images) {
        const key = imageKey(image);
        let patient = patients.get(key);
        if (!patient) {
          patient = { tries: 0, dueMs: 0, healing: false, seen: true };
          patients.set(key, patient);
          log.error({ image: image.image }, 'the daemon of an attached image died');
        }
        patient.seen = true;
        const busy = [...patients.values()].filter((one) => one.healing).length;
        if (patient.healing || patient.dueMs > clock.now() || busy >= mostAtOnce) continue;
        void healOne(attacher, image, patient);
      }
    }
    for (const [key, patient] of patients) if (!patient.seen && !patient.healing) patients.delete(key);
    await clock.sleep(watchEveryMs, signal).catch(() => undefined);
  }
}

const isHealing = (attacher: Partial<HealingAttacher>): attacher is HealingAttacher =>
  attacher.unhealed !== undefined && attacher.heal !== undefined;

function tell(
  log: Logger,
  { image }: ImageSpec,
  { device, replaced, failed }: HealReport,
  tookMs: number,
): void {
  log.warn({ image, device, mounts: replaced.length, tookMs }, 'healed an image whose daemon died');
  for (const { mountPoint, pid, error } of failed)
    log.error(
      { image, mountPoint, pid, reason: error },
      'a mount of a dead daemon could not be replaced: its pod has to be deleted',
    );
}
