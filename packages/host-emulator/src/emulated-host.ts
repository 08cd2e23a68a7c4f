import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type ComputeSystemProperties, hresults } from "@uvm-shim/hcs-schema";
import { hostPipePath } from "@uvm-shim/host-protocol";
import { hvsocketBaseName, longestHvsocketName } from "@uvm-shim/host-protocol/guest";
import { messageOf } from "@uvm-shim/lifecycle";
import type { GuestKind } from "./guest-machine.ts";
import { GuestServices } from "./guest-services/guest-services.ts";
import { asFailure, HcsFailure } from "./hcs-failure.ts";
import { LinuxSwitches } from "./networks/linux-switches.ts";
import { NetworkService } from "./networks/network-service.ts";
import type { VirtualSwitches } from "./networks/switches.ts";
import { SystemNetworks } from "./networks/system-networks.ts";
import { PodGroups } from "./process-guest/pod-groups.ts";
import { AssignableDevices } from "./system/assignable-devices.ts";
import { bootFileOf } from "./system/boot.ts";
import { ComputeSystem } from "./system/compute-system.ts";
import { DiskClaims, realPath, vhdxFailure } from "./system/disk-file.ts";
import { readDocument } from "./system/document.ts";
import { SystemNics } from "./system/nics.ts";
import { type CpuGroups, processorsOf } from "./system/topology.ts";

/** What an `EmulatedHost` is made from. */
export interface EmulatedHostOptions {
  /** Folder for the directories of VMs. */
  readonly stateDirectory: string;
  readonly kinds: readonly GuestKind[];
  /** The file that declares assignable devices; by default there are none. */
  readonly devicesFile?: string;
  /** Switches of the networks; by default bridges of this machine. */
  readonly switches?: VirtualSwitches;
  /** Cgroups of pods; by default those of this machine. */
  readonly podGroups?: PodGroups;
  /** By default none. */
  readonly cpuGroups?: CpuGroups;
  /** Reports what could not be removed. */
  readonly report: (message: string) => void;
  /** Generates ids of VMs; by default random GUIDs. */
  readonly newGuid?: () => string;
  /** Milliseconds that terminate and shutdown wait for the end of a system. Default 10 000. */
  readonly endTimeoutMs?: number;
}

/** Longest path of a Unix socket: sun_path without its terminator. */
const longestSocketPath = 107;
const shortNameLength = 12;
const longestVsockPath = `/vm/${"x".repeat(shortNameLength)}/${longestHvsocketName}`;
const longestId = 255;
const devicePrefix = "\\\\.\\";
/**
 * A note about the pod's cgroup of a VM, for the host after a killed one. It lies beside the VM's directory: the guest has
 * that as the folder of its sockets, so guests and containers can write there.
 */
const podGroupSuffix = ".pod-group";

/** The compute service of the emulated host: its systems by id, and its networks. */
export class EmulatedHost {
  readonly networks: NetworkService;
  readonly guestServices: GuestServices;
  readonly #options: EmulatedHostOptions;
  readonly #vmDirectory: string;
  readonly #systems = new Map<string, ComputeSystem>();
  readonly #claims = new DiskClaims();
  readonly #assignable: AssignableDevices;
  readonly #joined: SystemNetworks;
  readonly #podGroups: PodGroups;

  constructor(options: EmulatedHostOptions) {
    const longest = longestSocketPath - longestVsockPath.length;
    if (Buffer.byteLength(options.stateDirectory) > longest) {
      throw new RangeError(
        `state directory ${options.stateDirectory}: expected a path of at most ${longest} bytes, so that the hvsockets below it fit into a socket address`,
      );
    }
    this.#options = options;
    this.#assignable = new AssignableDevices(options.devicesFile);
    this.#vmDirectory = join(options.stateDirectory, "vm");
    this.networks = new NetworkService({
      switches: options.switches ?? new LinuxSwitches(),
      ...(options.newGuid === undefined ? {} : { newGuid: options.newGuid }),
    });
    this.guestServices = new GuestServices(options.newGuid === undefined ? {} : { newGuid: options.newGuid });
    this.#joined = new SystemNetworks(this.networks);
    const file = join(options.stateDirectory, "pod-groups.json");
    this.#podGroups = options.podGroups ?? new PodGroups({ file, report: options.report });
  }

