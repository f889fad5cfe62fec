import { expect, test } from 'vitest';
import { chooseRanges, meetsRoute, overlap, parseCidr, parseRoutes, planOf } from './plan.ts';

test('addresses follow from the ranges', () => {
  const plan = planOf({
    kind: 'holdfast-instance',
    version: 1,
    id: '0badcafe',
    createdAt: '',
    apiPort: 6443,
    etcdPort: 1,
    etcdPeerPort: 2,
    serviceCidr: '10.96.0.0/16',
    podCidr: '10.244.0.0/16',
    fabricCidr: '10.245.0.0/24',
    nodes: [
      { name: 'node1', disks: 3, diskSizeBytes: 1 },
      { name: 'node2', disks: 3, diskSizeBytes: 1 },
    ],
  });
  expect(plan).toMatchObject({ hostIp: '10.245.0.1', kubernetesIp: '10.96.0.1' });
  expect(plan.nodes.map(({ ip, podCidr }) => `${ip} ${podCidr}`)).toEqual([
    '10.245.0.11 10.244.0.0/24',
    '10.245.0.12 10.244.1.0/24',
  ]);
});

test('ranges that the host already routes are passed over', () => {
  expect(chooseRanges(['0.0.0.0/0', '192.168.1.0/24'])?.serviceCidr).toBe('10.96.0.0/16');
  expect(chooseRanges(['10.244.3.0/24'])?.serviceCidr).toBe('10.152.0.0/16');
  expect(chooseRanges(['10.0.0.0/8'])?.serviceCidr).toBe('172.27.0.0/16');
  expect(chooseRanges(['10.0.0.0/8', '172.16.0.0/12'])).toBeUndefined();
});

test('ranges overlap where one holds the other', () => {
  expect(overlap(parseCidr('10.0.0.0/8'), parseCidr('10.96.0.0/16'))).toBe(true);
  expect(overlap(parseCidr('10.96.0.0/16'), parseCidr('10.97.0.0/16'))).toBe(false);
});

test('reads the kernel’s table', () => {
  const table =
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n' +
    'eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n' +
    'eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n';
  expect(parseRoutes(table)).toEqual(['0.0.0.0/0', '192.168.1.0/24']);
});

test('a range that another link took meets its route, our own link does not', () => {
  const ranges = { serviceCidr: '10.96.0.0/16', podCidr: '10.244.0.0/16', fabricCidr: '10.245.0.0/24' };
  const table = [
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'hf1a2b3c4d\t0000F40A\t0B00F50A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0',
  ].join('\n');
  expect(meetsRoute(ranges, parseRoutes(table, 'hf1a2b3c4d'))).toBeUndefined();
  expect(meetsRoute(ranges, parseRoutes(table, 'hf99999999'))).toBe('10.244.0.0/24');
});
