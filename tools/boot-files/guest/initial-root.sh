#!/bin/busybox sh
# Process 1 until the root of the guest is mounted. Loads the modules that are numbered in the order of their loading,
# and gives way to the init of the root, which has its /usr from the disk that the kernel's command line names as root=.
export PATH=/bin

step() {
  read -r up _ </proc/uptime
  echo "uvm-shim: ${up} s: $*"
}

# The kernel panics when process 1 ends, and tells the host of it.
fail() {
  step "cannot boot: $*"
  exit 1
}

busybox mount -t proc -o nosuid,nodev,noexec proc /proc
busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
busybox mount -t devtmpfs -o nosuid,mode=755 dev /dev

read -r started _ </proc/uptime
# A module for a feature that the processor lacks cannot be loaded, and is not needed.
for module in /modules/*.ko; do
  busybox insmod "$module" || echo "uvm-shim: $module is not loaded"
done
# Without a console of its own the kernel has given this process none: now there may be one of the modules'.
(: <>/dev/console) 2>/dev/null && exec </dev/console >/dev/console 2>&1
echo "uvm-shim: ${started} s: the kernel has started"
step "modules are loaded"

disk=/dev/vda
read -r words </proc/cmdline
for word in $words; do
  case $word in root=*) disk=${word#root=} ;; esac
done
# Its driver may still be looking for disks.
tries=0
until [ -b "$disk" ]; do
  tries=$((tries + 1))
  [ $tries -le 500 ] || fail "no disk $disk came within 10 s"
  busybox usleep 20000
done
busybox mount -t erofs -o ro "$disk" /image || fail "$disk has no root of the guest"
busybox mount -t tmpfs -o mode=755 guest /root || fail "no file system in memory"

# As a guest that is a process has it: /usr is the image's and read-only, the rest is in memory.
cd /root || fail "no new root"
busybox mkdir dev etc mnt proc root run sys tmp usr var
busybox cp -a /image/etc/. etc
busybox mount -o bind /image/usr usr || fail "no /usr"
busybox mount -o remount,bind,ro usr
busybox umount -l /image
for folder in bin sbin lib lib64; do busybox ln -s "usr/$folder" "$folder"; done
step "the root is mounted"
for folder in dev proc sys; do busybox mount -o move "/$folder" "$folder"; done
exec busybox switch_root /root /sbin/init
