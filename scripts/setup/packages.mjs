// What the tree is made of. A change here, or of `recipe`, makes another tree.

/** Raised where the way a tree is unpacked or completed changes. */
export const recipe = 1;

/** Debian packages; what they depend on comes with them, what they only recommend does not. */
const groups = {
  // A small Debian: what a shell and a pod's scripts expect.
  debian:
    'base-files base-passwd bash dash coreutils grep sed mawk findutils tar gzip hostname login util-linux mount ' +
    'procps libc-bin debianutils diffutils ca-certificates netbase iproute2 iptables curl kmod busybox-static',
  node: 'containerd runc catatonit containernetworking-plugins etcd-server etcd-client',
  ceph: 'ceph-mon ceph-mgr ceph-osd ceph-mds radosgw ceph-common ceph-fuse python3-rbd',
  // How an image of Ceph's becomes a block device, and a filesystem on it.
  devices: 'qemu-system-common qemu-block-extra qemu-utils xfsprogs e2fsprogs fuse3',
};

export const packages = Object.values(groups).flatMap((names) => names.split(' '));
/** Left out of the tree: nothing reads it there, and it is a third of the files. */
export const leftOut = [
  './usr/share/doc/*',
  './usr/share/man/*',
  './usr/share/locale/*',
  './usr/share/info/*',
  './usr/share/lintian/*',
  './usr/share/bash-completion/*',
  './usr/share/zsh/*',
];
