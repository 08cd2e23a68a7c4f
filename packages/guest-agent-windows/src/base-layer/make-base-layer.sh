#!/bin/sh
# Makes the folder $1 into a base layer of Windows out of the prefix of the Wine in $2: `Files`, which becomes drive C: of
# containers, and `UtilityVM`, which a virtual machine boots from. Hives are left out: the registry comes with Wine. The
# files are links to those of Wine, since layers are only read. $3 is the disk for what a virtual machine writes, $4 the
# file that it boots, $5 the starter. What an interrupted run leaves, the next one removes.
set -eu
target=$1 wine=$2 template=$3 boot=$4 starter=$5
[ ! -d "$target" ] || exit 0
new=$target.new
rm -rf "$new"
mkdir -p "$new/UtilityVM/Files/EFI/Microsoft/Boot"
cp -al "$wine/windows/drive_c" "$new/Files"
# The profile of whoever set Wine up; each container makes one for its own user.
rm -rf "$new/Files/users/root"
cp -al "$new/Files/." "$new/UtilityVM/Files/"
cp "$boot" "$new/UtilityVM/Files/EFI/Microsoft/Boot/bootmgfw.efi"
# Only looked for.
echo "uvm-shim: emulated Windows guest" >"$new/UtilityVM/Files/EFI/Microsoft/Boot/BCD"
mkdir "$new/UtilityVM/Files/EFI/uvm-shim"
cp "$starter" "$new/UtilityVM/Files/EFI/uvm-shim/starter.exe"
mv "$template" "$new/UtilityVM/SystemTemplate.vhdx"
mv "$new" "$target"
