import { copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { containerd } from "@uvm-shim/shim/protocol";
import { mustRun } from "@uvm-shim/test-support/command";
import { readProcesses } from "../../leaks/holdings.ts";
import { parseMountinfo } from "../../leaks/mountinfo.ts";
import type { ClientStdio } from "../../shim-client/client-stdio.ts";
import { EventSink } from "../../shim-client/events.ts";
import { readOnlyRoot } from "../../shim-client/pod.ts";
import { deleteShim, Sandbox, ShimClient, type ShimIdentity, Task } from "../../shim-client/shim.ts";
import { containerSpec, sandboxSpec } from "../../shim-client/spec.ts";
import { makeStdio } from "../../shim-client/stdio.ts";
import { SHIM } from "../../support/programs.ts";
import { SERVERS } from "../../support/servers.ts";
import type { BootOrders } from "../modes/mode.ts";
import { ShimLogReader } from "./shim-log.ts";
import { Stopwatch } from "./stopwatch.ts";

const NAMESPACE = "attack";
const { TaskExit } = containerd.events;
const bootFolderAnnotation = "io.microsoft.virtualmachine.bootfilesrootpath";

export interface HostilePodOptions {
  /** An empty folder with a short path. */
  readonly directory: string;
  readonly id: string;
  /** The bundle of the hostile guest. */
  readonly program: string;
  readonly orders: BootOrders;
  /** Shared with all containers as their root file system. */
  readonly rootfs: string;
  readonly environment: { readonly [name: string]: string };
}

/** A pod whose guest is hostile, and the shim around it, driven as containerd drives them. */
export class HostilePod {
  readonly id: string;
  readonly shim: ShimClient;
  readonly log: ShimLogReader;
  readonly shimPid: number;
  readonly #options: HostilePodOptions;
  readonly #identity: ShimIdentity;
  readonly #sink: EventSink;
  readonly #stdio: ClientStdio[] = [];
  #wasForced = false;

  private constructor(
    options: HostilePodOptions,
    parts: { readonly shim: ShimClient; readonly log: ShimLogReader; readonly sink: EventSink; identity: ShimIdentity },
  ) {
    this.#options = options;
    this.id = options.id;
    this.shim = parts.shim;
    this.log = parts.log;
    this.#sink = parts.sink;
    this.#identity = parts.identity;
    const serving = readProcesses().filter(
      ({ command }) => SERVERS.shim.test(command) && command.split(" ").includes(options.id),
    );
    this.shimPid = serving[0]?.pid ?? 0;
  }

  /** Starts the shim, and no VM yet. */
  static async start(options: HostilePodOptions): Promise<HostilePod> {
    const { directory, id, program, orders, environment } = options;
    const boot = join(directory, "boot");
    const bundle = join(directory, id);
    for (const folder of [boot, join(bundle, "rootfs")]) mkdirSync(folder, { recursive: true });
    writeFileSync(join(boot, "kernel"), `${processGuestKernel}\n`);
    writeFileSync(join(boot, "mode.json"), JSON.stringify(orders));
    put(program, join(boot, "initrd.img"));
    writeFileSync(join(bundle, "config.json"), JSON.stringify(sandboxSpec({ [bootFolderAnnotation]: boot })));
    const log = ShimLogReader.open(join(bundle, "log"), { id, namespace: NAMESPACE });
    const eventSocket = join(directory, "events.sock");
    const sink = await EventSink.listen(eventSocket);
    const identity: ShimIdentity = {
      ...{ executable: SHIM, namespace: NAMESPACE, id, bundle, eventSocket, environment },
      logLevel: "info",
    };
    try {
      return new HostilePod(options, { shim: await ShimClient.start(identity), log, sink, identity });
    } catch (error) {
      log.close();
      await sink.close();
      throw error;
    }
  }

  async createSandbox(timeoutMs: number): Promise<void> {
    const { id, bundle } = this.#identity;
    await this.shim.call(Sandbox, "CreateSandbox", { sandboxId: id, bundlePath: bundle }, { timeoutMs });
  }

  async boot(timeoutMs: number): Promise<void> {
    const { id } = this.#identity;
    await this.shim.call(Sandbox, "StartSandbox", { sandboxId: id }, { timeoutMs });
  }

  /** The full id of one of the pod's containers. */
  idOf(name: string): string {
    return `${this.id}-${name}`;
  }

  async create(
    name: string,
    args: readonly string[],
    hasStdio: boolean,
    timeoutMs: number,
  ): Promise<ClientStdio | undefined> {
    const id = this.idOf(name);
    const bundle = join(this.#options.directory, id);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    const specification = containerSpec({ args, hostname: name, cgroup: `/${NAMESPACE}/${id}` });
    writeFileSync(join(bundle, "config.json"), JSON.stringify(specification));
    const stdio = hasStdio ? await makeStdio(bundle, "init", false) : undefined;
    if (stdio !== undefined) this.#stdio.push(stdio);
    const rootfs = readOnlyRoot(this.#options.rootfs);
    await this.shim.call(Task, "Create", { id, bundle, rootfs, ...stdio?.paths }, { timeoutMs });
    return stdio;
  }

  async startTask(name: string, timeoutMs: number): Promise<void> {
    await this.shim.call(Task, "Start", { id: this.idOf(name) }, { timeoutMs });
  }

  /** What takes part in an answer of the shim, beside this process. */
  stopwatch(): Stopwatch {
    return new Stopwatch([this.shimPid, ...this.#others]);
  }

  /** The guest and the host. */
  get #others(): readonly number[] {
    const guest = join(this.#options.directory, "boot", "initrd.img");
    return readProcesses()
      .filter(({ command }) => command.endsWith(guest) || SERVERS["emulated host"].test(command))
      .map(({ pid }) => pid);
  }

  /** Statuses of the exits that were reported of one of the containers' inits. */
  exitsOf(name: string): readonly number[] {
    const id = this.idOf(name);
    return this.#sink.events
      .filter(({ topic }) => topic === "/tasks/exit")
      .map(({ value }) => TaskExit.decode(value))
      .filter((exit) => exit.containerId === id && exit.id === id)
      .map((exit) => exit.exitStatus);
  }

  get eventCount(): number {
    return this.#sink.events.length;
  }

  /** The most memory that the shim has ever had resident, in MiB; undefined when it has ended. */
  get peakMemory(): number | undefined {
    try {
      const status = readFileSync(`/proc/${this.shimPid}/status`, "utf8");
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
    } catch {
      return undefined;
    }
  }

  /** What the guest says to have done. */
  get deeds(): readonly string[] {
    const file = join(this.#options.directory, "boot", "deeds");
    return existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
  }

  /** Stops the sandbox and lets its shim end, as containerd does. */
  async remove(stopSeconds: number): Promise<void> {
    const sandboxId = this.id;
    const timeoutMs = 30_000;
    await this.shim.call(Sandbox, "StopSandbox", { sandboxId, timeoutSecs: stopSeconds }, { timeoutMs });
    await this.shim.call(Sandbox, "ShutdownSandbox", { sandboxId }, { timeoutMs });
    await this.shim.closed;
    await this.shim.delete();
  }

  /** Kills the shim and runs `delete`, as containerd does with one that does not end. */
  async force(): Promise<void> {
    this.#wasForced = true;
    try {
      if (this.shimPid > 0) process.kill(this.shimPid, "SIGKILL");
    } catch {
      // It has ended.
    }
    await deleteShim(this.#identity).catch(() => deleteShim(this.#identity));
  }

  /** Lets go of what the harness itself holds; answers with the mounts that the shim has left in its bundles. */
  async close(): Promise<readonly string[]> {
    for (const stdio of this.#stdio) stdio.close();
    this.log.close();
    await this.#sink.close();
    const { directory } = this.#options;
    const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
    const left = mounts.map(({ point }) => point).filter((point) => point.startsWith(`${directory}/`));
    for (const point of left.toReversed()) await mustRun("umount", ["--lazy", point]);
    rmSync(directory, { recursive: true, force: true });
    // Who kills a shim unmounts what is left of its bundles, as containerd does.
    return this.#wasForced ? [] : left;
  }
}

function put(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
