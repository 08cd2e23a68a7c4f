import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isOfAnotherRun } from "../support/isolate.ts";
import { compareHoldings, type Holdings } from "./compare.ts";
import { parseMountinfo } from "./mountinfo.ts";

export interface HoldingsScope {
  /** Directories whose contents count. */
  readonly directories: readonly string[];
  /** Whether a file, directory or control group is one that containerd or ctr makes and keeps. */
  readonly isExpected: (path: string) => boolean;
  /** Whether a process is one of the suite's own, which may be another one afterwards. */
  readonly isOwn: (command: string) => boolean;
  /** The ids of the compute systems; asked only where something serves them. */
  readonly computeSystems: () => Promise<readonly string[]>;
}

/** Everything that a shim could leave behind, as this process sees it. */
export async function takeHoldings(scope: HoldingsScope): Promise<Holdings> {
  return { ...takeVisible(scope), "compute system": new Set(await scope.computeSystems()) };
}

/** What can be seen without asking the host, which lives longer the more it is asked. */
function takeVisible(scope: HoldingsScope): Holdings {
  const processes = readProcesses();
  return {
    process: new Set(
      processes.filter(({ command }) => !scope.isOwn(command)).map(({ pid, command }) => `${pid} ${command}`),
    ),
    mount: new Set(
      parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).map(
        (mount) => `${mount.point} (${mount.type} ${mount.source} ${mount.root})`,
      ),
    ),
    namespace: new Set(processes.flatMap((process) => process.namespaces)),
    socket: new Set(readSockets()),
    file: new Set(scope.directories.flatMap((directory) => readTree(directory, scope.isExpected))),
    "loop device": new Set(readLoopDevices()),
    cgroup: new Set(readDirectories("/sys/fs/cgroup").filter((path) => !scope.isExpected(path))),
    "compute system": new Set(),
  };
}

/** Waits until nothing is left over; returns what still is when the time is over. */
export async function waitForNothingLeft(
  before: Holdings,
  scope: HoldingsScope,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const over = performance.now() >= deadline;
    if (over || compareHoldings(before, takeVisible(scope)).length === 0) {
      const left = compareHoldings(before, await takeHoldings(scope));
      if (over || left.length === 0) return left;
    }
    await sleep(100, undefined, { signal });
  }
}

export interface ProcessEntry {
  readonly pid: number;
  readonly command: string;
  readonly namespaces: readonly string[];
}

/** The processes of this pid namespace but this one. */
export function readProcesses(): ProcessEntry[] {
  return readNames("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const command = commandOf(pid);
      if (command === undefined) return [];
      const folder = `/proc/${pid}/ns`;
      return [
        { pid: Number(pid), command, namespaces: readNames(folder).flatMap((name) => linkOf(join(folder, name))) },
      ];
    });
}

function commandOf(pid: string): string | undefined {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim();
    return command === ""
      ? `(${readFileSync(`/proc/${pid}/comm`, "latin1").trim()}, a zombie or a kernel thread)`
      : command;
  } catch {
    return undefined;
  }
}

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}

/** The named Unix sockets of this network namespace that something listens on or is bound to. */
function readSockets(): string[] {
  return readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const path = line.trim().split(/\s+/)[7];
      return path === undefined ? [] : [path];
    });
}

function readLoopDevices(): string[] {
  return readNames("/sys/block")
    .filter((name) => name.startsWith("loop"))
    .flatMap((name) => {
      try {
        const file = readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim();
        // Block devices alone are not of a namespace.
        return isOfAnotherRun(file) ? [] : [`${name} ${file}`];
      } catch {
        return [];
      }
    });
}

function readTree(directory: string, isExpected: (path: string) => boolean): string[] {
  return readEntries(directory).flatMap((entry) => {
    const path = join(directory, entry.name);
    const own = isExpected(path) ? [] : [path];
    return entry.isDirectory() ? [...own, ...readTree(path, isExpected)] : own;
  });
}

function readDirectories(directory: string): string[] {
  return readEntries(directory).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? [path, ...readDirectories(path)] : [];
  });
}

function readEntries(directory: string): { readonly name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}

function readNames(directory: string): string[] {
  return readEntries(directory).map((entry) => entry.name);
}
