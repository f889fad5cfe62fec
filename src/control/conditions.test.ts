import { expect, test } from 'vitest';
import { findCondition, hasCondition, setCondition } from './conditions.ts';

const ready = { type: 'Ready', status: true, reason: 'AllWell', message: 'fine' } as const;

test('the time moves with the status only, and nothing changed is the same list', () => {
  const first = setCondition(undefined, ready, 0);
  expect(first).toEqual([
    {
      type: 'Ready',
      status: 'True',
      reason: 'AllWell',
      message: 'fine',
      lastTransitionTime: '1970-01-01T00:00:00Z',
    },
  ]);
  expect(setCondition(first, ready, 5_000)).toBe(first);
  const reworded = setCondition(first, { ...ready, message: 'still fine' }, 5_000);
  expect(reworded[0]).toMatchObject({ message: 'still fine', lastTransitionTime: '1970-01-01T00:00:00Z' });
  const failed = setCondition(reworded, { ...ready, status: false, reason: 'Broken' }, 5_000);
  expect(failed[0]).toMatchObject({ status: 'False', lastTransitionTime: '1970-01-01T00:00:05Z' });
  expect(first[0]?.status).toBe('True'); // The list given is left as it is.
});

test('others stay, and the generation seen is kept', () => {
  const list = setCondition(
    setCondition(undefined, ready, 0),
    { ...ready, type: 'Other', status: 'Unknown', observedGeneration: 3 },
    0,
  );
  expect(list.map((one) => one.type)).toEqual(['Ready', 'Other']);
  expect(findCondition(list, 'Other')).toMatchObject({ status: 'Unknown', observedGeneration: 3 });
  expect([hasCondition(list, 'Ready'), hasCondition(list, 'Other'), hasCondition(undefined, 'x')]).toEqual([
    true,
    false,
    false,
  ]);
});
