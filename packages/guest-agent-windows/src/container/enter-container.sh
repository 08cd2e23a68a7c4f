#!/bin/sh
# Runs the starter in the container whose root is $1, for its user $2, who has a name here alone. Wine's log is $3.
set -e
root=$1 user=$2 log=$3
mount -t tmpfs tmpfs "$root/mnt"
echo "$user:x:0:0::/root:/bin/sh" >"$root/mnt/passwd"
mount --bind "$root/mnt/passwd" "$root/etc/passwd"
umount -l "$root/mnt"
exec setpriv --pdeathsig KILL chroot "$root" /usr/lib/wine/wine64 /starter/starter.exe 2>>"$log"
