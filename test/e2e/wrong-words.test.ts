import { mkdir, rm, stat, symlink } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { mapLimit } from '../../src/lib/map-limit.ts';
import { bundle, run, standaloneInstance } from '../support/standalone.ts';

// What a person reads who mistypes: the built bundle, and no instance.

const dataDir = '/var/lib/hf-e2e-words';
const { holdfast } = standaloneInstance(dataDir);

test('wrong flags and folders end with one clear line, and start nothing', async () => {
  const link = '/var/lib/hf-e2e-link';
  await mkdir(`${link}-target`, { recursive: true });
  await symlink(`${link}-target`, link);
  try {
    const cases: [readonly string[], RegExp][] = [
      [
        ['up', '--data-dir', '/home'],
        /^holdfast: --data-dir \/home: is a system folder; give one of its own/,
      ],
      [['up', '--data-dir', link], /^holdfast: --data-dir .* is a symlink; give the folder it points to/],
      [['down', '--purge', '--data-dir', link], /^holdfast: --data-dir .* is a symlink/],
      [['up', '--data-dir', 'here'], /^holdfast: --data-dir here: give an absolute path/],
      [
        ['up', '--disks', 'abc', '--data-dir', dataDir],
        /^holdfast: --disks abc: give a whole number from 0 to/,
      ],
      [
        ['up', '--disks', '-1', '--data-dir', dataDir],
        /^holdfast: --disks -1: give a whole number from 0 to/,
      ],
      [
        ['up', '--disk-size', '5X', '--data-dir', dataDir],
        /^holdfast: --disk-size 5X: give a size such as 10Gi/,
      ],
      [
        ['up', '--disk-size', '1Mi', '--data-dir', dataDir],
        /^holdfast: --disk-size 1Mi: a disk needs at least/,
      ],
      [['up', '--data-dir', dataDir, 'now'], /too many arguments/],
      [['up', '--dsks', '3'], /unknown option '--dsks'/],
      [['upp'], /unknown command 'upp'/],
      [['help', 'upp'], /^error: unknown command 'upp'/],
      [['demo', '--data-dir', dataDir], /^holdfast: no instance in .*; holdfast up --data-dir .* makes one/],
      [['kubeconfig', '--data-dir', dataDir], /^holdfast: no instance in .* makes one/],
      [['kubeconfig', '--data-dir', 'here'], /^holdfast: --data-dir here: give an absolute path/],
      [['operator'], /^holdfast: this is no pod of a cluster: give --kubeconfig/],
      [['operator', '--kubeconfig', '/none'], /^holdfast: --kubeconfig \/none: there is no such file/],
      [['logs', '--data-dir', dataDir], /^holdfast: no instance in .* makes one/],
    ];
    const check = async ([args, says]: (typeof cases)[number]) => {
      const ended = await run(process.execPath, [bundle, ...args]);
      expect(ended, args.join(' ')).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr, args.join(' ')).toMatch(says);
      expect(ended.stderr, args.join(' ')).not.toContain('    at '); // No stack.
    };
    await mapLimit(cases, 4, check);
    const nothing = await holdfast('down');
    expect(nothing).toMatchObject({ code: 0, stdout: `no instance in ${dataDir}, nothing to end\n` });
    await expect(stat(dataDir)).rejects.toThrow('ENOENT');
  } finally {
    await rm(link);
    await rm(`${link}-target`, { recursive: true });
  }
});
