#!/bin/sh
# Makes the folder $1: Debian's Wine with an initialised Windows folder in /windows. $2 is the mirror, $3 its keyring.
# Run under a lock, in mount and process namespaces of its own: what an interrupted run leaves, the next one removes.
set -eu
target=$1 mirror=$2 keyring=$3
[ ! -d "$target" ] || exit 0
new=$target.new
rm -rf "$new"
debootstrap --variant=minbase --include=wine64,wine ${keyring:+--keyring="$keyring"} trixie "$new" "$mirror"
mount -t proc proc "$new/proc"
mount --rbind /dev "$new/dev"
export WINEPREFIX=/windows WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= HOME=/root
chroot "$new" /usr/lib/wine/wine64 wineboot --init
# No display is looked for, and the version is that of a Windows with every call of the compute service.
chroot "$new" /usr/lib/wine/wine64 reg add 'HKCU\Software\Wine\Drivers' /v Graphics /d null /f
chroot "$new" /usr/lib/wine/wine64 winecfg -v win11
chroot "$new" wineserver --wait
umount --recursive "$new/dev" "$new/proc"
rm -rf "$new"/var/cache/apt/* "$new"/var/lib/apt/lists/* "$new"/usr/share/doc "$new"/usr/share/locale
mv "$new" "$target"
