import { Events } from '../../api/core.ts';
import { refOf } from '../../api/resource.ts';
import type { Task } from '../../control/manager.ts';
import { isConflict, isExpired } from '../../kube/errors.ts';
import { lastSeenMs } from '../../kube/events.ts';
import { mapLimit } from '../../lib/map-limit.ts';
import type { Environment } from './environment.ts';

const keptMs = 3_600_000;
const everyMs = 300_000;
const pageSize = 500;
const atOnce = 8;

/** Deletes events an hour after they last happened. They are read page by page and not kept. */
export function eventExpiry({ client, clock, log }: Environment): Task {
  const sweep = async (signal: AbortSignal) => {
    let next: string | undefined;
    do {
      const page = await client.listPage(Events, { limit: pageSize, continue: next }, { signal });
      const old = page.items.filter((event) => clock.now() - lastSeenMs(event) >= keptMs);
      await mapLimit(old, atOnce, async (event) => {
        const { uid, resourceVersion } = event.metadata;
        try {
          await client.delete(Events, refOf(event), { signal, uid, resourceVersion });
        } catch (error) {
          if (!isConflict(error)) throw error; // It happened again just now.
        }
      });
      next = page.continue;
    } while (next !== undefined);
  };
  return {
    name: 'event-expiry',
    async run(signal) {
      for (;;) {
        await clock.sleep(everyMs, signal);
        try {
          await sweep(signal);
        } catch (error) {
          // The list outlived its revision; the next sweep takes the rest.
          if (!isExpired(error)) throw error;
          log.debug({ err: error }, 'event sweep broken off');
        }
      }
    },
  };
}
