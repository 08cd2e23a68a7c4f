import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { Duplex } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import type { Plan9Share } from "@uvm-shim/hcs-schema";
import { bootEnvironment, powerDescriptor, powerWords } from "@uvm-shim/host-protocol/guest";
import { messageOf } from "@uvm-shim/lifecycle";
import type {
  DiskSlot,
  GuestEnd,
  GuestMachine,
  GuestMachineSpecification,
  GuestNic,
  MachineUsage,
  ProcessorShare,
} from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { AssignableFunction } from "../system/assignable-devices.ts";
import type { DiskFile } from "../system/disk-file.ts";
import { GuestAssignedDevices } from "./assigned-devices.ts";
import type { BootTurns } from "./boot-queue.ts";
import type { VmCgroups } from "./cgroups.ts";
import { GuestDisks } from "./disks.ts";
import { findProgram, programFolders } from "./guest-image.ts";
import type { GuestProgram } from "./guest-program.ts";
import { offerNamespace } from "./joined-networks.ts";
import { killIfAlive } from "./leftovers.ts";
import { GuestNics } from "./nics.ts";
import { regroup } from "./regroup.ts";
import type { SettingsGuard } from "./settings-guard.ts";
import { addShare, removeShare } from "./shares.ts";

/** What a process guest needs of its kind. */
export interface ProcessGuestParts {
  /** Finds the program that becomes the guest's init; called at the boot. Rejects with an HcsFailure. */
  program(): Promise<GuestProgram>;
  readonly cgroups: VmCgroups;
  readonly boots: Pick<BootTurns, "take">;
  /** Nice value of the guest; by default that of this process. */
  readonly priority?: number;
  readonly settings: SettingsGuard;
  /** Reports why devices of this machine are not protected from the guest. */
  readonly devices: { report(error: Error): void };
  readonly bootTimeoutMs: number;
  readonly cgroupTimeoutMs: number;
  readonly report: (message: string) => void;
}

/** Enters the cgroups of the files before "--", then runs the program after it. */
const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';

/** Young generation of V8 in MiB. By default a long-running agent keeps tens of MiB for future allocations. */
const smallYoungGeneration = "--max-semi-space-size=2";
/** Otherwise a container that sees the processes of the VM could start a debugger in the agent and use it. */
const noDebugger = "--disable-sigusr1";

/** Reports that the namespaces exist, and runs the agent after `go`. */
const waitAndRun = `echo ${powerWords.inside} >&${powerDescriptor}; read -r go <&${powerDescriptor} || exit 125; exec "$@"`;
const isInside = `${powerWords.inside}\n`;
const isUp = `${isInside}${powerWords.up}\n`;
const longestWord = 16;

/**
 * Capabilities over resources that namespaces do not isolate: modules, ports and memory of this machine, its clock, log,
 * audit and power, its security modules, and programs in its kernel. By number, as setpriv may not know newer names.
 */
const withheldCapabilities = [16, 17, 25, 30, 32, 33, 34, 35, 36, 37, 38, 39].map((number) => `-cap_${number}`).join();

const freezeTimeoutMs = 2_000;
const consoleTailBytes = 4_000;

type Power =
  | { readonly kind: "off" }
  | { readonly kind: "on"; readonly child: ChildProcess; readonly line: Duplex }
  | { readonly kind: "killed" };

/**
 * One guest: the agent as init of its own pid, mount, uts, ipc, network and cgroup namespaces. File descriptor 3 is its
 * power line: a shell writes `in` when the namespaces exist and waits for `go`; the agent writes `up` when it is ready.
 * The agent ends when the other end is closed, which the kernel does when this process dies.
 */
export class ProcessGuestMachine implements GuestMachine {
  readonly #specification: GuestMachineSpecification;
  readonly #parts: ProcessGuestParts;
  readonly #disks: GuestDisks;
  readonly #devices: GuestAssignedDevices;
  readonly #nics = new GuestNics();
  readonly #killed = new AbortController();
  readonly #ended = Promise.withResolvers<GuestEnd>();
  #power: Power = { kind: "off" };
  #console = "";

  constructor(specification: GuestMachineSpecification, parts: ProcessGuestParts) {
    this.#specification = specification;
    this.#parts = parts;
    this.#disks = new GuestDisks(parts.cgroups, parts.report);
    this.#devices = new GuestAssignedDevices(parts.cgroups);
  }

  get ended(): Promise<GuestEnd> {
    return this.#ended.promise;
  }

