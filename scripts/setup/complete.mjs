// What the packages' maintainer scripts would have made, made by us: none of them is ever run.
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.mjs';

const ceph = 64045; // Debian's fixed uid and gid of the account ceph.

/** Links that update-alternatives would have made. */
const alternatives = /** @type {const} */ ([
  ['usr/sbin/iptables', 'iptables-nft'],
  ['usr/sbin/iptables-restore', 'iptables-nft-restore'],
  ['usr/sbin/iptables-save', 'iptables-nft-save'],
  ['usr/sbin/ip6tables', 'ip6tables-nft'],
  ['usr/sbin/ip6tables-restore', 'ip6tables-nft-restore'],
  ['usr/sbin/ip6tables-save', 'ip6tables-nft-save'],
  ['usr/bin/awk', 'mawk'],
  ['usr/bin/which', 'which.debianutils'],
]);

/**
 * @param {string} tree
 * @param {AbortSignal | undefined} signal
 */
export async function completeTree(tree, signal) {
  const at = (/** @type {string} */ path) => join(tree, path);
  for (const [path, mode] of /** @type {const} */ ([
    ...[
      'proc',
      'sys',
      'dev',
      'run',
      'mnt',
      'opt',
      'srv',
      'home',
      'var/lib',
      'var/log',
      'var/cache',
      'etc/ssl/certs',
    ].map((name) => [name, 0o755]),
    ...['tmp', 'var/tmp'].map((name) => [name, 0o1777]),
    ['root', 0o700],
    ...['containerd', 'kubelet', 'rook', 'ceph', 'cni'].map((name) => [`var/lib/${name}`, 0o755]),
  ])) {
    await mkdir(at(/** @type {string} */ (path)), { recursive: true });
    await chmod(at(/** @type {string} */ (path)), /** @type {number} */ (mode));
  }
  const master = (/** @type {string} */ name) => readFile(at(`usr/share/base-passwd/${name}.master`), 'utf8');
  await writeFile(
    at('etc/passwd'),
    `${await master('passwd')}ceph:x:${ceph}:${ceph}:Ceph storage service:/var/lib/ceph:/usr/sbin/nologin\n`,
  );
  await writeFile(at('etc/group'), `${await master('group')}ceph:x:${ceph}:\n`);
  await writeFile(
    at('etc/nsswitch.conf'),
    'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n',
  );
  await writeFile(at('etc/hosts'), '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n');
  for (const name of ['etc/resolv.conf', 'etc/fstab', 'etc/machine-id']) await writeFile(at(name), '');
  await link('/run', at('var/run'));
  await link('/run/lock', at('var/lock'));
  await link('../proc/self/mounts', at('etc/mtab'));
  for (const [path, target] of alternatives) await link(target, at(path));
  await writeCertificates(tree);
  await runTool('/sbin/ldconfig', ['-r', tree], { signal });
  // Without it every `ceph` in a pod compiles its modules anew: 425 against 86 ms.
  await runTool(
    'chroot',
    [
      tree,
      '/usr/bin/python3',
      '-m',
      'compileall',
      '-q',
      '-j',
      '2',
      '/usr/lib/python3',
      '/usr/lib/python3.11',
      '/usr/share/ceph/mgr',
    ],
    { signal },
  ).catch(
    () => signal?.throwIfAborted(), // A module that does not compile is one that nobody can import either.
  );
}

async function link(/** @type {string} */ target, /** @type {string} */ path) {
  await symlink(target, path).catch((error) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

async function writeCertificates(/** @type {string} */ tree) {
  const folder = join(tree, 'usr/share/ca-certificates/mozilla');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.crt')).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  await writeFile(
    join(tree, 'etc/ssl/certs/ca-certificates.crt'),
    texts.map((text) => `${text.trim()}\n`).join(''),
  );
}
