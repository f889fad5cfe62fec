import { expect, test } from 'vitest';
import { whySilent } from './reach.mjs';

const failed = (line: string) =>
  `/usr/lib/apt/apt-helper -o ended with 100: W: unsandboxed\nE: Failed to fetch http://m.example/Release.gpg  ${line}\nE: Download Failed`;

test.each([
  "Temporary failure resolving 'm.example'",
  'Could not connect to m.example:80 (192.0.2.1). - connect (113: No route to host)',
  'Cannot initiate the connection to m.example:80 (2001:db8::1). - connect (101: Network is unreachable)',
  'Unable to connect to m.example:80:',
])('nobody answered: %s', (line) => {
  expect(whySilent(failed(line))).toBe(`Failed to fetch http://m.example/Release.gpg  ${line}`);
});

test('silence is no answer', () => {
  expect(whySilent('/usr/lib/apt/apt-helper -o took longer than 4 s')).toBe('no mirror answered in time');
});

test.each(['404  Not Found [IP: 192.0.2.1 80]', '503  Service Unavailable', 'Hash Sum mismatch'])(
  'whoever says %s is there',
  (line) => {
    expect(whySilent(failed(line))).toBeUndefined();
  },
);
