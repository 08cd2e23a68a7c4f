#!/bin/sh
# The first process of a Windows machine: sets it up in $1, from Wine's root folder $2, with a folder $3 for what its
# relays write, and the other folders at their own paths. All changes go to a layer in memory. It reaps, and ends the
# machine when its standard input ends.
set -e
work=$1 root=$2 relay=$3
shift 2
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
for folder in "$@"; do
  mkdir -p "$work/root$folder"
  mount --rbind "$folder" "$work/root$folder"
done
ip link set dev lo up
exec 3>&1 >"$relay/wine.log" 2>&1
chroot "$work/root" wineserver --persistent
chroot "$work/root" /usr/lib/wine/wine64 wineboot </dev/null
echo settled >&3
cat >/dev/null
