import { expect, test } from 'vitest';
import { chooseTargets, transportSettings } from './sources.mjs';

const chosen = (...lines: string[]) => chooseTargets(lines.join('\n'), 'bookworm');

test("Debian's three suites are taken, each once", () => {
  const release = 'http://mirror.example/debian/|bookworm|main|Debian|bookworm';
  expect(
    chosen(
      release,
      release,
      'http://mirror.example/debian/|bookworm-updates|main|Debian|bookworm-updates',
      'http://security.example/|bookworm-security|main|Debian|bookworm-security',
      '',
    ),
  ).toEqual([
    { uri: 'http://mirror.example/debian/', suite: 'bookworm' },
    { uri: 'http://mirror.example/debian/', suite: 'bookworm-updates' },
    { uri: 'http://security.example/', suite: 'bookworm-security' },
  ]);
});

test("a third party's suite of the same name, another component and backports are left out", () => {
  expect(
    chosen(
      'https://vendor.example/apt/|bookworm|main|Vendor|bookworm',
      'http://mirror.example/debian/|bookworm|contrib|Debian|bookworm',
      'http://mirror.example/debian/|bookworm-backports|main|Debian Backports|bookworm-backports',
      'http://mirror.example/debian/|trixie|main|Debian|trixie',
    ),
  ).toEqual([]);
});

test('"stable" stands for the release only while it is that release', () => {
  expect(chosen('http://m.example/|stable|main|Debian|bookworm')).toEqual([
    { uri: 'http://m.example/', suite: 'bookworm' },
  ]);
  expect(chosen('http://m.example/|stable|main|Debian|trixie')).toEqual([]);
});

test('before the host has fetched its lists the origin is unknown, and the keyring decides', () => {
  expect(chosen('http://m.example/|bookworm|main|$(ORIGIN)|$(CODENAME)')).toHaveLength(1);
  expect(chosen('http://m.example/|stable|main||')).toEqual([]);
});

test('an address that could carry an option of sources.list is not taken', () => {
  expect(chosen('[trusted=yes] http://m.example/|bookworm|main|Debian|bookworm')).toEqual([]);
});

test("proxies and date checks are the host's; its hooks and caches stay with it", () => {
  const dump = [
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::Verify-Peer "";',
    'Acquire::Check-Valid-Until "false";',
    'Acquire::GzipIndexes "true";',
    'APT::Update::Post-Invoke:: "rm -f /var/cache/apt/*.bin";',
    'Dir::State "var/lib/apt";',
  ].join('\n');
  expect(transportSettings(dump)).toEqual([
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::Check-Valid-Until "false";',
  ]);
});
