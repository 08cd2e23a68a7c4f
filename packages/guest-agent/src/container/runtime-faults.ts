/** An OCI runtime reports the file or call that failed; the author of a specification needs the field. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciLinux, OciMount, OciProcess } from "@uvm-shim/hcs-schema";

/** The parts of a specification on which a runtime can fail. */
export interface RuntimeInput {
  readonly process?: OciProcess | undefined;
  readonly linux?: OciLinux | undefined;
  readonly mounts?: readonly OciMount[] | undefined;
}

interface Suspect {
  readonly words: RegExp;
  /** A further condition. */
  readonly when?: (input: RuntimeInput, message: string) => boolean;
  readonly field: string;
  readonly value?: (input: RuntimeInput, message: string) => unknown;
}

/** Matches messages of crun and of runc, which name the same files and calls. */
const suspects: readonly Suspect[] = [
  { words: /too many open files/i, field: "process.rlimits", value: ({ process }) => process?.rlimits },
  { words: /cpuset\.cpus/, field: "linux.resources.cpu.cpus", value: ({ linux }) => linux?.resources?.cpu?.cpus },
  { words: /cpuset\.mems/, field: "linux.resources.cpu.mems", value: ({ linux }) => linux?.resources?.cpu?.mems },
  {
    words: /cpu\.(cfs_|rt_|max|shares|weight)/,
    field: "linux.resources.cpu",
    value: ({ linux }) => linux?.resources?.cpu,
  },
  {
    words: /memory\.(limit_in_bytes|max)|memory limit|OOM-killed/,
    field: "linux.resources.memory.limit",
    value: ({ linux }) => linux?.resources?.memory?.limit,
  },
  { words: /pids\.max/, field: "linux.resources.pids.limit", value: ({ linux }) => linux?.resources?.pids?.limit },
  { words: /hugetlb/, field: "linux.resources.hugepageLimits", value: ({ linux }) => linux?.resources?.hugepageLimits },
  {
    words: /blkio|\bio\.(weight|max|bfq)/,
    field: "linux.resources.blockIO",
    value: ({ linux }) => linux?.resources?.blockIO,
  },
  { words: /\brdma\b/, field: "linux.resources.rdma", value: ({ linux }) => linux?.resources?.rdma },
  { words: /unified/, field: "linux.resources.unified", value: ({ linux }) => linux?.resources?.unified },
  {
    words: /./,
    when: (input, message) => mountNamed(input, message) !== undefined,
    field: "mounts",
    value: (input, message) => mountNamed(input, message)?.destination,
  },
  { words: /rlimit/i, field: "process.rlimits", value: ({ process }) => process?.rlimits },
  { words: /seccomp/i, field: "linux.seccomp" },
  { words: /sysctl|\/proc\/sys\//, field: "linux.sysctl", value: ({ linux }) => linux?.sysctl },
  { words: /\bset(groups|resuid|resgid|uid|gid)\b/, field: "process.user", value: ({ process }) => process?.user },
  { words: /chdir|\bcwd\b/, field: "process.cwd", value: ({ process }) => process?.cwd },
  { words: /executable|\bexec: /, field: "process.args[0]", value: ({ process }) => process?.args?.[0] },
  {
    words: /not a directory/i,
    when: (input) => input.mounts !== undefined,
    field: "mounts",
    value: ({ mounts }, message) => mounts?.findLast(({ destination }) => message.includes(destination))?.destination,
  },
  { words: /\bmount(_setattr)?\b/, field: "mounts" },
  // The limits already apply to the runtime itself, which then fails without a message.
  { words: /^/, when: hasTightLimit, field: "process.rlimits", value: ({ process }) => process?.rlimits },
];

/** File systems in which no mount point can be made. */
const takingNothing = /^\/(proc|sys)\//;
/** NAME_MAX: a shorter path cannot contain a name that is too long. */
const longestName = 255;
const tooLong = /file name too long/i;
const pathEnd = "(?![\\w./-])";

/** The mount whose mount point could not be made: runtimes name its whole destination, though they may cut its end. */
function mountNamed({ mounts = [] }: RuntimeInput, message: string): OciMount | undefined {
  if (tooLong.test(message)) return mounts.findLast(({ destination }) => Buffer.byteLength(destination) > longestName);
  return mounts.findLast(
    ({ destination }) =>
      takingNothing.test(destination) && new RegExp(literal(destination.slice(1)) + pathEnd).test(message),
  );
}

function literal(path: string): string {
  return path.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

const smallestFile = 4096;
const fewestFiles = 32;

function hasTightLimit({ process }: RuntimeInput): boolean {
  return (process?.rlimits ?? []).some(
    ({ type, soft }) =>
      (type === "RLIMIT_FSIZE" && soft < smallestFile) ||
      (type === "RLIMIT_NOFILE" && soft < fewestFiles) ||
      (type === "RLIMIT_CPU" && soft === 0),
  );
}

const mostCharacters = 200;

/** A failure that the input explains becomes E_INVALIDARG with the field and its value. */
export async function namingFields<T>(input: RuntimeInput, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    const suspect = suspects.find(
      ({ words, when = () => true }) => words.test(error.message) && when(input, error.message),
    );
    if (suspect === undefined) throw error;
    const value = suspect.value?.(input, error.message);
    const given = value === undefined ? "" : ` ${JSON.stringify(value).slice(0, mostCharacters)}`;
    const message = `cannot apply OciSpecification.${suspect.field}${given}: ${error.message}`;
    throw new GuestFault("E_INVALIDARG", message, { cause: error });
  }
}
