import { afterEach, expect, test } from 'vitest';
import { isReady, type OperatorBench, startOperatorBench } from '../../../test/support/operator-bench.ts';

let bench: OperatorBench;
afterEach(async () => await bench.close());

test('a cluster is Ready only once its verdicts say of every OSD that it runs', async () => {
  bench = await startOperatorBench();
  const boots: (() => void)[] = [];
  const { bootOsd, open } = bench.ceph;
  bench.ceph.bootOsd = (...osd) => void boots.push(() => bootOsd(...osd));
  // They come up between two questions of one look: after the one for the verdicts, before the one for health.
  const bootAtStatus: typeof open = (connection) => {
    const ceph = open(connection);
    const mon: typeof ceph.mon = (command, ...rest) => {
      if (command.prefix === 'status' && boots.length === 3) for (const boot of boots.splice(0)) boot();
      return ceph.mon(command, ...rest);
    };
    return { ...ceph, mon };
  };
  Object.assign(bench.ceph, { open: bootAtStatus });
  bench.start();
  await bench.createCluster();
  const ready = await bench.cluster(isReady);
  const devices = ready.status?.storage?.nodes?.[0]?.devices;
  expect(devices?.map((one) => one.reason)).toEqual(['OsdRunning', 'OsdRunning', 'OsdRunning']);
});
