import { expect, test } from 'vitest';
import { decodeObject } from './decode.ts';

type Part = readonly [field: number, value: number | string | readonly Part[] | Uint8Array];

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];

/** The wire form of a message: numbers as varints, the rest with its length. */
function wire(parts: readonly Part[]): Uint8Array {
  const bytes = parts.flatMap(([field, value]) => {
    if (typeof value === 'number') return [...varint(field * 8), ...varint(value)];
    const inner =
      typeof value === 'string'
        ? Buffer.from(value)
        : value instanceof Uint8Array
          ? value
          : wire(value as readonly Part[]);
    return [...varint(field * 8 + 2), ...varint(inner.length), ...inner];
  });
  return Uint8Array.from(bytes);
}

const envelope = (apiVersion: string, kind: string, raw: readonly Part[] | Uint8Array) =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    wire([
      [
        1,
        [
          [1, apiVersion],
          [2, kind],
        ],
      ],
      [2, raw instanceof Uint8Array ? raw : wire(raw)],
      [3, ''],
      [4, ''],
    ]),
  ]);

test('a PersistentVolume: quantities, maps, an inlined source, zero times and empty strings left out', () => {
  const pv = envelope('v1', 'PersistentVolume', [
    [
      1,
      [
        [1, 'pv-1'],
        [2, ''],
        [3, ''],
        [8, []],
        [
          12,
          [
            [1, 'a'],
            [2, 'b'],
          ],
        ],
      ],
    ],
    [
      2,
      [
        [
          1,
          [
            [1, 'storage'],
            [2, [[1, '1Gi']]],
          ],
        ],
        [
          2,
          [
            [
              22,
              [
                [1, 'driver.io'],
                [2, 'handle'],
                [3, 0],
              ],
            ],
          ],
        ],
        [3, 'ReadWriteOnce'],
        [5, 'Delete'],
      ],
    ],
    [3, [[1, '']]],
  ]);
  expect(decodeObject(pv)).toEqual({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv-1', annotations: { a: 'b' } },
    spec: {
      capacity: { storage: '1Gi' },
      csi: { driver: 'driver.io', volumeHandle: 'handle' },
      accessModes: ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: 'Delete',
    },
  });
});

test('a Lease with times, a Deployment whose zero replicas were meant, secrets in base64', () => {
  const lease = envelope('coordination.k8s.io/v1', 'Lease', [
    [1, [[1, 'l']]],
    [
      2,
      [
        [1, 'me'],
        [2, 15],
        [
          4,
          [
            [1, 1_700_000_000],
            [2, 123_456_000],
          ],
        ],
      ],
    ],
  ]);
  expect(decodeObject(lease)).toMatchObject({
    spec: { holderIdentity: 'me', leaseDurationSeconds: 15, renewTime: '2023-11-14T22:13:20.123456Z' },
  });
  expect(
    decodeObject(
      envelope('apps/v1', 'Deployment', [
        [1, [[1, 'd']]],
        [2, [[1, 0]]],
      ]),
    ),
  ).toMatchObject({
    spec: { replicas: 0 },
  });
  const secret = envelope('v1', 'Secret', [
    [1, [[1, 's']]],
    [
      2,
      [
        [1, 'k'],
        [2, Uint8Array.from([0, 255])],
      ],
    ],
  ]);
  expect(decodeObject(secret)).toMatchObject({ data: { k: 'AP8=' } });
  const probe = envelope('v1', 'Service', [
    [
      2,
      [
        [
          1,
          [
            [3, 80],
            [
              4,
              [
                [1, 1],
                [3, 'http'],
              ],
            ],
          ],
        ],
      ],
    ],
  ]);
  expect(decodeObject(probe)).toMatchObject({ spec: { ports: [{ port: 80, targetPort: 'http' }] } });
});

test('DeleteOptions of any group, and nothing of kinds that are not known', () => {
  expect(
    decodeObject(
      envelope('storage.k8s.io/v1', 'DeleteOptions', [
        [1, 0],
        [4, 'Background'],
      ]),
    ),
  ).toMatchObject({
    gracePeriodSeconds: 0,
    propagationPolicy: 'Background',
  });
  expect(decodeObject(envelope('example.com/v1', 'Widget', []))).toBeUndefined();
});

test('fields that are not known are passed over; a map takes no prototype', () => {
  const map = envelope('v1', 'ConfigMap', [
    [
      1,
      [
        [1, 'm'],
        [99, 'x'],
      ],
    ],
    [
      2,
      [
        [1, '__proto__'],
        [2, 'x'],
      ],
    ],
    [77, 5],
  ]);
  const decoded = decodeObject(map) as { data: object };
  expect(Object.keys(decoded.data)).toEqual(['__proto__']);
  expect(({} as { x?: unknown }).x).toBeUndefined();
});

test('rubbish is refused, never read past its end', () => {
  const good = envelope('v1', 'ConfigMap', [[1, [[1, 'name']]]]);
  expect(() => decodeObject(Buffer.from('{"a":1}'))).toThrow('magic');
  for (let length = 5; length < good.length; length++) {
    try {
      decodeObject(good.subarray(0, length));
    } catch (error) {
      expect((error as { code?: string }).code).toBe('PROTOBUF');
    }
  }
  expect(() => decodeObject(envelope('v1', 'ConfigMap', Uint8Array.from([0x0b])))).toThrow('wire type');
});
