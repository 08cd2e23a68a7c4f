import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import type { Duplex } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import type { Plan9Share } from "@uvm-shim/hcs-schema";
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
import type { BootTurns } from "./boot-turns.ts";
import type { VmCgroups } from "./cgroups.ts";
import { GuestDisks } from "./disks.ts";
import { findProgram, type GuestImage, programFolders } from "./image.ts";
import { offerNamespace } from "./joined-networks.ts";
import { GuestNics } from "./nics.ts";
import type { SettingsGuard } from "./settings-guard.ts";
import { addShare, removeShare } from "./shares.ts";

export interface ProcessGuestParts {
  readonly image: GuestImage;
  readonly cgroups: VmCgroups;
  readonly boots: Pick<BootTurns, "take">;
  /** Of the guest; by default it is this process's. */
  readonly priority?: number;
  readonly settings: SettingsGuard;
  /** Is told why the guest can use devices of this machine. */
  readonly devices: { tell(error: Error): void };
  readonly bootTimeoutMs: number;
  readonly cgroupTimeoutMs: number;
  readonly report: (message: string) => void;
}

/** Enters the cgroups whose entrances stand before "--", then becomes the program behind it. */
const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';

/** Of V8, in MiB: by default an agent that has served long keeps tens of MiB for what it is going to allocate next. */
const smallYoungGeneration = "--max-semi-space-size=2";
/** A container that sees the processes of the VM would else make a debugger of the agent listen, and speak with it. */
const noDebugger = "--disable-sigusr1";

/** Says that the namespaces are there, and becomes the agent once it is told to. */
const waitAndRun = 'echo in >&3; read -r go <&3 || exit 125; exec "$@"';
const longestWord = 16;

