/** The OCI runtime of the guest: crun where the image has it, else runc. Both speak the same command line. */
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciLinuxResources, OciProcess } from "@uvm-shim/hcs-schema";
import { settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { type DescriptorReceiver, listenForDescriptor, type ProcessExit } from "@uvm-shim/linux-calls";
import { guestFolders } from "../boot/guest-folders.ts";
import type { Children } from "../process/children.ts";
import { specificationText } from "./specification.ts";

/** File descriptors that a process gets as its stdio; "ignore" is /dev/null. */
export type ChildStdio = readonly [number | "ignore", number | "ignore", number | "ignore"];

export interface RuntimeProcess {
  readonly pid: number;
  readonly exit: Promise<ProcessExit>;
  /** The controlling end of its terminal, where it has one. Whoever gets it closes it. */
  readonly terminal: number | undefined;
}

/** What the agent asks of an OCI runtime. Failures are GuestFaults with the runtime's own words. */
export interface OciRuntime {
  /** Makes the container from `<bundle>/config.json`; its first process waits for `start`. */
  create(
    id: string,
    bundle: string,
    terminal: boolean,
    stdio: ChildStdio,
    signal: AbortSignal,
  ): Promise<RuntimeProcess>;
  start(id: string, signal: AbortSignal): Promise<void>;
  exec(id: string, process: OciProcess, stdio: ChildStdio, signal: AbortSignal): Promise<RuntimeProcess>;
  /** Changes the limits of a container that runs; what is absent stays as it is. */
  update(id: string, resources: OciLinuxResources, signal: AbortSignal): Promise<void>;
  /** Stops every process of a container where it stands, or lets them go on. */
  freeze(id: string, isFrozen: boolean, signal?: AbortSignal): Promise<void>;
  /** Kills what is left of the container and forgets it. Unknown counts as done. */
  remove(id: string): Promise<void>;
}

const candidates = [
  "/usr/bin/crun",
  "/usr/sbin/crun",
  "/usr/local/bin/crun",
  "/usr/bin/runc",
  "/usr/sbin/runc",
  "/usr/local/bin/runc",
];

export function findRuntime(exists: (path: string) => boolean = existsSync): string {
  const found = candidates.find((path) => exists(path));
  if (found === undefined)
    throw new Error(`the guest's image has no OCI runtime, neither crun nor runc: ${candidates.join(", ")}`);
  return found;
}

/** Files that one call of the runtime reads and writes. */
interface CallFiles {
  readonly folder: string;
  readonly log: string;
  readonly pid: string;
  readonly process: string;
  readonly resources: string;
  readonly console: string;
}

/**
 * After the start crun has nothing but the container's own output to say what failed in, and says it in the format of
 * its log.
 */
function logFormatOf(program: string): "text" | "json" {
  return program.endsWith("/crun") ? "text" : "json";
}

export function createRuntime(program: string, children: Children): OciRuntime {
  const call = async (files: CallFiles, parameters: readonly string[], stdio: ChildStdio, signal?: AbortSignal) => {
    const global = ["--root", guestFolders.runtimeState, "--log", files.log, "--log-format", logFormatOf(program)];
    const { exitCode } = await children.run(program, [...global, ...parameters], { stdio: [...stdio] }, signal);
    if (exitCode === 0) return;
    throw new GuestFault("E_FAIL", `${parameters[0]}: ${lastError(files.log) ?? `${program} exited with ${exitCode}`}`);
  };

  /** Runs a call that leaves a process behind: its pid stands in a file, its terminal comes over a socket. */
  const launch = async (
    files: CallFiles,
    parameters: readonly string[],
    id: string,
    terminal: boolean,
    stdio: ChildStdio,
    signal: AbortSignal,
  ): Promise<RuntimeProcess> => {
    const receiver = terminal ? listenForDescriptor(files.console) : undefined;
    const expectation = children.expect();
    try {
      const consoleSocket = terminal ? ["--console-socket", files.console] : [];
      const received = receiver === undefined ? undefined : receiveWhile(receiver, signal);
      try {
        await call(files, [...parameters, "--pid-file", files.pid, ...consoleSocket, id], stdio, signal);
        const pidText = readFileSync(files.pid, "utf8");
        const pid = Number(pidText);
        if (!Number.isInteger(pid) || pid < 1) {
          throw new GuestFault("E_FAIL", `${parameters[0]}: ${program} wrote no pid but ${JSON.stringify(pidText)}`);
        }
        return { pid, exit: expectation.adopt(pid), terminal: await received?.take() };
      } catch (error) {
        await received?.abandon();
        throw error;
      }
    } finally {
      receiver?.close();
      expectation.end();
    }
  };

  return {
    create: (id, bundle, terminal, stdio, signal) =>
      withFiles((files) => launch(files, ["create", "--bundle", bundle], id, terminal, stdio, signal)),
    start: (id, signal) => withFiles((files) => call(files, ["start", id], noStdio, signal)),
    exec: (id, process, stdio, signal) =>
      withFiles((files) => {
        writeFileSync(files.process, specificationText(process), { mode: 0o600 });
        const parameters = ["exec", "--detach", "--process", files.process];
        return launch(files, parameters, id, process.terminal === true, stdio, signal);
      }),
    update: (id, resources, signal) =>
      withFiles(async (files) => {
        writeFileSync(files.resources, specificationText(resources), { mode: 0o600 });
        await call(files, ["update", "--resources", files.resources, id], noStdio, signal);
      }),
    freeze: (id, isFrozen, signal) =>
      withFiles((files) => call(files, [isFrozen ? "pause" : "resume", id], noStdio, signal)),
    remove: async (id) => {
      if (!existsSync(`${guestFolders.runtimeState}/${id}`)) return;
      await withFiles((files) => call(files, ["delete", "--force", id], noStdio));
    },
  };
}

const terminalTimeoutMs = 5000;

const noStdio: ChildStdio = ["ignore", "ignore", "ignore"];

async function withFiles<T>(act: (files: CallFiles) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(`${guestFolders.scratch}/`);
  const at = (name: string): string => `${folder}/${name}`;
  try {
    return await act({
      folder,
      log: at("log"),
      pid: at("pid"),
      process: at("process.json"),
      resources: at("resources.json"),
      console: at("console"),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts to wait for the terminal at once, since the runtime sends it before it exits. */
function receiveWhile(receiver: DescriptorReceiver, signal: AbortSignal) {
  const stop = new AbortController();
  const descriptor = receiver.receive(AbortSignal.any([stop.signal, signal]));
  descriptor.catch(() => {});
  return {
    /** The terminal of a runtime that has exited with success: it is here, or will not come. */
    async take(): Promise<number> {
      if (!(await settlesWithin(descriptor, terminalTimeoutMs, systemClock))) {
        stop.abort(new GuestFault("E_FAIL", "the runtime has sent no terminal"));
      }
      return await descriptor;
    },
    async abandon(): Promise<void> {
      stop.abort();
      await descriptor.then(closeSync, () => {});
    },
  };
}

/** The last error in the runtime's log: one as JSON, or the last line where it is text. */
function lastError(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  for (const line of readFileSync(path, "utf8").trim().split("\n").toReversed()) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      if (typeof msg === "string" && (level === "error" || level === "fatal")) return msg;
    } catch {
      if (line !== "") return line;
    }
  }
  return undefined;
}
