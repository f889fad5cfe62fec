import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { TaskExitSchema, TaskOOMSchema } from '../../gen/containerd/task_pb.js';
import type { Envelope } from '../../gen/containerd/events_pb.js';
import { virtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { ContainerState, ObservedPod } from './observed.ts';
import type { ContainerRuntime } from './runtime.ts';
import { runtimeWatch } from './runtime-watch.ts';

function bench() {
  const clock = virtualClock();
  const end = new AbortController();
  const changes: string[][] = [];
  const forgotten: string[] = [];
  const state = { looks: 0, container: 'running' as ContainerState, away: false, streams: 0 };
  let deliver: ((event: Envelope) => void) | undefined;
  let breakStream: (() => void) | undefined;
  const pod = (): ObservedPod => ({
    uid: 'u',
    name: 'p',
    namespace: 'd',
    sandboxes: [],
    containers: [
      {
        id: 'c',
        name: 'main',
        attempt: 0,
        sandboxId: 's',
        state: state.container,
        createdAtMs: 0,
        image: '',
        imageId: '',
        logPath: '',
      },
    ],
  });
  const runtime = {
    observe: () => {
      state.looks++;
      return state.away ? Promise.reject(new Error('down')) : Promise.resolve(new Map([['u', pod()]]));
    },
    forget: (id: string) => forgotten.push(id),
    async *taskEvents() {
      state.streams++;
      for (;;)
        yield await new Promise<Envelope>((resolve, reject) => {
          deliver = resolve;
          breakStream = () => reject(new Error('broken'));
          end.signal.addEventListener('abort', () => reject(new Error('over')));
        });
    },
  } as unknown as ContainerRuntime;
  const watch = runtimeWatch({
    runtime,
    clock,
    log: silentLogger,
    onChange: (uids) => changes.push([...uids]),
  });
  const running = watch.run(end.signal);
  const send = (topic: string, value: Uint8Array) => deliver?.({ topic, event: { value } } as Envelope);
  return { clock, state, changes, forgotten, watch, running, end, send, cut: () => breakStream?.() };
}
const exit = (containerId: string, id: string) =>
  toBinary(TaskExitSchema, create(TaskExitSchema, { containerId, id }));

test('an exit is seen as soon as CRI says so, though CRI says so late', async () => {
  const { clock, state, changes, send } = bench();
  await clock.advance(10);
  expect(changes).toEqual([['u']]);
  send('/tasks/exit', exit('c', 'c'));
  await clock.advance(60);
  state.container = 'exited'; // Between the third look after the event and the fourth.
  await clock.advance(150);
  expect(changes).toHaveLength(2);
  const looks = state.looks;
  await clock.advance(3_000);
  expect(state.looks).toBe(looks); // Nothing more to wait for.
});

test('the end of a probe is no reason to look', async () => {
  const { clock, state, send } = bench();
  await clock.advance(10);
  const looks = state.looks;
  send('/tasks/exit', exit('c', 'exec-1'));
  await clock.advance(1_000);
  expect(state.looks).toBe(looks);
});

test('an OOM makes the status be asked anew', async () => {
  const { clock, forgotten, state, send } = bench();
  await clock.advance(10);
  const looks = state.looks;
  send('/tasks/oom', toBinary(TaskOOMSchema, create(TaskOOMSchema, { containerId: 'c' })));
  await clock.advance(1);
  expect(forgotten).toEqual(['c']);
  expect(state.looks).toBe(looks + 1);
});

test('a look each five seconds with the stream, each second without it', async () => {
  const { clock, state, cut } = bench();
  await clock.advance(10_500);
  expect(state.looks).toBe(3);
  state.away = true;
  cut();
  await clock.advance(10_000);
  expect(state.looks).toBeGreaterThan(8);
  expect(state.streams).toBeGreaterThan(1);
});

test('what was seen is kept while the runtime does not answer', async () => {
  const { clock, state, watch, end, running } = bench();
  await clock.advance(10);
  const seenAtMs = watch.seenAtMs;
  state.away = true;
  await clock.advance(20_000);
  expect(watch.pod('u')?.containers).toHaveLength(1);
  expect(watch.seenAtMs).toBe(seenAtMs);
  end.abort();
  await clock.advance(0);
  await running;
});
