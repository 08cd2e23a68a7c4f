#!/bin/sh
# Runs a command as on a machine of its own, in mount and process namespaces that vanish with it:
#   unshare --mount --pid --fork --kill-child sh enter.sh <system> <changes> <command> [arguments]
# The root folder is <system>, untouched, with what its commands change in <changes>. The network is this machine's.
set -eu
system=$1 changes=$2
shift 2
root=$changes/root
mkdir -p "$root" "$changes/upper" "$changes/work"
mount --make-rprivate /
mount -t overlay bare -o "lowerdir=$system,upperdir=$changes/upper,workdir=$changes/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
for folder in run tmp; do mount -t tmpfs tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
# Not a chroot: who enters a mount namespace, as the emulated host does, comes to its own root.
mkdir -p "$root/run/before"
cd "$root"
pivot_root . run/before
umount --lazy /run/before
rmdir /run/before
cd /work
exec "$@"
