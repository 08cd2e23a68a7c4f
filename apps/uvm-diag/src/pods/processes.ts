import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Finding } from "./pod.ts";

/** A process of this machine. */
export interface MachineProcess {
  readonly pid: number;
  readonly arguments: readonly string[];
  readonly workingFolder: string | undefined;
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
        arguments: line.replace(/\0$/, "").split("\0"),
        workingFolder,
        isElsewhere: mountsOf(name) !== own,
      },
    ];
  });
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

const program = /(?:^|[/\\])(?:containerd-shim-)?(?:shim-)?(lcow|wcow)(?:-v2)?(?:\.program)?(?:\.cjs|\.exe)?$/;

/** The serving processes of both shims: they have the socket among their arguments, and no action at the end. */
export function servingShims(processes: readonly MachineProcess[]): readonly Finding[] {
  return processes.flatMap(({ pid, arguments: words, workingFolder, isElsewhere }) => {
    const flavour = words.map((word) => program.exec(word)?.[1]).find((found) => found !== undefined);
    const value = (flag: string): string | undefined => {
      const index = words.findIndex((word) => word === `-${flag}` || word === `--${flag}`);
      return index < 0 ? undefined : words[index + 1];
    };
    const [namespace, id, socket] = [value("namespace"), value("id"), value("socket")];
    if (flavour === undefined || namespace === undefined || id === undefined || socket === undefined) return [];
    return [
      {
        namespace,
        id,
        socket,
        pid,
        isElsewhere,
        shim: `containerd-shim-${flavour}-v2`,
        ...(workingFolder && { bundle: workingFolder }),
      },
    ];
  });
}