  async boot(): Promise<void> {
    let child: ChildProcess;
    let endTurn = (): void => {};
    try {
      endTurn = await this.#parts.boots.take(this.#killed.signal);
      child = await this.#powerOn();
    } catch (error) {
      endTurn();
      await this.#release({ orderly: false, reason: "the guest could not be started" });
      throw error;
    }
    const gone = Promise.withResolvers<never>();
    gone.promise.catch(() => {});
    // "close" follows the end of the console output; "exit" may precede it.
    child.once("close", (code, signal) => {
      const reason = `the guest's agent ended with ${signal ?? `exit code ${code}`}`;
      void this.#release({ orderly: code === 0, reason });
      gone.reject(this.#failure("HCS_E_UNEXPECTED_EXIT", `${reason} before it was up`));
    });
    try {
      await Promise.race([this.#up(), gone.promise]);
      const { processors, limits: share } = this.#specification;
      this.#parts.cgroups.endBoot({ processors, share });
    } catch (error) {
      this.kill();
      throw error;
    } finally {
      endTurn();
    }
  }

  async attachDisk(slot: DiskSlot, disk: DiskFile): Promise<void> {
    this.#disks.attach(this.init(), slot, disk);
  }

  async detachDisk(slot: DiskSlot): Promise<void> {
    this.#disks.detach(this.init(), slot);
  }

  async addShare(share: Plan9Share): Promise<void> {
    addShare(this.init(), share);
  }

  async removeShare(accessName: string): Promise<void> {
    await removeShare(this.init(), accessName);
  }

  async assignDevice(vmBusGuid: string, device: AssignableFunction): Promise<void> {
    this.#devices.assign(this.init(), vmBusGuid, device);
  }

  async unassignDevice(vmBusGuid: string): Promise<void> {
    this.#devices.unassign(this.init(), vmBusGuid);
  }

  async offerNetwork(id: string, path: string): Promise<void> {
    offerNamespace(this.init(), id, path);
  }

  addNic(nic: GuestNic): Promise<void> {
    return this.#nics.add(this.init(), nic);
  }

  disconnectNic(id: string): Promise<void> {
    return this.#nics.disconnect(id);
  }

  removeNic(id: string): Promise<void> {
    return this.#nics.remove(id);
  }

  async resizeMemory(memoryMb: number): Promise<void> {
    this.init();
    this.#parts.cgroups.limitMemory(memoryMb);
  }

  async enterPodGroup(path: string): Promise<void> {
    this.init();
    if (this.#power.kind !== "on") return;
    const { cgroups, settings, bootTimeoutMs, cgroupTimeoutMs } = this.#parts;
    cgroups.enterPod(path);
    settings.protect(cgroups.unified);
    await regroup(this.#power.line, bootTimeoutMs);
    await cgroups.removeLeft(cgroupTimeoutMs);
  }

  async limitProcessors(share: ProcessorShare): Promise<void> {
    this.init();
    this.#parts.cgroups.limitProcessors(this.#specification.processors, share);
  }

  async useProcessors(cpus: string | undefined): Promise<void> {
    this.init();
    this.#parts.cgroups.useProcessors(cpus);
  }

  usage(): MachineUsage {
    this.init();
    return this.#parts.cgroups.usage();
  }

  async freeze(isFrozen: boolean): Promise<void> {
    this.init();
    await this.#parts.cgroups.freeze(isFrozen, freezeTimeoutMs);
  }

  shutdown(): void {
    if (this.#power.kind === "on") this.#power.line.end();
  }

  kill(): void {
    const power = this.#power;
    if (power.kind === "killed") return;
    this.#power = { kind: "killed" };
    this.#killed.abort(endedBeforeBoot());
    if (power.kind === "off") return;
    const { cgroups, cgroupTimeoutMs } = this.#parts;
    cgroups.thawSoon(cgroupTimeoutMs).catch((error: unknown) => this.#reportTrouble(error));
    // unshare ends with its child. If unshare were killed first, the child could outlive the "close" event.
    const init = initOfAny(power.child);
    if (init === undefined) power.child.kill("SIGKILL");
    else killIfAlive(init);
  }

  async #powerOn(): Promise<ChildProcess> {
    const { directory, name, memoryMb, processors, limits, cpus } = this.#specification;
    const unshare = utility("unshare");
    const setpriv = utility("setpriv");
    const { agent, ...program } = await this.#parts.program();
    const parameters = { vsockDirectory: directory, hostname: `uvm-${name}`, memoryMb, processors, ...program };
    if (this.#power.kind === "killed") throw endedBeforeBoot();
    this.#parts.cgroups.create({ memoryMb, processors, share: limits, cpus });
    const { unguarded } = this.#parts.cgroups;
    if (unguarded !== undefined) this.#parts.devices.report(unguarded);
    this.#parts.settings.protect(this.#parts.cgroups.unified);
    const namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
    const inner = [
      setpriv,
      `--bounding-set=${withheldCapabilities}`,
      "/bin/sh",
      "-c",
      waitAndRun,
      "sh",
      process.execPath,
      smallYoungGeneration,
      noDebugger,
      agent,
    ];
    const command = [unshare, "--fork", "--kill-child=KILL", ...namespaces, "--", ...inner];
    const child = await startProgram(
      "/bin/sh",
      ["-c", enterAndRun, "sh", ...this.#parts.cgroups.entrances, "--", ...command],
      {
        cwd: "/",
        env: { PATH: programFolders.join(":"), ...bootEnvironment(parameters) },
        stdio: ["ignore", "pipe", "pipe", "pipe"],
      },
    );
    const { stdout, stderr } = child;
    for (const stream of [stdout, stderr]) stream?.on("data", (chunk: Buffer) => this.#keepConsole(chunk));
    const power = child.stdio[powerDescriptor] as Duplex;
    power.on("error", () => {});
    if (this.#wasKilled()) child.kill("SIGKILL");
    else this.#power = { kind: "on", child, line: power };
    return child;
  }

  #wasKilled(): boolean {
    return this.#power.kind === "killed";
  }

  #up(): Promise<void> {
    const { bootTimeoutMs } = this.#parts;
    return new Promise((resolve, reject) => {
      if (this.#power.kind !== "on") {
        reject(new HcsFailure("HCS_E_TERMINATED_DURING_START", "the system was ended during its boot"));
        return;
      }
      // One of the callbacks of this promise, all of which take the others away at once when one has come.
      const timer = setTimeout(() => {
        settle();
        reject(this.#failure("HCS_E_CONNECTION_TIMEOUT", `the guest did not come up within ${bootTimeoutMs} ms`));
      }, bootTimeoutMs);
      let said = "";
      const { child, line } = this.#power;
      const onData = (chunk: Buffer): void => {
        said += chunk.toString("latin1");
        if (said === isInside && child.pid !== undefined) {
          try {
            this.#parts.cgroups.releaseLauncher(child.pid);
            this.#lowerPriority(child.pid);
            line.write(`${powerWords.go}\n`);
          } catch (error) {
            settle();
            reject(error);
          }
        } else if (said === isUp) {
          settle();
          resolve();
        } else if (said.length > longestWord || !isUp.startsWith(said)) {
          settle();
          const words = JSON.stringify(said.slice(0, longestWord));
          reject(this.#failure("HCS_E_PROTOCOL_ERROR", `the guest sent ${words}: expected "${powerWords.up}"`));
        }
      };
      const settle = (): void => {
        clearTimeout(timer);
        line.off("data", onData).resume();
      };
      line.on("data", onData);
      line.on("close", settle);
    });
  }

  /** Children inherit the priority of this process, so the guest gets its own before it starts any. */
  #lowerPriority(launcher: number): void {
    const { priority } = this.#parts;
    if (priority === undefined) return;
    for (const pid of [launcher, this.init()]) setPriority(pid, priority);
  }

  /** Pid of the guest's init. Throws HCS_E_INVALID_STATE. */
  protected init(): number {
    const init = this.#power.kind === "on" ? initOf(this.#power.child) : undefined;
    if (init === undefined) throw new HcsFailure("HCS_E_INVALID_STATE", "the guest has ended");
    return init;
  }

  /** Releases all resources of the guest, despite failures, and reports its end. */
  async #release(end: Omit<GuestEnd, "console">): Promise<void> {
    this.#power = { kind: "killed" };
    const releases = [
      () => this.#nics.release(),
      () => this.#disks.release(),
      () => this.#parts.cgroups.remove(this.#parts.cgroupTimeoutMs),
    ];
    for (const release of releases) await release().catch((error: unknown) => this.#reportTrouble(error));
    this.#ended.resolve({ ...end, console: this.#console });
  }

  #reportTrouble(error: unknown): void {
    this.#parts.report(`VM ${this.#specification.name}: ${messageOf(error)}`);
  }

  #keepConsole(chunk: Buffer): void {
    this.#console = `${this.#console}${chunk.toString()}`.slice(-consoleTailBytes);
  }

  #failure(result: "HCS_E_UNEXPECTED_EXIT" | "HCS_E_CONNECTION_TIMEOUT" | "HCS_E_PROTOCOL_ERROR", message: string) {
    const text = this.#console.trim();
    return new HcsFailure(result, message, text === "" ? {} : { events: [`console: ${text}`] });
  }
}

function utility(name: string): string {
  const path = findProgram(name);
  if (path !== undefined) return path;
  throw new HcsFailure("ERROR_FILE_NOT_FOUND", `program ${name} not found: install the Debian package util-linux`);
}

function endedBeforeBoot(): HcsFailure {
  return new HcsFailure("HCS_E_TERMINATED_DURING_START", "the system was ended before its boot");
}

/** Pid on this machine of the guest's init, the only child of unshare. */
function initOf(child: ChildProcess): number | undefined {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return undefined;
  try {
    const pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ")[0]);
    return pid > 0 ? pid : undefined;
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** Like `initOf`, but undefined if the pid cannot be read. */
function initOfAny(child: ChildProcess): number | undefined {
  try {
    return initOf(child);
  } catch {
    return undefined;
  }
}
