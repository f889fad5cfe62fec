import { expect, test } from 'vitest';
import { requireDebian } from './host.mjs';

const bookworm =
  'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n';

test('another system is named, before anything else is asked for', async () => {
  const fedora = 'PRETTY_NAME="Fedora Linux 40"\nID=fedora\nVERSION_ID=40\n';
  await expect(requireDebian({ uid: 1000, osRelease: fedora })).rejects.toThrow(
    'standalone Holdfast needs Debian 12, and this is Fedora Linux 40',
  );
  await expect(requireDebian({ uid: 0, osRelease: '' })).rejects.toThrow('this is another system');
});

test('a user who is not root is told what to do, in one line', async () => {
  const refusal = requireDebian({ uid: 1000, osRelease: bookworm });
  await expect(refusal).rejects.toThrow(/^the set-up needs root: run it as root, or with sudo$/);
});
