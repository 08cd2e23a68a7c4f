/**
 * What shells do for a container. They are part of this module since an agent that has booted sees no file of its own.
 */

/** Enters the control groups of the files before "--", then becomes the program after it. */
export const enterGroups = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';

/**
 * The first process of a Windows container, in new mount, pid, ipc, uts and network namespaces. $1 is an empty folder for
 * its root, $2 Wine's root folder, $3 the folder with the starter, $4 the layers' folders for drive C:, topmost first and
 * joined by colons, $5 the folder of its scratch, or without layers drive C: itself, $6 its name, $7 the name of its user,
 * $8 a folder with files for it, $9 the folder of the VSMB shares, or nothing. Wine's own files and the registry are in
 * memory; what is written to drive C: is in the scratch. It reaps, and ends the container when its input ends.
 */
export const initScript = String.raw`
set -e
work=$1 wine=$2 starter=$3 layers=$4 scratch=$5 name=$6 user=$7 files=$8 shares=$9
hostname "$name"
mount -t tmpfs tmpfs "$work"
# What is mounted for the container later is there for all of its programs.
mount --make-shared "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$wine,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
drive=$work/root/windows/drive_c
if [ -n "$layers" ]; then
  mkdir -p "$scratch/upper" "$scratch/work"
  mount -t overlay -o "lowerdir=$layers,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$drive"
else
  mount --rbind "$scratch" "$drive"
fi
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
mkdir "$work/root/starter"
mount --bind "$starter" "$work/root/starter"
# A container has one drive: the others of Wine would show it this machine.
rm -f "$work"/root/windows/dosdevices/com* "$work"/root/windows/dosdevices/[abd-z]:
if [ -n "$shares" ]; then
  place="$work/root/vmsmb/VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}"
  mkdir -p "$place"
  mount --rbind "$shares" "$place"
  ln -s ../../vmsmb "$work/root/windows/dosdevices/vmsmb"
fi
# Wine names its user after Unix's, but for what its registry says since it was set up.
echo "$user:x:0:0::/root:/bin/sh" >"$work/root/etc/passwd"
# Wine looks its own name up when it starts, and would wait for a name server that does not know it.
echo "127.0.0.1 localhost $name" >"$work/root/etc/hosts"
sed -i "s/users\\\\\\\\root\\\\/users\\\\\\\\$user\\\\/g" "$work/root/windows/user.reg"
if [ -n "$files" ]; then
  rm -f "$work/root/etc/localtime" "$work/root/etc/resolv.conf"
  for name in localtime resolv.conf; do
    [ ! -f "$files/$name" ] || cat "$files/$name" >"$work/root/etc/$name"
  done
  [ ! -f "$files/registry" ] || cat "$files/registry" >>"$work/root/windows/system.reg"
  [ ! -f "$files/meminfo" ] || mount --bind "$files/meminfo" "$work/root/proc/meminfo"
fi
ip link set dev lo up
exec 3>&1 >"$work/upper/wine.log" 2>&1
chroot "$work/root" wineserver --persistent
chroot "$work/root" /usr/lib/wine/wine64 wineboot </dev/null
echo settled >&3
cat >/dev/null
`;

/** Runs the starter in the container whose root is $1, for its user $2, who has a name here alone. Wine's log is $3. */
export const enterScript = `
set -e
root=$1 user=$2 log=$3
shift 3
mount -t tmpfs tmpfs "$root/mnt"
echo "$user:x:0:0::/root:/bin/sh" >"$root/mnt/passwd"
mount --bind "$root/mnt/passwd" "$root/etc/passwd"
umount -l "$root/mnt"
exec setpriv --pdeathsig KILL chroot "$root" /usr/lib/wine/wine64 /starter/starter.exe "$@" 2>>"$log"
`;
