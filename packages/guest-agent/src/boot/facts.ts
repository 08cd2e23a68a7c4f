/** What this kernel grants the guest, which decides what parts of a container's specification can be honoured. */
import { existsSync, readFileSync } from "node:fs";

/** What the kernel grants to this process, and so to the guest's containers. */
export interface GuestFacts {
  /** Capabilities of the bounding set, by name. */
  readonly capabilities: ReadonlySet<string>;
  /** Hard limits by RLIMIT name; absent where unlimited. */
  readonly hardLimits: ReadonlyMap<string, number>;
  readonly oomScoreAdj: number;
  readonly hasAppArmor: boolean;
  readonly hasSelinux: boolean;
}

/** Capabilities in the order of their numbers (linux/capability.h). */
const capabilityNames = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

/** RLIMIT names by those in /proc/self/limits. */
const limitNames: ReadonlyMap<string, string> = new Map([
  ["Max cpu time", "RLIMIT_CPU"],
  ["Max file size", "RLIMIT_FSIZE"],
  ["Max data size", "RLIMIT_DATA"],
  ["Max stack size", "RLIMIT_STACK"],
  ["Max core file size", "RLIMIT_CORE"],
  ["Max resident set", "RLIMIT_RSS"],
  ["Max processes", "RLIMIT_NPROC"],
  ["Max open files", "RLIMIT_NOFILE"],
  ["Max locked memory", "RLIMIT_MEMLOCK"],
  ["Max address space", "RLIMIT_AS"],
  ["Max file locks", "RLIMIT_LOCKS"],
  ["Max pending signals", "RLIMIT_SIGPENDING"],
  ["Max msgqueue size", "RLIMIT_MSGQUEUE"],
  ["Max nice priority", "RLIMIT_NICE"],
  ["Max realtime priority", "RLIMIT_RTPRIO"],
  ["Max realtime timeout", "RLIMIT_RTTIME"],
]);

/** Reads the facts of this process, which its containers inherit. */
export function readGuestFacts(): GuestFacts {
  return {
    capabilities: capabilitiesOf(readFileSync("/proc/self/status", "utf8")),
    hardLimits: hardLimitsOf(readFileSync("/proc/self/limits", "utf8")),
    oomScoreAdj: Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
    hasAppArmor: isYes("/sys/module/apparmor/parameters/enabled"),
    hasSelinux: existsSync("/sys/fs/selinux/enforce"),
  };
}

/** The bounding set from the text of /proc/self/status. */
export function capabilitiesOf(status: string): ReadonlySet<string> {
  const bits = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return new Set(capabilityNames.filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n));
}

/** The hard limits from the text of /proc/self/limits. */
export function hardLimitsOf(limits: string): ReadonlyMap<string, number> {
  const result = new Map<string, number>();
  for (const line of limits.split("\n")) {
    const row = /^(Max [a-z ]+?)\s{2,}(\S+)\s+(\S+)/.exec(line);
    const name = limitNames.get(row?.[1] ?? "");
    const hard = row?.[3];
    if (name !== undefined && hard !== undefined && hard !== "unlimited") result.set(name, Number(hard));
  }
  return result;
}

function isYes(path: string): boolean {
  return existsSync(path) && readFileSync(path, "utf8").trim() === "Y";
}
