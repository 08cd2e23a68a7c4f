#!/bin/sh
# Process 1 of a guest that is a virtual machine. It mounts what every Linux has, loads the drivers of what the host may
# attach, and starts the agent. A shell as process 1 collects the exits of all orphans while it waits.
export PATH=/usr/sbin:/usr/bin HOME=/root

step() {
  read -r up _ </proc/uptime
  echo "uvm-shim: ${up} s: $*"
}

umask 022
mount -t tmpfs -o nosuid,nodev,mode=755 run /run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmp /tmp
mkdir -p /dev/pts /dev/shm /dev/mqueue /run/oci /run/agent /run/host/plan9
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
ln -sf pts/ptmx /dev/ptmx
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 shm /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
for name in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -sf "/proc/self/${name#*:}" "/dev/${name%%:*}"; done
step "file systems are mounted"

# By the first the agent reaches the host; the others are loaded while it starts. One that is unknown to this kernel, or has no
# device, does not keep the rest from being loaded.
read -r first others </usr/lib/uvm-shim/modules-at-boot
/usr/sbin/modprobe "$first"
step "the first driver is loaded"

# The agent logs to its standard error, the console, until the host takes its log.
UVM_SHIM_VM_GUEST=1 node --disable-sigusr1 --max-semi-space-size=2 /usr/lib/uvm-shim/guest-agent.cjs &
agent=$!
echo $agent >/run/agent.pid
step "the agent is started"
# shellcheck disable=SC2086 # They are the words of a list.
/usr/sbin/modprobe -a $others
step "drivers are loaded"
# It asks the agent to end when the host presses the power button.
/usr/sbin/acpid -l /dev/null
wait $agent
code=$?
step "the agent has ended with code $code"
[ $code -eq 0 ] && /usr/sbin/poweroff -f
# The kernel panics at the end of process 1. By pvpanic the host is told, and panic=-1 then ends the machine.
exit $code
