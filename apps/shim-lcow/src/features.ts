/**
 * What Linux containers may use, as `Features` of the OCI runtime specification. Omits what the guest's runtime supports
 * but the shim cannot pass on: hooks, AppArmor, SELinux, user and time namespaces, seccomp notification and propagation
 * from the host. Also omits the recursive access time options, which crun 1.8 accepts but translates into flags that the
 * kernel rejects.
 */
const mountOptions = [
  "async atime bind defaults dev diratime dirsync exec noatime nodev nodiratime noexec norelatime",
  "nostrictatime nosuid private rbind rdev relatime rexec rnodev rnoexec rnosuid ro rprivate rro rrw rsuid",
  "runbindable rw strictatime suid sync unbindable",
].flatMap((line) => line.split(" "));
const capabilities = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT",
  "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE",
  "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ",
  "PERFMON BPF CHECKPOINT_RESTORE",
].flatMap((line) => line.split(" "));
const seccompActions = ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "TRACE", "TRAP"];
const seccompOperators = ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"];

const disabled = { enabled: false };

export const features = {
  ociVersionMin: "1.0.0",
  ociVersionMax: "1.2.0",
  hooks: [],
  mountOptions,
  linux: {
    namespaces: ["cgroup", "ipc", "mount", "network", "pid", "uts"],
    capabilities: capabilities.map((name) => `CAP_${name}`),
    cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: false },
    seccomp: {
      enabled: true,
      actions: seccompActions.map((name) => `SCMP_ACT_${name}`),
      operators: seccompOperators.map((name) => `SCMP_CMP_${name}`),
      archs: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    },
    apparmor: disabled,
    selinux: disabled,
    intelRdt: disabled,
    mountExtensions: { idmap: disabled },
  },
};
