import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type ComputeSystemProperties, hresults } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import type { GuestKind } from "./guest-machine.ts";
import { asFailure, HcsFailure } from "./hcs-failure.ts";
import { LinuxSwitches } from "./networks/linux-switches.ts";
import { NetworkService } from "./networks/network-service.ts";
import type { VirtualSwitches } from "./networks/switches.ts";
import { SystemNetworks } from "./networks/system-networks.ts";
import { PodGroups } from "./process-guest/pod-groups.ts";
import { AssignableDevices } from "./system/assignable-devices.ts";
import { ComputeSystem } from "./system/compute-system.ts";
import { DiskClaims, realPath } from "./system/disk-file.ts";
import { readDocument } from "./system/document.ts";
import { SystemNics } from "./system/nics.ts";
import { type CpuGroups, processorsOf } from "./system/topology.ts";

export interface EmulatedHostOptions {
  /** Where the VMs' directories are made. */
  readonly stateDirectory: string;
  readonly kinds: readonly GuestKind[];
  /** The file that declares what devices can be assigned to VMs; without it there are none. */
  readonly devicesFile?: string;
  /** What networks are made of; bridges of this machine by default. */
  readonly switches?: VirtualSwitches;
  /** The cgroups of pods; this machine's by default. */
  readonly podGroups?: PodGroups;
  /** None by default. */
  readonly cpuGroups?: CpuGroups;
  /** Takes sentences about what could not be removed. */
  readonly report: (message: string) => void;
  /** Makes the ids of VMs; random GUIDs by default. */
  readonly newGuid?: () => string;
  /** How long terminate and shutdown wait until the system has ended, in milliseconds. Default 10 000. */
  readonly endTimeoutMs?: number;
}

/** Longest path of a Unix socket: sun_path without its final zero byte. */
const longestSocketPath = 107;
const shortNameLength = 12;
const longestVsockPath = `/vm/${"x".repeat(shortNameLength)}/hv.vsock_4294967295`;
const longestId = 255;
/**
 * Beside the directory of a VM that lies below its pod's cgroup, for the next host to find it there. Not in that directory,
 * which the guest has as the folder of its sockets: what is in there is a guest's word, or a container's.
 */
const podGroupSuffix = ".pod-group";

/** The compute service of the emulated host: the systems of one machine, by id, and its networks. */
export class EmulatedHost {
  readonly networks: NetworkService;
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
    this.#joined = new SystemNetworks(this.networks);
    const file = join(options.stateDirectory, "pod-groups.json");
    this.#podGroups = options.podGroups ?? new PodGroups({ file, report: options.report });
  }

  /** Ends and removes what a host left in the state directory that was killed. */
  async removeLeftovers(): Promise<void> {
    mkdirSync(this.#vmDirectory, { recursive: true, mode: 0o700 });
    const names = readdirSync(this.#vmDirectory).map((entry) => basename(entry, podGroupSuffix));
    for (const name of new Set(names)) {
      try {
        const podGroup = this.#notedPodGroup(name);
        for (const kind of this.#options.kinds) await kind.removeLeftovers(name, podGroup);
        this.#removeDirectory(name);
      } catch (error) {
        // The directory stays, so that the next host tries again.
        this.#options.report(`cannot remove what VM ${name} left: ${messageOf(error)}`);
      }
    }
    this.#podGroups.recover();
  }

  get isEmpty(): boolean {
    return this.#systems.size === 0 && this.networks.isEmpty;
  }

  create(id: string, document: unknown): ComputeSystem {
    if (id === "" || id.length > longestId) {
      throw new HcsFailure("E_INVALIDARG", `id: expected 1 to ${longestId} characters, got ${id.length}`);
    }
    const plan = readDocument(document);
    if (this.#systems.has(id)) {
      throw new HcsFailure("HCS_E_SYSTEM_ALREADY_EXISTS", `a compute system ${id} exists`);
    }
    const kind = this.#options.kinds.find((candidate) => candidate.recognises(plan.boot));
    if (kind === undefined) {
      const known = this.#options.kinds.map((candidate) => candidate.name).join(", ");
      throw new HcsFailure(
        "ERROR_NOT_SUPPORTED",
        `VirtualMachine.Chipset.LinuxKernelDirect.KernelFilePath: ${plan.boot.KernelFilePath} is an unsupported kernel, this host boots guests of the kinds ${known}`,
      );
    }
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
      vsockBase: join(directory, "hv.vsock"),
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
    if (system === undefined) throw new HcsFailure("HCS_E_SYSTEM_NOT_FOUND", `there is no compute system ${id}`);
    return system;
  }

  enumerate(owner?: string): readonly ComputeSystemProperties[] {
    return [...this.#systems.values()]
      .filter((system) => owner === undefined || system.owner === owner)
      .map((system) => system.properties());
  }

  /** Files are the owner's on Windows and need a grant for each VM; here it is only checked that there is one. */
  grantVmAccess(path: string): void {
    realPath(path, "path");
  }

  /**
   * Makes a namespace of the network service out of a network namespace of this machine, for a system that is to be created
   * with this id, or that has not started. It goes with the system; see {@link abandonNetworks} where none comes.
   */
  async joinNetworkNamespace(system: string, path: string): Promise<string> {
    this.#systems.get(system)?.requireCreated("join a network namespace with");
    return await this.#joined.join(system, path);
  }

  /**
   * Has a system that has not started lie below a cgroup of this machine, its pod's, and the process that serves the pod
   * stand there until the system has ended.
   */
  joinControlGroup(id: string, path: string, pid: number): void {
    const system = this.find(id);
    system.requireCreated("join a cgroup with");
    this.#podGroups.join(id, path, pid);
    // For the host after one that is killed.
    const note = `${dirname(system.vsockBase)}${podGroupSuffix}`;
    writeFileSync(note, this.#podGroups.pathOf(id) ?? "", { mode: 0o600 });
  }

  /** Lets go of what was joined for a system that there is not. */
  abandonNetworks(system: string): void {
    if (!this.#systems.has(system)) this.#joined.release(system);
  }

  /** Of one VM, with the note about its pod's cgroup. */
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

  /** The cgroup that a VM lies below. */
  #notedPodGroup(name: string): string | undefined {
    try {
      return readFileSync(this.#podGroupNote(name), "utf8") || undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Ends every system, and resolves when nothing of them is left, or they would not end in time. */
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
