import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readState, type ShimState } from "@uvm-shim/shim/state-file";
import type { Finding } from "./pod.ts";

/** A process of this machine. */
export interface MachineProcess {
  readonly pid: number;
  readonly arguments: readonly string[];
  readonly workingFolder: string | undefined;
  /** Its real user; undefined if nothing tells. */
  readonly user: number | undefined;
  /** Whether it sees other mounts than this process. */
  readonly isElsewhere: boolean;
}

/** The processes of /proc, but for those that end meanwhile. */
export function linuxProcesses(proc = "/proc"): readonly MachineProcess[] {
  const mountsOf = (name: string): string | undefined => attempt(() => readlinkSync(`${proc}/${name}/ns/mnt`));
  const own = mountsOf("self");
  return readdirSync(proc).flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const line = attempt(() => readFileSync(`${proc}/${name}/cmdline`, "utf8"));
    // Processes of the kernel have no arguments.
    if (line === undefined || line === "") return [];
    const workingFolder = attempt(() => readlinkSync(`${proc}/${name}/cwd`));
    return [
      {
        pid: Number(name),
        user: userOf(attempt(() => readFileSync(`${proc}/${name}/status`, "utf8"))),
        arguments: line.replace(/\0$/, "").split("\0"),
        workingFolder,
        isElsewhere: mountsOf(name) !== own,
      },
    ];
  });
}

/** The owner of the folder in /proc would not do: it is root's for every process that may not be dumped. */
function userOf(status = ""): number | undefined {
  const text = /^Uid:\s*(\d+)/m.exec(status)?.[1];
  return text === undefined ? undefined : Number(text);
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

const program = /(?:^|[/\\])(?:containerd-shim-)?(?:shim-)?(lcow|wcow)(?:-v2)?(?:\.program)?(?:\.cjs|\.exe)?$/;

/**
 * The serving processes of both shims. One that `start` has made has its socket among its arguments, and no action at the
 * end; one that has been `start` itself has written it down in its working folder. Those of other users are none, whatever
 * they call themselves: this tool would speak to whoever serves the socket that they name.
 */
export function servingShims(
  processes: readonly MachineProcess[],
  ownUser: number | undefined = process.getuid?.(),
  stateOf: (pid: number) => ShimState | undefined = (pid) => readState(`/proc/${pid}/cwd`),
): readonly Finding[] {
  return processes.flatMap(({ pid, user, arguments: words, workingFolder, isElsewhere }) => {
    const shim = shimOf(words);
    const value = (flag: string): string | undefined => {
      const index = words.findIndex((word) => word === `-${flag}` || word === `--${flag}`);
      return index < 0 ? undefined : words[index + 1];
    };
    const [namespace, id] = [value("namespace"), value("id")];
    if (user !== ownUser || shim === undefined || namespace === undefined || id === undefined) return [];
    const socket = words.at(-1) === "start" ? socketServed(stateOf(pid), { namespace, id, pid }) : value("socket");
    if (socket === undefined) return [];
    return [{ namespace, id, socket, pid, isElsewhere, shim, ...(workingFolder && { bundle: workingFolder }) }];
  });
}

/** Of a process that has answered `start` and serves; undefined for one that has not yet, or has handed its pod over. */
function socketServed(
  state: ShimState | undefined,
  own: { readonly namespace: string; readonly id: string; readonly pid: number },
): string | undefined {
  if (state?.kind !== "serving" || state.pid !== own.pid) return undefined;
  return state.namespace === own.namespace && state.id === own.id ? state.socket : undefined;
}

/** What is the same for all pods that a sandboxer serves. */
export type Host = Required<Pick<Finding, "pid" | "shim" | "isElsewhere">>;

/** The sandboxers of both shims, by pid. Which pods they serve, the bundles tell. */
export function sandboxers(
  processes: readonly MachineProcess[],
  ownUser: number | undefined = process.getuid?.(),
): ReadonlyMap<number, Host> {
  const hosts = new Map<number, Host>();
  for (const { pid, user, arguments: words, isElsewhere } of processes) {
    const shim = shimOf(words);
    if (user === ownUser && shim !== undefined && words.includes("sandboxer"))
      hosts.set(pid, { pid, shim, isElsewhere });
  }
  return hosts;
}

/** The name of the shim's executable; undefined for a process of something else. */
function shimOf(words: readonly string[]): string | undefined {
  const flavour = words.map((word) => program.exec(word)?.[1]).find((found) => found !== undefined);
  return flavour === undefined ? undefined : `containerd-shim-${flavour}-v2`;
}
