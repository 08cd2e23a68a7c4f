/** Values of Linux containers that the OCI runtime specification enumerates. */
import { type Check, list, oneOf, openObject, optional, refine, SchemaError, text } from "../check.ts";

const rlimitType = oneOf(
  ...(["RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS"] as const),
  ...(["RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS"] as const),
  ...(["RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"] as const),
);

/**
 * A resource limit of a process by its name in setrlimit(2). 2^64-1 means unlimited. Source: POSIXRlimit of the OCI
 * runtime specification.
 */
export interface OciRlimit {
  readonly type: string;
  readonly hard: number;
  readonly soft: number;
}

/** Unlimited is 2^64-1, which a double cannot hold exactly. */
function rlimitValue(value: unknown, path = ""): number {
  if (typeof value !== "number" || !(value >= 0)) {
    throw new SchemaError(path, `expected a non-negative number, got ${typeof value}`);
  }
  return value;
}

/** `process.rlimits`: known names, and no soft limit above its hard one, which the kernel would refuse. */
export const checkOciRlimits: Check<readonly OciRlimit[]> = list(
  refine(
    openObject<OciRlimit>({ type: rlimitType, hard: rlimitValue, soft: rlimitValue }),
    "a soft limit of at most the hard limit",
    ({ soft, hard }) => soft <= hard,
  ),
);

/** The kinds of Linux namespaces that the OCI runtime specification names. */
export const checkOciNamespaceType = oneOf("pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time");

/**
 * How mounts spread between the root file system of a container and others; empty leaves it to the runtime. Source:
 * rootfsPropagation of the OCI runtime specification.
 */
export const checkOciPropagation = oneOf(
  ...(["", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"] as const),
);

const seccompAction = oneOf(
  ...(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"] as const),
  ...(["SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"] as const),
);

const seccompArchitecture = refine(text, "SCMP_ARCH_<architecture>", (name) => /^SCMP_ARCH_[A-Z0-9_]+$/.test(name));

interface Seccomp {
  readonly defaultAction: string;
  readonly architectures?: readonly string[];
  readonly syscalls?: readonly { readonly names: readonly string[]; readonly action: string }[];
}

/**
 * The parts of `linux.seccomp` that could be misspelled without anyone noticing: actions, architectures and system
 * calls. Other fields are kept.
 */
export const checkOciSeccomp: Check<Seccomp> = openObject<Seccomp>({
  defaultAction: seccompAction,
  architectures: optional(list(seccompArchitecture)),
  syscalls: optional(
    list(openObject<{ names: readonly string[]; action: string }>({ names: list(text), action: seccompAction })),
  ),
});
