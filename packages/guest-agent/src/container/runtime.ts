/** The OCI runtime of the guest: crun if the image has it, else runc. Both have the same command line. */
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { agentFolders, type Children } from "@uvm-shim/guest-agent-common";
import type { OciLinuxResources, OciProcess } from "@uvm-shim/hcs-schema";
import { settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import { type DescriptorReceiver, listenForDescriptor, type ProcessExit, sealedCopy } from "@uvm-shim/linux-calls";
import { specificationText } from "./specification.ts";

/** File descriptors of a process's stdio; "ignore" is /dev/null. */
export type ChildStdio = readonly [number | "ignore", number | "ignore", number | "ignore"];

/** A process that the runtime has made. */
export interface RuntimeProcess {
  readonly pid: number;
  readonly exit: Promise<ProcessExit>;
  /** The controlling end of its terminal, if any. The receiver closes it. */
  readonly terminal: number | undefined;
}

/** Failures are GuestFaults with the runtime's own message. */
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
  /** Changes the limits of a running container; those that are absent stay. */
  update(id: string, resources: OciLinuxResources, signal: AbortSignal): Promise<void>;
  /** Freezes every process of a container, or thaws them. */
  freeze(id: string, isFrozen: boolean, signal?: AbortSignal): Promise<void>;
  /** Kills the container's processes and removes it. An unknown container counts as removed. */
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

/** The path of the guest's OCI runtime. Throws if it has none. */
export function findRuntime(exists: (path: string) => boolean = existsSync): string {
  const found = candidates.find((path) => exists(path));
  if (found === undefined)
    throw new Error(`the guest's image has no OCI runtime: expected one of ${candidates.join(", ")}`);
  return found;
}

/**
 * What is executed for the program. Containers must not be able to write to the file that crun runs from, so without
 * this it would make such a copy, and execute that, at each of its starts.
 */
export class RuntimeFile {
  readonly #program: string;
  #copy: string | undefined;

  constructor(program: string) {
    this.#program = program;
  }

  get path(): string {
    if (!isCrun(this.#program)) return this.#program;
    try {
      // Open as long as the agent runs.
      this.#copy ??= `/proc/self/fd/${sealedCopy(this.#program)}`;
      return this.#copy;
    } catch {
      // Resources may be short; then crun sees to it itself.
      return this.#program;
    }
  }
}

function isCrun(program: string): boolean {
  return program.endsWith("/crun");
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
 * After the start, crun can report an error only in the container's own output, in the format of its log, where text is
 * readable.
 */
function logFormatOf(program: string): "text" | "json" {
  return isCrun(program) ? "text" : "json";
}

/** The OCI runtime by its program. Calls reject with a GuestFault that has the last error of the runtime's log. */
export function createRuntime(program: string, children: Children): OciRuntime {
  const file = new RuntimeFile(program);
  const call = async (files: CallFiles, parameters: readonly string[], stdio: ChildStdio, signal?: AbortSignal) => {
    const global = ["--root", agentFolders.runtimeState, "--log", files.log, "--log-format", logFormatOf(program)];
    const options = { stdio: [...stdio], argv0: program };
    const { exitCode } = await children.run(file.path, [...global, ...parameters], options, signal);
    if (exitCode === 0) return;
    throw new GuestFault("E_FAIL", `${parameters[0]}: ${lastError(files.log) ?? `${program} exited with ${exitCode}`}`);
  };

  /** Runs a call that starts a process, whose pid is written to a file and whose terminal is sent over a socket. */
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
          throw new GuestFault(
            "E_FAIL",
            `${parameters[0]}: ${program} wrote ${JSON.stringify(pidText)}, expected a pid`,
          );
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
      if (!existsSync(`${agentFolders.runtimeState}/${id}`)) return;
      await withFiles((files) => call(files, ["delete", "--force", id], noStdio));
    },
  };
}

const terminalTimeoutMs = 5000;

const noStdio: ChildStdio = ["ignore", "ignore", "ignore"];

async function withFiles<T>(act: (files: CallFiles) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(`${agentFolders.scratch}/`);
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

/** Receives the terminal, which the runtime sends before it exits. */
function receiveWhile(receiver: DescriptorReceiver, signal: AbortSignal) {
  const stop = new AbortController();
  const descriptor = receiver.receive(AbortSignal.any([stop.signal, signal]));
  descriptor.catch(() => {});
  return {
    /** To be called after the runtime has exited with success, so that the terminal has been sent. */
    async take(): Promise<number> {
      if (!(await settlesWithin(descriptor, terminalTimeoutMs, systemClock))) {
        stop.abort(new GuestFault("E_FAIL", `the runtime sent no terminal within ${terminalTimeoutMs} ms`));
      }
      return await descriptor;
    },
    async abandon(): Promise<void> {
      stop.abort();
      await descriptor.then(closeSync, () => {});
    },
  };
}

/** The last error in the runtime's log: a JSON error, or the last line of text. */
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