  /** Ends and removes what a killed host left in the state directory. */
  async removeLeftovers(): Promise<void> {
    mkdirSync(this.#vmDirectory, { recursive: true, mode: 0o700 });
    const names = readdirSync(this.#vmDirectory).map((entry) => basename(entry, podGroupSuffix));
    for (const name of new Set(names)) {
      try {
        const podGroup = this.#notedPodGroup(name);
        // A machine that was being moved is in both places.
        const places = podGroup === undefined ? [undefined] : [podGroup, undefined];
        for (const place of places) {
          for (const kind of this.#options.kinds) await kind.removeLeftovers(name, place);
        }
        this.#removeDirectory(name);
      } catch (error) {
        // The directory is kept, so that the next host tries again.
        this.#options.report(`cannot remove leftovers of VM ${name}: ${messageOf(error)}`);
      }
    }
    this.#podGroups.recover();
  }

  #pipeSocketOf(pipe: string): string {
    const socket = hostPipePath(this.#options.stateDirectory, pipe);
    if (socket !== undefined) return socket;
    const field = "VirtualMachine.Devices.ComPorts.0.NamedPipe";
    throw new HcsFailure("E_INVALIDARG", `${field}: expected a pipe's name without slashes, got ${pipe}`);
  }

  get isEmpty(): boolean {
    return this.#systems.size === 0 && this.networks.isEmpty && this.guestServices.isEmpty;
  }

  create(id: string, document: unknown): ComputeSystem {
    if (id === "" || id.length > longestId) {
      throw new HcsFailure("E_INVALIDARG", `id: expected 1 to ${longestId} characters, got ${id.length}`);
    }
    const plan = readDocument(document);
    if (this.#systems.has(id)) {
      throw new HcsFailure("HCS_E_SYSTEM_ALREADY_EXISTS", `compute system ${id} already exists`);
    }
    const kind = this.#options.kinds.find((candidate) => candidate.recognises(plan.boot));
    if (kind === undefined) {
      const known = this.#options.kinds.map((candidate) => candidate.name).join(", ");
      throw new HcsFailure(
        "ERROR_NOT_SUPPORTED",
        `${bootFileOf(plan.boot)}: expected one for a guest of kind ${known}`,
      );
    }
    const unread = plan.disks.find(({ disk }) => disk.isVhdx === true && !kind.readsVhdx);
    if (unread !== undefined) {
      const { controller, lun } = unread.slot;
      throw vhdxFailure(unread.disk, `VirtualMachine.Devices.Scsi.${controller}.Attachments.${lun}.Path`);
    }
    const { serialPipe } = plan;
    const serialSocket = serialPipe === undefined ? undefined : this.#pipeSocketOf(serialPipe);
    const cpuGroups = this.#options.cpuGroups ?? new Map<string, string>();
    const groupField = "VirtualMachine.ComputeTopology.Processor.CpuGroup.Id";
    const cpus = plan.cpuGroupId === undefined ? undefined : processorsOf(cpuGroups, plan.cpuGroupId, groupField);
    const runtimeId = (this.#options.newGuid ?? randomUUID)();
    const name = runtimeId.replaceAll("-", "").slice(0, shortNameLength);
    const directory = join(this.#vmDirectory, name);
    mkdirSync(this.#vmDirectory, { recursive: true, mode: 0o700 });
    mkdirSync(directory, { mode: 0o700 });
    const system = new ComputeSystem({
      id,
      runtimeId,
      vsockBase: join(directory, hvsocketBaseName),
      plan,
      claims: this.#claims,
      assignable: this.#assignable,
      nics: new SystemNics(this.networks, this.#options.report),
      joinedNetworks: () => this.#joined.offered(id),
      cpuGroups,
      endTimeoutMs: this.#options.endTimeoutMs ?? 10_000,
      createMachine: () =>
        kind.create({
          name,
          directory,
          boot: plan.boot,
          memoryMb: plan.memoryMb,
          processors: plan.processors,
          limits: plan.limits,
          cpus,
          serialSocket,
          podGroup: this.#podGroups.pathOf(id),
        }),
      stopped: () => {
        this.#joined.release(id);
        this.#podGroups.leave(id);
        this.#removeDirectory(name);
      },
      forget: () => this.#systems.delete(id),
    });
    this.#systems.set(id, system);
    return system;
  }

  find(id: string): ComputeSystem {
    const system = this.#systems.get(id);
    if (system === undefined) throw new HcsFailure("HCS_E_SYSTEM_NOT_FOUND", `compute system ${id} does not exist`);
    return system;
  }

  enumerate(owner?: string): readonly ComputeSystemProperties[] {
    return [...this.#systems.values()]
      .filter((system) => owner === undefined || system.owner === owner)
      .map((system) => system.properties());
  }

  /** On Windows each VM needs a grant for a file; here only its existence is checked, and not that of a device. */
  grantVmAccess(path: string): void {
    if (path.startsWith(devicePrefix)) return;
    realPath(path, "path");
  }

  /**
   * Represents a network namespace of this machine as an HCN namespace, for a system that is still to be created, or that
   * has none yet.
   * The HCN namespace ends with the system; see {@link abandonNetworks} for systems that are never created.
   */
  async joinNetworkNamespace(system: string, path: string): Promise<string> {
    const existing = this.#systems.get(system);
    existing?.requirePlaceable("join a network namespace with");
    const id = await this.#joined.join(system, path);
    const offered = this.#joined.offered(system).get(id);
    if (offered !== undefined) await existing?.offerNetwork(id, offered);
    return id;
  }

  /**
   * Places a system, and the process that serves its pod alone, below the pod's cgroup until the system ends. One that
   * runs must have no containers yet.
   */
  async joinControlGroup(id: string, path: string, pid?: number): Promise<void> {
    const system = this.find(id);
    system.requirePlaceable("join a cgroup with");
    this.#podGroups.join(id, path, pid);
    const group = this.#podGroups.pathOf(id) ?? "";
    // For the next host, if this one is killed.
    writeFileSync(`${dirname(system.vsockBase)}${podGroupSuffix}`, group, { mode: 0o600 });
    await system.enterPodGroup(group);
  }

  /** Releases namespaces that were joined for a system that does not exist. */
  abandonNetworks(system: string): void {
    if (!this.#systems.has(system)) this.#joined.release(system);
  }

  /** Removes the directory of a VM and the note about its pod's cgroup. */
  #removeDirectory(name: string): void {
    if (this.#remove(join(this.#vmDirectory, name))) this.#remove(this.#podGroupNote(name));
  }

  #remove(path: string): boolean {
    try {
      rmSync(path, { recursive: true, force: true });
      return true;
    } catch (error) {
      this.#options.report(`cannot remove ${path}: ${messageOf(error)}`);
      return false;
    }
  }

  #podGroupNote(name: string): string {
    return join(this.#vmDirectory, `${name}${podGroupSuffix}`);
  }

  /** The cgroup of the pod of a VM. */
  #notedPodGroup(name: string): string | undefined {
    try {
      return readFileSync(this.#podGroupNote(name), "utf8") || undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Ends all systems; resolves when nothing of them is left or the time is over. */
  async close(): Promise<void> {
    const systems = [...this.#systems.values()];
    const outcomes = systems.map((system) => system.terminate());
    for (const [index, outcome] of (await Promise.allSettled(outcomes)).entries()) {
      if (
        outcome.status === "fulfilled" ||
        asFailure(outcome.reason).hresult === hresults.HCS_E_SYSTEM_ALREADY_STOPPED
      ) {
        continue;
      }
      this.#options.report(`system ${systems[index]?.id}: ${messageOf(outcome.reason)}`);
    }
    this.#joined.close();
    this.networks.close();
    for (const kind of this.#options.kinds) kind.close();
    this.#remove(this.#vmDirectory);
  }
}
