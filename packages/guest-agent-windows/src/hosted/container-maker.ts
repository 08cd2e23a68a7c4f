/** Makes a container out of its document and of what the guest has been given for it. */
import { closeSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { moveMount, openTree, setMountReadOnly, withMountNamespace } from "@uvm-shim/linux-calls";
import { type ContainerNetwork, WindowsContainer } from "../container/container.ts";
import { serveMappedPipe } from "../container/mapped-pipe.ts";
import type { GuestNetworks } from "../network/namespaces.ts";
import { findBelow, folderBelow, hostPipeOf, readGuestPath, sourceOf } from "../storage/windows-paths.ts";
import { type ContainerDocument, hostProcessRoot, isHostProcess } from "./document.ts";
import type { ContainerMaker } from "./hosted-system.ts";
import { ContainerGroups, type ContainerLimits } from "./limits.ts";
import { removeFolder, type WindowsMachine, windowsFolders } from "./machine.ts";
import { registryText } from "./registry.ts";

const mebibyte = 1024 * 1024;
const longestHostName = 15;
const user = "ContainerUser";
const hostProcessUser = "SYSTEM";

const pipeField = "MappedPipes.HostPath";
type MappedPipe = NonNullable<ContainerDocument["MappedPipes"]>[number];

export interface MappedDirectory {
  readonly HostPath?: string;
  readonly ContainerPath?: string;
  readonly ReadOnly?: boolean;
}

export interface ContainerSurroundings {
  readonly machine: WindowsMachine;
  readonly networks: GuestNetworks;
  readonly memoryMb: number;
  readonly processors: number;
  /** The file of the guest's time zone. */
  readonly localTime: Buffer;
  /** Where the layers of its document are combined. */
  readonly root: string;
  /** The major and minor number of the disk that they are combined over, joined by a colon. */
  readonly device: string;
}

export class DocumentContainer implements ContainerMaker {
  readonly #id: string;
  readonly #document: ContainerDocument;
  readonly #surroundings: ContainerSurroundings;
  readonly #registry: string;
  #groups: ContainerGroups | undefined;
  #folder: string | undefined;

  /** Throws a GuestFault for a document that cannot be met. */
  constructor(id: string, document: ContainerDocument, surroundings: ContainerSurroundings) {
    this.#id = id;
    this.#document = document;
    this.#surroundings = surroundings;
    this.#registry = registryText(document.RegistryChanges);
    for (const mapped of document.MappedDirectories ?? []) this.#sourceOf(mapped, "MappedDirectories");
    for (const mapped of document.MappedPipes ?? []) checkPipe(mapped);
    this.#network();
  }

  get groups(): ContainerGroups | undefined {
    return this.#groups;
  }

  async start(): Promise<WindowsContainer> {
    const { device, machine, processors, root } = this.#surroundings;
    const document = this.#document;
    this.#groups = ContainerGroups.make(this.#id, processors);
    this.#groups.limit({ ...limitsOf(document), ...storageOf(document, device) });
    const common = machine.commonParts();
    this.#folder = common.folder;
    const isHost = isHostProcess(document);
    const container = await WindowsContainer.start({
      ...common,
      drive: { kind: "folder", folder: isHost ? windowsFolders.drive : root },
      hostName: (document.GuestOs?.HostName || this.#id).slice(0, longestHostName),
      userName: isHost ? hostProcessUser : user,
      network: this.#network(),
      files: this.#files(common.folder),
      entrances: this.#groups.entrances,
    });
    try {
      if (isHost) attach(container, root, hostProcessRoot(document), false);
      for (const mapped of document.MappedDirectories ?? []) this.map(container, mapped, "MappedDirectories");
      for (const { ContainerPipeName = "", HostPath = "" } of document.MappedPipes ?? []) {
        await serveMappedPipe(container, ContainerPipeName, hostPipeOf(HostPath, pipeField));
      }
      return container;
    } catch (error) {
      await container.end();
      throw error;
    }
  }

  /** Shows a file or folder of the guest in the container. */
  map(container: WindowsContainer, mapped: MappedDirectory, field: string): void {
    attach(container, this.#sourceOf(mapped, field), mapped.ContainerPath ?? "", mapped.ReadOnly ?? false);
  }

  limit(limits: ContainerLimits): void {
    this.#groups?.limit(limits);
    if (limits.memory !== undefined && this.#folder !== undefined) this.#writeMemory(this.#folder, limits.memory);
  }

  async remove(): Promise<void> {
    await this.#groups?.remove();
    if (this.#folder !== undefined) removeFolder(this.#folder);
  }

  #sourceOf({ HostPath = "" }: MappedDirectory, field: string): string {
    return sourceOf(HostPath, windowsFolders.drive, `${field}.HostPath`).path;
  }

  #network(): ContainerNetwork {
    const id = this.#document.Networking?.Namespace ?? "";
    if (isHostProcess(this.#document)) return { kind: "shared" };
    if (id === "") return { kind: "own" };
    const path = this.#surroundings.networks.pathOf(id);
    if (path !== undefined) return { kind: "joined", path };
    throw new GuestFault("ERROR_NOT_FOUND", `Container.Networking.Namespace: network namespace ${id} does not exist`);
  }

  #files(folder: string): string {
    const files = join(folder, "files");
    mkdirSync(files);
    const { localTime, memoryMb, networks } = this.#surroundings;
    writeFileSync(join(files, "localtime"), localTime);
    writeFileSync(join(files, "registry"), this.#registry);
    writeFileSync(join(files, "resolv.conf"), networks.resolverOf(this.#document.Networking?.Namespace ?? ""));
    this.#writeMemory(folder, limitsOf(this.#document).memory ?? memoryMb * mebibyte);
    return files;
  }

  /** What a program sees as the machine's memory is what it may use. */
  #writeMemory(folder: string, bytes: number): void {
    writeFileSync(
      join(folder, "files", "meminfo"),
      memoryInformation(Math.min(bytes, this.#surroundings.memoryMb * mebibyte)),
    );
  }
}

function checkPipe({ ContainerPipeName = "", HostPath = "" }: MappedPipe): void {
  if (ContainerPipeName === "") throw new GuestFault("E_INVALIDARG", "MappedPipes.ContainerPipeName: expected a name");
  if (/^\\\\[.?]\\pipe\\/i.test(HostPath)) {
    const why = "programs of the virtual machine and of its containers have no pipes in common under Wine";
    throw new GuestFault("ERROR_NOT_SUPPORTED", `${pipeField}: ${HostPath} is a pipe of the virtual machine: ${why}`);
  }
  hostPipeOf(HostPath, pipeField);
}

/** The form of /proc/meminfo. */
export function memoryInformation(bytes: number): string {
  const kibibytes = Math.floor(bytes / 1024);
  const rows = [
    ["MemTotal", kibibytes],
    ["MemFree", kibibytes],
    ["MemAvailable", kibibytes],
    ["Buffers", 0],
    ["Cached", 0],
    ["SwapTotal", 0],
    ["SwapFree", 0],
  ] as const;
  return rows.map(([name, value]) => `${name}:${String(value).padStart(16)} kB\n`).join("");
}

function limitsOf({ Memory, Processor }: ContainerDocument): ContainerLimits {
  const { SizeInMB } = Memory ?? {};
  const { Count, Maximum, Weight } = Processor ?? {};
  return {
    ...(SizeInMB !== undefined && SizeInMB > 0 && { memory: SizeInMB * mebibyte }),
    ...(Count !== undefined && Count > 0 && { count: Count }),
    ...(Maximum !== undefined && Maximum > 0 && { maximum: Maximum }),
    ...(Weight !== undefined && Weight > 0 && { weight: Weight }),
  };
}

function storageOf({ Storage }: ContainerDocument, device: string): ContainerLimits {
  const { BandwidthMaximum: bytes = 0, IopsMaximum: operations = 0 } = Storage?.QoS ?? {};
  return bytes === 0 && operations === 0 ? {} : { storage: { device, bytes, operations } };
}

/** Attaches a copy of what is at a path of the agent to a place on drive C: of a container, which has it at once. */
function attach(container: WindowsContainer, source: string, place: string, isReadOnly: boolean): void {
  const field = "ContainerPath";
  const target = readGuestPath(place, field);
  if (target.kind !== "drive" || target.names.length === 0) {
    throw new GuestFault("E_INVALIDARG", `${field}: expected a path on drive C:, got ${place}`);
  }
  const isFolder = findBelow(source, [])?.stats.isDirectory() === true;
  const tree = openTree(source, { recursive: true });
  try {
    if (isReadOnly) setMountReadOnly(tree, true);
    withMountNamespace(container.pid, () => {
      const parent = folderBelow(container.drive, isFolder ? target.names : target.names.slice(0, -1), field);
      moveMount(tree, isFolder ? parent : fileIn(parent, target.names.at(-1) ?? ""));
    });
  } finally {
    closeSync(tree);
  }
}

function fileIn(folder: string, name: string): string {
  const found = findBelow(folder, [name]);
  if (found?.stats.isFile() === true) return found.path;
  if (found !== undefined) throw new GuestFault("ERROR_ALREADY_EXISTS", `ContainerPath: ${name} is no file`);
  const path = join(folder, name);
  writeFileSync(path, "", { flag: "wx" });
  return path;
}
