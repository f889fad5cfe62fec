import { expect, test } from 'vitest';
import { startTestClient } from '../../test/support/test-client.ts';
import { ConfigMaps } from '../api/core.ts';
import { isConflict, isAlreadyExists } from '../kube/errors.ts';
import { virtualClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import {
  currentStep,
  runJournal,
  stepDone,
  stepWaits,
  type JournalState,
  type JournalStore,
  type Step,
} from './journal.ts';
import { configMapJournals } from './journal-store.ts';

const clock = virtualClock();
const signal = new AbortController().signal;
const base = { clock, log: silentLogger, signal };

/** A store whose process can be killed before or after any of its writes. */
function mortalStore() {
  const kept = { active: new Map<string, string>(), finished: [] as string[] };
  let writesLeft = Infinity;
  const die = () => {
    throw new Error('killed');
  };
  const write = (act: () => void, countsAs = 1) => {
    if (writesLeft <= 0) die();
    writesLeft -= countsAs;
    if (writesLeft < 0) die();
    act();
    if (writesLeft === 0.5) die();
  };
  const store: JournalStore = {
    load: async (name) => {
      const text = kept.active.get(name);
      return text === undefined ? undefined : (JSON.parse(text) as JournalState);
    },
    save: async (state) => write(() => kept.active.set(state.name, JSON.stringify(state))),
    finish: async (state) =>
      write(() => {
        kept.active.delete(state.name);
        kept.finished.push(state.name);
      }),
  };
  return { store, kept, killAfter: (writes: number) => (writesLeft = writes) };
}

/** The world a journal changes: each step is idempotent and says what it found. */
function world() {
  const done = new Set<string>();
  const applied: string[] = [];
  const step = (name: string, needs: string[]): Step => ({
    name,
    async run({ record, data }) {
      for (const need of needs) if (!done.has(need)) throw new Error(`${name} before ${need}`);
      if (name === 'remove old' && data['new'] === undefined)
        throw new Error('removes without a replacement');
      if (!done.has(name)) applied.push(name);
      done.add(name);
      if (name === 'create new') await record('new', 'mon-d');
      return stepDone();
    },
  });
  const steps = [
    step('choose', []),
    step('create new', ['choose']),
    step('prove new', ['create new']),
    step('remove old', ['prove new']),
  ];
  return { steps, applied, done };
}

test('killed at any write, before it or after it, the next process goes on, and each step is applied once in order', async () => {
  for (let killAt = 0; killAt <= 12; killAt += 0.5) {
    const { store, kept, killAfter } = mortalStore();
    const { steps, applied } = world();
    killAfter(killAt);
    let deaths = 0;
    for (let process = 0; process < 3 && kept.finished.length === 0; process++) {
      await runJournal({ ...base, store, name: 'failover', steps }).catch((error: Error) => {
        expect(error.message).toBe('killed');
        deaths++;
        killAfter(Infinity);
      });
    }
    expect(kept.finished).toEqual(['failover']);
    expect(kept.active.size).toBe(0);
    expect(applied).toEqual(['choose', 'create new', 'prove new', 'remove old']);
    expect(deaths).toBeLessThanOrEqual(1);
  }
});

test('killed at every step of every process, it still ends', async () => {
  const { store, kept, killAfter } = mortalStore();
  const { steps, applied } = world();
  for (let process = 0; process < 40 && kept.finished.length === 0; process++) {
    killAfter(2);
    await runJournal({ ...base, store, name: 'failover', steps }).catch(() => undefined);
  }
  expect(kept.finished).toEqual(['failover']);
  expect(applied).toEqual(['choose', 'create new', 'prove new', 'remove old']);
});

test('a waiting step says why and is asked again; its wait costs one write', async () => {
  const { store, kept } = mortalStore();
  let writes = 0;
  const counting = { ...store, save: (state: JournalState) => (writes++, store.save(state)) };
  let ready = false;
  const steps: Step[] = [
    { name: 'a', run: async () => stepDone() },
    { name: 'b', run: async () => (ready ? stepDone('joined') : stepWaits('mon-d is not in quorum', 5_000)) },
  ];
  const run = () => runJournal({ ...base, store: counting, name: 'j', steps });
  expect(await run()).toEqual({ kind: 'requeue', afterMs: 5_000 });
  const state = JSON.parse(kept.active.get('j') ?? '') as JournalState;
  expect(currentStep(state)).toMatchObject({ name: 'b', message: 'mon-d is not in quorum', attempts: 1 });
  const before = writes;
  await run();
  await run();
  expect(writes).toBe(before);
  ready = true;
  expect(await run()).toEqual({ kind: 'done' });
  expect(kept.finished).toEqual(['j']);
});

test('a step that was done but not noted is not run again where it can tell', async () => {
  const { store, killAfter } = mortalStore();
  let runs = 0;
  const steps: Step[] = [
    {
      name: 'once',
      isDone: async () => runs > 0,
      async run() {
        runs++;
        return stepDone();
      },
    },
  ];
  killAfter(1);
  await runJournal({ ...base, store, name: 'j', steps }).catch(() => undefined);
  killAfter(Infinity);
  await runJournal({ ...base, store, name: 'j', steps });
  expect(runs).toBe(1);
});

test('a step’s failure is thrown and leaves the journal at that step', async () => {
  const { store, kept } = mortalStore();
  const steps: Step[] = [
    { name: 'a', run: async () => stepDone() },
    {
      name: 'b',
      run: async () => {
        throw new Error('no space');
      },
    },
  ];
  await expect(runJournal({ ...base, store, name: 'j', steps })).rejects.toThrow('no space');
  expect(currentStep(JSON.parse(kept.active.get('j') ?? '') as JournalState)?.name).toBe('b');
});

test('in a ConfigMap: two processes cannot both move it, and its history is bounded', async () => {
  const client = await startTestClient();
  const ref = { namespace: 'default', name: 'journals' };
  const open = () => configMapJournals({ client, ref, signal });
  const steps: Step[] = [{ name: 'a', run: async () => stepWaits('for a friend', 1_000) }];
  const [first, second] = [open(), open()];
  await second.load('one');
  await runJournal({ ...base, store: first, name: 'one', steps });
  const lost: unknown = await second
    .save({ name: 'one', startedAt: '', steps: [], data: {} })
    .catch((error: unknown) => error);
  expect(isConflict(lost) || isAlreadyExists(lost)).toBe(true);
  expect((await open().active()).map((one) => one.name)).toEqual(['one']);
  for (let count = 0; count < 25; count++) {
    const quick: Step[] = [{ name: 'a', run: async () => stepDone() }];
    await runJournal({ ...base, store: first, name: `n${count}`, steps: quick });
  }
  const history = await open().history();
  expect(history).toHaveLength(20);
  expect(history.at(-1)).toMatchObject({ name: 'n24', steps: [{ name: 'a' }] });
  const stored = await client.get(ConfigMaps, ref, { signal });
  expect(Object.keys(stored?.data ?? {}).sort()).toEqual(['history', 'journal.one']);
});
