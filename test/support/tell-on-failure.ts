import { afterEach } from 'vitest';
import type { StandaloneInstance } from './standalone.ts';

const looks: readonly (readonly [args: readonly string[], lastLines: number])[] = [
  [
    [
      'get',
      'cephclusters,cephblockpools',
      '-A',
      '-o',
      'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.deletionTimestamp} {.status.phase}: {.status.message}{"\\n"}{end}',
    ],
    20,
  ],
  [['get', 'pods,pvc,volumeattachments', '-A'], 60],
  [['get', 'events', '-A', '--field-selector', 'type=Warning', '--sort-by=.lastTimestamp'], 15],
  [['-n', 'rook-ceph', 'logs', 'deploy/rook-ceph-operator', '--tail=30'], 30],
  [['-n', 'rook-ceph', 'logs', 'deploy/csi-rbdplugin-provisioner', '--tail=15'], 15],
  [['-n', 'rook-ceph', 'logs', 'daemonset/csi-rbdplugin', '--tail=15'], 15],
];

/** Prints what a person would ask an instance first, after a test on it failed and before it is taken down. */
export function tellOnFailure({ holdfast, kubectlOutcome }: StandaloneInstance): void {
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    const last = (text: string, lines: number) => text.trimEnd().split('\n').slice(-lines).join('\n');
    const told = [`after "${task.name}" failed:\n${(await holdfast('status')).stdout}`];
    for (const [args, lines] of looks) {
      const { stdout, stderr } = await kubectlOutcome(args);
      told.push(`kubectl ${args.slice(0, 4).join(' ')}\n${last(stdout || stderr, lines)}`);
    }
    console.log(told.join('\n\n'));
  }, 60_000);
}
