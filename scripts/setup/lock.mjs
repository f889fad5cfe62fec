import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const lookEveryMs = 200;

/** Pid and start time: a lock left by a killed process is told from one that is held. */
async function identify(/** @type {number} */ pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
}

const holderOf = (/** @type {string} */ path) => readFile(path, 'utf8').catch(() => '');
const isHeld = async (/** @type {string} */ holder) =>
  holder !== '' && (await identify(Number(holder.split(' ')[0]))) === holder;

/**
 * Waits for the lock and answers how to give it back.
 * @param {string} path
 * @param {{ signal?: AbortSignal | undefined, onWait?: () => void }} options
 */
export async function takeLock(path, { signal, onWait }) {
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, (await identify(process.pid)) ?? '');
  try {
    for (;;) {
      signal?.throwIfAborted();
      const taken = await link(draft, path).then(
        () => true,
        (error) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) return () => rm(path, { force: true });
      if (await isHeld(await holderOf(path))) {
        onWait?.();
        await sleep(lookEveryMs, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
        continue;
      }
      // Moved aside and looked at again: two who find it stale must not remove each other's new one.
      const aside = `${draft}.stale`;
      if (
        !(await rename(path, aside).then(
          () => true,
          () => false,
        ))
      )
        continue;
      if (await isHeld(await holderOf(aside))) await link(aside, path).catch(() => undefined);
      await rm(aside, { force: true });
    }
  } finally {
    await rm(draft, { force: true });
  }
}