/**
 * Capabilities over what no namespace parts: modules, ports and memory of this machine, its clock, log, audit and power,
 * its security modules, and programs in its kernel. By number, as setpriv need not know the younger names.
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
 * power line: a shell says `in` there when the namespaces are made and waits for `go`, the agent says `up` when it is
 * ready, and ends when the other end is closed, as it is by the kernel when this process dies.
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
    // "close" comes when the console is read to its end, "exit" may come before.
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
    this.#disks.attach(this.#init(), slot, disk);
  }

  async detachDisk(slot: DiskSlot): Promise<void> {
    this.#disks.detach(this.#init(), slot);
  }

  async addShare(share: Plan9Share): Promise<void> {
    addShare(this.#init(), share);
  }

  async removeShare(accessName: string): Promise<void> {
    await removeShare(this.#init(), accessName);
  }

  async assignDevice(vmBusGuid: string, device: AssignableFunction): Promise<void> {
    this.#devices.assign(this.#init(), vmBusGuid, device);
  }

  async unassignDevice(vmBusGuid: string): Promise<void> {
    this.#devices.unassign(this.#init(), vmBusGuid);
  }

  async offerNetwork(id: string, path: string): Promise<void> {
    offerNamespace(this.#init(), id, path);
  }

  addNic(nic: GuestNic): Promise<void> {
    return this.#nics.add(this.#init(), nic);
  }

  disconnectNic(id: string): Promise<void> {
    return this.#nics.disconnect(id);
  }

  removeNic(id: string): Promise<void> {
    return this.#nics.remove(id);
  }

  async resizeMemory(memoryMb: number): Promise<void> {
    this.#init();
    this.#parts.cgroups.limitMemory(memoryMb);
  }

  async limitProcessors(share: ProcessorShare): Promise<void> {
    this.#init();
    this.#parts.cgroups.limitProcessors(this.#specification.processors, share);
  }

  async useProcessors(cpus: string | undefined): Promise<void> {
    this.#init();
    this.#parts.cgroups.useProcessors(cpus);
  }

  usage(): MachineUsage {
    this.#init();
    return this.#parts.cgroups.usage();
  }

  async freeze(isFrozen: boolean): Promise<void> {
    this.#init();
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
    // unshare dies with its child; the other way round the child would die later than "close" tells.
    const init = initOfAny(power.child);
    if (init === undefined) power.child.kill("SIGKILL");
    else killIfAlive(init);
  }

  async #powerOn(): Promise<ChildProcess> {
    const { directory, boot, name, memoryMb, processors, limits, cpus } = this.#specification;
    const agent = boot.InitRdPath;
    if (agent === undefined) {
      throw new HcsFailure(
        "E_INVALIDARG",
        "VirtualMachine.Chipset.LinuxKernelDirect.InitRdPath: a process guest needs its agent there",
      );
    }
    const unshare = utility("unshare");
    const setpriv = utility("setpriv");
    const parameters = {
      vsockDirectory: directory,
      image: await this.#parts.image.directory(),
      hostname: `uvm-${name}`,
      kernelCommandLine: boot.KernelCmdLine ?? "",
      memoryMb,
      processors,
    };
    if (this.#power.kind === "killed") throw endedBeforeBoot();
    this.#parts.cgroups.create({ memoryMb, processors, share: limits, cpus });
    const { unguarded } = this.#parts.cgroups;
    if (unguarded !== undefined) this.#parts.devices.tell(unguarded);
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
        env: { PATH: programFolders.join(":"), UVM_SHIM_GUEST_BOOT: JSON.stringify(parameters) },
        stdio: ["ignore", "pipe", "pipe", "pipe"],
      },
    );
    const [, stdout, stderr, line] = child.stdio;
    for (const stream of [stdout, stderr]) stream?.on("data", (chunk: Buffer) => this.#keepConsole(chunk));
    const power = line as Duplex;
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
        reject(new HcsFailure("HCS_E_TERMINATED_DURING_START", "ended while it booted"));
        return;
      }
      // One of the callbacks of this promise, all of which take the others away at once when one has come.
      const timer = setTimeout(() => {
        settle();
        reject(this.#failure("HCS_E_CONNECTION_TIMEOUT", `the guest is not up after ${bootTimeoutMs} ms`));
      }, bootTimeoutMs);
      let said = "";
      const { child, line } = this.#power;
      const onData = (chunk: Buffer): void => {
        said += chunk.toString("latin1");
        if (said === "in\n" && child.pid !== undefined) {
          try {
            this.#parts.cgroups.releaseLauncher(child.pid);
            this.#lowerPriority(child.pid);
            line.write("go\n");
          } catch (error) {
            settle();
            reject(error);
          }
        } else if (said === "in\nup\n") {
          settle();
          resolve();
        } else if (said.length > longestWord || !"in\nup\n".startsWith(said)) {
          settle();
          const words = JSON.stringify(said.slice(0, longestWord));
          reject(this.#failure("HCS_E_PROTOCOL_ERROR", `the guest said ${words}, expected "up"`));
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

  /** Children have the priority of who starts them, until the guest is given its own: all that it runs has that then. */
  #lowerPriority(launcher: number): void {
    const { priority } = this.#parts;
    if (priority === undefined) return;
    for (const pid of [launcher, this.#init()]) setPriority(pid, priority);
  }

  #init(): number {
    const init = this.#power.kind === "on" ? initOf(this.#power.child) : undefined;
    if (init === undefined) throw new HcsFailure("HCS_E_INVALID_STATE", "the guest has ended");
    return init;
  }

  /** Gives back all that the guest held, whatever fails on the way, and tells of the end. */
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
  throw new HcsFailure("ERROR_FILE_NOT_FOUND", `this machine has no ${name}: install the Debian package util-linux`);
}

function endedBeforeBoot(): HcsFailure {
  return new HcsFailure("HCS_E_TERMINATED_DURING_START", "ended before it booted");
}

/** The only child of unshare: the init of the guest's pid namespace, by its pid on this machine. */
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

/** As above, and undefined where nobody can say. */
function initOfAny(child: ChildProcess): number | undefined {
  try {
    return initOf(child);
  } catch {
    return undefined;
  }
}

export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
