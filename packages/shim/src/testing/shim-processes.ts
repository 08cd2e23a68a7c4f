/** Runs the shim's executable as containerd does, in a directory of its own. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { servingForEver } from "@uvm-shim/test-support/bound-sockets";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { containerd } from "../generated/messages.js";
import { launcherVariable } from "../program/launcher.ts";
import { readState } from "../program/state-file.ts";
import { processStartTime } from "../system/process-identity.ts";
import { EventServer } from "./event-server.ts";

/** How a run of the executable ended. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** Standard output and error together, as containerd reads the reply of `start`. */
  readonly combined: string;
}

/** How the executable is run. */
export interface RunOptions {
  readonly env?: { readonly [name: string]: string };
  readonly input?: Uint8Array;
  readonly keepStdinOpen?: boolean;
  /** The limit of open descriptors. */
  readonly descriptors?: number;
  /** Run as this user. */
  readonly user?: number;
}

/** What a launcher has got of a `start`. */
export interface HereOutcome {
  readonly pid: number;
  readonly output: string;
  readonly errors: string;
  readonly code: string;
  /** Resolves with the end of the process. */
  readonly ended: Promise<void>;
}

/** How a sandboxer is run. */
export interface SandboxerRun {
  readonly drains?: boolean;
  /** A configuration file, in place of the flag with containerd's address. */
  readonly configuration?: string;
  /** Descriptors of sockets that somebody else has bound. */
  readonly sockets?: readonly number[];
  /** What it says when the test can go on; by default that it serves. */
  readonly untilSaid?: string;
}

