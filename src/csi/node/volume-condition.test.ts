import { expect, test } from 'vitest';
import type { Device } from '../mounter/protocol.ts';
import { volumeCondition } from './volume-condition.ts';

const { signal } = new AbortController();
const image = { clusterId: 'c', pool: 'p', namespace: 'n', image: 'i' };
const device: Device = { ...image, device: '/dev/loop3', major: 7, minor: 3, alive: true };
const volume = { volumeId: 'v', image, stagingPath: '/s', block: true, fsType: 'ext4' } as const;
const of = (devices: readonly Device[] | Error, volumeId = 'v') =>
  volumeCondition(
    volumeId,
    {
      staged: { read: async (id) => (id === 'v' ? volume : undefined) },
      mounter: {
        async list() {
          if (devices instanceof Error) throw devices;
          return devices;
        },
      },
    },
    signal,
  );

test('a volume is abnormal while the daemon behind its device is dead, and no other is', async () => {
  expect(await of([device])).toMatchObject({ abnormal: false });
  const dead = { ...device, alive: false };
  expect(await of([dead])).toMatchObject({
    abnormal: true,
    message: expect.stringContaining('/dev/loop3') as string,
  });
  expect(await of([device, { ...dead, namespace: 'other' }])).toMatchObject({ abnormal: false });
  expect(await of([dead], 'elsewhere')).toMatchObject({ abnormal: false });
});

test('without an answer of the mounter nothing is said against the volume', async () => {
  expect(await of(new Error('it does not answer'))).toEqual({
    abnormal: false,
    message: 'it does not answer',
  });
});
