#!/bin/sh
# The first process of a Windows container, in new mount, pid, ipc, uts and network namespaces. $1 is an empty folder for
# its root, $2 Wine's root folder, $3 the folder with the starter, $4 the layers' folders for drive C:, topmost first and
# joined by colons, $5 the folder of its scratch, $6 its name, $7 the name of its user. Wine's own files and the registry
# are in memory; what is written to drive C: is in the scratch. It reaps, and ends the container when its input ends.
set -e
work=$1 wine=$2 starter=$3 layers=$4 scratch=$5 name=$6 user=$7
hostname "$name"
mount -t tmpfs tmpfs "$work"
# What is mounted for the container later is there for all of its programs.
mount --make-shared "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mkdir -p "$scratch/upper" "$scratch/work"
mount -t overlay -o "lowerdir=$wine,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
mount -t overlay -o "lowerdir=$layers,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$work/root/windows/drive_c"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
mkdir "$work/root/starter"
mount --bind "$starter" "$work/root/starter"
# A container has one drive: the others of Wine would show it this machine.
rm -f "$work"/root/windows/dosdevices/com* "$work"/root/windows/dosdevices/[abd-z]:
# Wine names its user after Unix's, but for what its registry says since it was set up.
echo "$user:x:0:0::/root:/bin/sh" >"$work/root/etc/passwd"
sed -i "s/users\\\\\\\\root\\\\/users\\\\\\\\$user\\\\/g" "$work/root/windows/user.reg"
ip link set dev lo up
exec 3>&1 >"$work/upper/wine.log" 2>&1
chroot "$work/root" wineserver --persistent
chroot "$work/root" /usr/lib/wine/wine64 wineboot </dev/null
echo settled >&3
cat >/dev/null