/** A sandboxer that a test runs. */
export interface TestSandboxer {
  readonly socket: string;
  readonly pid: number;
  /** What it has written to standard error. */
  log(): string;
  signal(name: NodeJS.Signals): void;
  /** Resolves with the exit code, which a signal leaves null. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Whether that very process still runs. */
export function isAlive(identity: { readonly pid: number; readonly processStartTime: string }): boolean {
  return processStartTime(identity.pid) === identity.processStartTime;
}

/** The executable, bundled like the real ones, which also makes the tests' many processes start faster. */
export class ShimExecutable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), "shim-bundle-"));
  readonly main = path.join(this.#directory, "shim.cjs");

  async build(): Promise<void> {
    const entryPoint = path.join(import.meta.dirname, "shim-main.ts");
    await build({ entryPoints: [entryPoint], bundle: true, platform: "node", format: "cjs", outfile: this.main });
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Builds the executable before the tests of a file, and gives each of them processes of its own. */
export function eachTestWithProcesses(begin: (processes: ShimProcesses, executable: string) => void): void {
  let executable: ShimExecutable | undefined;
  let processes: ShimProcesses | undefined;
  beforeAll(async () => {
    executable = new ShimExecutable();
    await executable.build();
  });
  afterAll(() => executable?.remove());
  beforeEach(async () => {
    if (executable === undefined) throw new Error("the executable has not been built");
    processes = new ShimProcesses(executable.main);
    await processes.open();
    begin(processes, executable.main);
  });
  afterEach(() => processes?.close());
}

/** One test's shims, in a folder of their own. */
export class ShimProcesses {
  readonly directory = mkdtempSync(path.join(tmpdir(), "shim-exe-"));
  readonly events = new EventServer();
  readonly records = path.join(this.directory, "records");
  readonly #main: string;
  readonly #clients: TtrpcClient[] = [];
  readonly #ids = new Set<string>();
  readonly #sandboxers: (() => Promise<void>)[] = [];

  constructor(main: string) {
    this.#main = main;
  }

  async open(): Promise<void> {
    await this.events.listen(path.join(this.directory, "events"));
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const end of this.#sandboxers) await end();
    for (const id of this.#ids) {
      const state = readState(this.bundle(id));
      if (state?.kind === "serving" && isAlive(state)) process.kill(state.pid, "SIGKILL");
    }
    await this.events.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  bundle(id: string): string {
    return path.join(this.directory, id);
  }

  makeBundle(id: string, configuration?: object | string): string {
    this.#ids.add(id);
    mkdirSync(this.bundle(id), { recursive: true });
    if (configuration !== undefined) {
      const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
      writeFileSync(path.join(this.bundle(id), "config.json"), text);
    }
    return this.bundle(id);
  }

  run(id: string, argumentList: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const flags = ["-namespace", "ns", "-address", path.join(this.directory, "containerd.sock")];
    flags.push("-publish-binary", "/usr/bin/containerd", "-id", id);
    const directory = existsSync(this.bundle(id)) ? this.bundle(id) : this.directory;
    return this.#run([...flags, ...argumentList], options, directory);
  }

  /** Runs `start` as a launcher does that waits for its answer only; resolves once nothing of the launcher's is open. */
  async runHere(id: string, options: RunOptions = {}): Promise<HereOutcome> {
    const cwd = this.makeBundle(id);
    const log = openSync(path.join(cwd, "panic.log"), "w");
    const flags = ["-namespace", "ns", "-address", path.join(this.directory, "containerd.sock"), "-id", id, "start"];
    const child = spawn(process.execPath, [this.#main, ...flags], {
      ...{ cwd, env: { ...this.#environment(options), [launcherVariable]: "1" } },
      stdio: ["pipe", log, log, "pipe", "pipe", "pipe"],
    });
    closeSync(log);
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    this.#sandboxers.push(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    child.stdin?.on("error", () => {}).end(options.input);
    const [output, errors, code] = await Promise.all([3, 4, 5].map((number) => text(child.stdio[number] as Readable)));
    return { ended, pid: child.pid ?? 0, output: output ?? "", errors: errors ?? "", code: code ?? "" };
  }

  /** With these arguments and no others, outside of any bundle. */
  runAlone(argumentList: readonly string[]): Promise<Outcome> {
    return this.#run(argumentList, {}, this.directory);
  }

  /**
   * Runs a sandboxer until the test ends; resolves once it serves. With `sockets` it is given these descriptors as systemd
   * passes sockets, and is started again whenever it ends, with the same ones.
   */
  async startSandboxer(options: RunOptions & SandboxerRun = {}): Promise<TestSandboxer> {
    const socket = path.join(this.directory, "sandboxer");
    const flags = ["-socket", socket, "-state", path.join(this.directory, "state")];
    const { configuration } = options;
    if (configuration === undefined) flags.push("-address", path.join(this.directory, "containerd.sock"));
    else flags.push("-config", configuration);
    if (options.drains) flags.push("-drain");
    const { sockets = [] } = options;
    const command = [process.execPath, this.#main, ...flags, "sandboxer"];
    const [file = "", ...rest] = sockets.length === 0 ? command : servingForEver(sockets.length, command);
    const child = spawn(file, rest, {
      env: this.#environment(options),
      stdio: ["ignore", "ignore", "pipe", ...sockets],
      // Whoever ends the shell ends what it has started.
      detached: true,
    });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
    this.#sandboxers.push(async () => {
      try {
        process.kill(-(child.pid ?? 0), "SIGKILL");
      } catch {
        // It has ended.
      }
      await ended;
    });
    await expect.poll(() => said, { timeout: 10_000 }).toContain(options.untilSaid ?? "msg=serving socket=");
    const end = async (signal: NodeJS.Signals): Promise<number | null> => {
      child.kill(signal);
      return await ended;
    };
    const pid = Number(/msg=serving socket=\S+ pid=(\d+)/.exec(said)?.[1]);
    const signal = (name: NodeJS.Signals): void => void child.kill(name);
    return { socket, pid, log: () => said, signal, end };
  }

  #environment(options: RunOptions): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      TTRPC_ADDRESS: path.join(this.directory, "events"),
      UVM_SHIM_RECORDS: this.records,
      UVM_SHIM_SOCKET_DIRECTORY: path.join(this.directory, "s"),
      FAKE_RECORD: path.join(this.directory, "record"),
      ...options.env,
    };
  }

  #run(argumentList: readonly string[], options: RunOptions, directory: string): Promise<Outcome> {
    const limit = options.descriptors === undefined ? "" : `ulimit -n ${options.descriptors}; `;
    const command = ["-c", `${limit}exec "$0" "$@"`, process.execPath, this.#main, ...argumentList];
    const child = spawn("/bin/sh", command, {
      cwd: directory,
      ...(options.user === undefined ? {} : { uid: options.user, gid: options.user }),
      env: this.#environment(options),
    });
    const all: Buffer[] = [];
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => void [all, stdout].map((list) => list.push(chunk)));
    child.stderr.on("data", (chunk: Buffer) => void [all, stderr].map((list) => list.push(chunk)));
    child.stdin.on("error", () => {});
    if (options.keepStdinOpen !== true) child.stdin.end(options.input);
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) =>
        resolve({
          code,
          stdout: Buffer.concat(stdout),
          stderr: Buffer.concat(stderr).toString(),
          combined: Buffer.concat(all).toString(),
        }),
      );
    });
  }

  async start(id: string, options: RunOptions = {}): Promise<string> {
    const outcome = await this.run(id, ["start"], options);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    return outcome.combined;
  }

  async delete(id: string, options: RunOptions = {}): Promise<containerd.task.v2.DeleteResponse> {
    const outcome = await this.run(id, ["-bundle", this.bundle(id), "delete"], options);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    return containerd.task.v2.DeleteResponse.decode(outcome.stdout);
  }

  connect(address: string): TtrpcClient {
    const client = new TtrpcClient(net.connect(address.replace("unix://", "")));
    this.#clients.push(client);
    return client;
  }

  /** The calls to the fake platform, one per line. */
  record(): string[] {
    const file = path.join(this.directory, "record");
    return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
  }

  /** Kills the serving process, like a crash. */
  async kill(id: string): Promise<void> {
    const state = readState(this.bundle(id));
    if (state?.kind !== "serving") throw new Error(`shim of ${id} is ${state?.kind}`);
    process.kill(state.pid, "SIGKILL");
    await expect.poll(() => isAlive(state)).toBe(false);
  }

  servingPid(id: string): number {
    const state = readState(this.bundle(id));
    if (state?.kind !== "serving") throw new Error(`shim of ${id} is ${state?.kind}`);
    return state.pid;
  }
}
