import { expect, test } from 'vitest';
import { dataDirWords } from './prepare.mjs';

test.each([
  [[], []],
  [['--disks', '4'], []],
  [
    ['--data-dir', '/srv/a', '--disks', '4'],
    ['--data-dir', '/srv/a'],
  ],
  [['--disks=4', '--data-dir=/srv/a'], ['--data-dir=/srv/a']],
  [
    ['--data-dir=/srv/a', '--data-dir', '/srv/b'],
    ['--data-dir', '/srv/b'],
  ],
])('of %j the demo gets %j', (words, own) => {
  expect(dataDirWords(words)).toEqual(own);
});
