#!/bin/sh
# The first process of a virtual node, in namespaces of its own: builds the node's root out of the tree and
# the node's folders, moves into it and becomes catatonit. Everything comes by environment, all of it paths
# and numbers that the caller has checked:
#   TREE, NODE (folder of the node), RELEASES, HOSTNAME, DISKS (loop numbers), SPARE_BASE, SPARE_COUNT,
#   CGROUPS (controllers of each v1 hierarchy, one a word, and `unified`), LAYOUT (v1 or v2)
set -eu
umask 022
root=$NODE/root

mount --make-rprivate /
mkdir -p "$root"
mount -t overlay -o "lowerdir=$TREE,upperdir=$NODE/upper,workdir=$NODE/work" overlay "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
mount -t tmpfs -o mode=755,nosuid,nodev run "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmp "$root/tmp"

# Only these devices are there at all; the cgroup denies the host's block devices to those who make more.
cd "$root/dev"
mknod -m 666 null c 1 3
mknod -m 666 zero c 1 5
mknod -m 666 full c 1 7
mknod -m 666 random c 1 8
mknod -m 666 urandom c 1 9
mknod -m 666 tty c 5 0
mknod -m 600 fuse c 10 229
ln -s /proc/self/fd fd
ln -s /proc/self/fd/0 stdin
ln -s /proc/self/fd/1 stdout
ln -s /proc/self/fd/2 stderr
mkdir pts shm mqueue disk disk/by-id
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts pts
ln -s pts/ptmx ptmx
mount -t tmpfs -o mode=1777,nosuid,nodev shm shm
mount -t mqueue mqueue mqueue
number=1
for loop in $DISKS; do
  mknod -m 660 "loop$loop" b 7 "$loop"
  ln -s "../../loop$loop" "disk/by-id/holdfast-$HOSTNAME-disk$number"
  number=$((number + 1))
done
spare=0
while [ "$spare" -lt "$SPARE_COUNT" ]; do
  mknod -m 660 "loop$((SPARE_BASE + spare))" b 7 "$((SPARE_BASE + spare))"
  spare=$((spare + 1))
done
cd "$root"

# Mounted anew in this cgroup namespace, so that only the node's own groups show.
if [ "$LAYOUT" = v2 ]; then
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec cgroup sys/fs/cgroup
  for controllers in $CGROUPS; do
    case $controllers in
      unified) mkdir sys/fs/cgroup/unified && mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup/unified ;;
      name=*) mkdir "sys/fs/cgroup/${controllers#name=}" && mount -t cgroup -o "none,$controllers" cgroup "sys/fs/cgroup/${controllers#name=}" ;;
      *) mkdir "sys/fs/cgroup/$controllers" && mount -t cgroup -o "$controllers" cgroup "sys/fs/cgroup/$controllers" ;;
    esac
  done
fi

for name in containerd kubelet rook; do mount --bind "$NODE/$name" "var/lib/$name"; done
mount --bind "$NODE/log" var/log
mkdir -p opt/holdfast/releases run/node
mount --bind "$RELEASES" opt/holdfast/releases
mount -o remount,bind,ro opt/holdfast/releases
mount --bind "$NODE/run" run/node
hostname "$HOSTNAME"

mkdir -p .host
pivot_root . .host
cd /
umount -l /.host
rmdir /.host
mount --make-rshared /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin catatonit -P
