/** An OCI runtime says which file or call failed; who wrote the specification wants to know the field. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciLinux, OciProcess } from "@uvm-shim/hcs-schema";

/** The parts of a specification that a runtime fails on. */
export interface RuntimeInput {
  readonly process?: OciProcess | undefined;
  readonly linux?: OciLinux | undefined;
}

interface Suspect {
  readonly words: RegExp;
  readonly field: string;
  readonly value?: (input: RuntimeInput) => unknown;
}

/** In the words of crun and of runc, which name the same files and calls. */
const suspects: readonly Suspect[] = [
  { words: /cpuset\.cpus/, field: "linux.resources.cpu.cpus", value: ({ linux }) => linux?.resources?.cpu?.cpus },
  { words: /cpuset\.mems/, field: "linux.resources.cpu.mems", value: ({ linux }) => linux?.resources?.cpu?.mems },
  { words: /cpu\.(cfs_|max|shares|weight)/, field: "linux.resources.cpu", value: ({ linux }) => linux?.resources?.cpu },
  {
    words: /memory\.(limit_in_bytes|max)|memory limit|OOM-killed/,
    field: "linux.resources.memory.limit",
    value: ({ linux }) => linux?.resources?.memory?.limit,
  },
  { words: /pids\.max/, field: "linux.resources.pids.limit", value: ({ linux }) => linux?.resources?.pids?.limit },
  { words: /unified/, field: "linux.resources.unified", value: ({ linux }) => linux?.resources?.unified },
  { words: /rlimit/i, field: "process.rlimits", value: ({ process }) => process?.rlimits },
  { words: /seccomp/i, field: "linux.seccomp" },
  { words: /sysctl|\/proc\/sys\//, field: "linux.sysctl", value: ({ linux }) => linux?.sysctl },
  { words: /chdir|\bcwd\b/, field: "process.cwd", value: ({ process }) => process?.cwd },
  { words: /executable|\bexec: /, field: "process.args[0]", value: ({ process }) => process?.args?.[0] },
  { words: /\bmount\b/, field: "mounts" },
];
const mostCharacters = 200;

/** Runs a call of the runtime; a failure that its input explains becomes E_INVALIDARG with the field and its value. */
export async function namingFields<T>(input: RuntimeInput, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    const suspect = suspects.find(({ words }) => words.test(error.message));
    if (suspect === undefined) throw error;
    const value = suspect.value?.(input);
    const given = value === undefined ? "" : ` is ${JSON.stringify(value).slice(0, mostCharacters)}`;
    const message = `OciSpecification.${suspect.field}${given}, which this guest cannot do: ${error.message}`;
    throw new GuestFault("E_INVALIDARG", message, { cause: error });
  }
}
