import type { OciWindowsNetwork, OciWindowsSpec } from "@uvm-shim/hcs-schema";
import type { Limits } from "../plan/limits.ts";
import type { MountPlan } from "../plan/mount-plan.ts";
import type { HostedSystem, WindowsContainerDocument } from "./container-document.ts";
import type { ResolvedContainer } from "./resolved.ts";

/** What of the document is known before anything is acquired. */
export interface DocumentParts {
  readonly spec: OciWindowsSpec;
  readonly limits: Limits;
  readonly mounts: readonly MountPlan[];
  readonly registryValues: readonly object[];
  readonly deviceExtensions: object | undefined;
  readonly namespace: string | undefined;
  readonly isHostProcess: boolean;
  readonly privilegedRoot: string | undefined;
}

const schemaVersion = { Major: 2, Minor: 1 };

/** The document of a container whose parts have their places in the guest. */
export function hostedSystem(parts: DocumentParts, resolved: ResolvedContainer): HostedSystem {
  return { SchemaVersion: schemaVersion, Container: containerOf(parts, resolved) };
}

function containerOf(parts: DocumentParts, resolved: ResolvedContainer): WindowsContainerDocument {
  const { spec, limits, isHostProcess } = parts;
  const { hostname = "" } = spec;
  const network = spec.windows?.network;
  const directories = mappedDirectories(parts.mounts, resolved);
  const pipes = mappedPipes(parts.mounts, resolved);
  const devices = resolved.devices.flat().map((path) => ({ Type: "DeviceInstance", LocationPath: path }) as const);
  return {
    ...(hostname !== "" && { GuestOs: { HostName: hostname } }),
    Storage: storageOf(parts, resolved),
    ...(directories.length > 0 && { MappedDirectories: directories }),
    ...(pipes.length > 0 && { MappedPipes: pipes }),
    ...(limits.memoryInMb !== undefined && { Memory: { SizeInMB: limits.memoryInMb } }),
    Processor: limits.processor,
    ...(network !== undefined && { Networking: networkingOf(network, parts.namespace ?? resolved.networkNamespace) }),
    ...(resolved.credentialGuard !== undefined && { ContainerCredentialGuard: resolved.credentialGuard }),
    RegistryChanges: { AddValues: parts.registryValues },
    ...(devices.length > 0 && { AssignedDevices: devices }),
    ...(parts.deviceExtensions !== undefined && { AdditionalDeviceNamespace: parts.deviceExtensions }),
    ...(isHostProcess && { IsolationType: "HostProcess" }),
  };
}

function storageOf(
  { limits, privilegedRoot }: DocumentParts,
  { root }: ResolvedContainer,
): WindowsContainerDocument["Storage"] {
  return {
    ...(root.layers.length > 0 && { Layers: root.layers }),
    ...(root.path !== "" && { Path: root.path }),
    ...(limits.storage !== undefined && { QoS: limits.storage }),
    ...(privilegedRoot !== undefined && { PrivilegedContainerRootPath: privilegedRoot }),
  };
}

type MappedDirectory = NonNullable<WindowsContainerDocument["MappedDirectories"]>[number];
type MappedPipe = NonNullable<WindowsContainerDocument["MappedPipes"]>[number];

/** Disks last: so the order is the one that a guest has always been given. */
function mappedDirectories(mounts: readonly MountPlan[], resolved: ResolvedContainer): readonly MappedDirectory[] {
  const folders: MappedDirectory[] = [];
  const disks: MappedDirectory[] = [];
  for (const [index, mount] of mounts.entries()) {
    switch (mount.kind) {
      case "share":
        folders.push(directory(inGuest(resolved, index), mount.containerPath, mount.readOnly));
        break;
      case "guest-folder":
        folders.push(directory(mount.guestPath, mount.containerPath, mount.readOnly));
        break;
      case "disk":
        disks.push(directory(inGuest(resolved, index), mount.containerPath, mount.disk.readOnly));
        break;
      case "host-pipe":
      case "guest-pipe":
        break;
    }
  }
  return [...folders, ...disks];
}

function directory(hostPath: string, containerPath: string, readOnly: boolean): MappedDirectory {
  return { HostPath: hostPath, ContainerPath: containerPath, ...(readOnly && { ReadOnly: true }) };
}

function mappedPipes(mounts: readonly MountPlan[], resolved: ResolvedContainer): readonly MappedPipe[] {
  const pipes: MappedPipe[] = [];
  for (const [index, mount] of mounts.entries()) {
    switch (mount.kind) {
      case "host-pipe":
        pipes.push({ ContainerPipeName: mount.pipeName, HostPath: inGuest(resolved, index) });
        break;
      case "guest-pipe":
        pipes.push({ ContainerPipeName: mount.pipeName, HostPath: mount.guestPath });
        break;
      case "share":
      case "guest-folder":
      case "disk":
        break;
    }
  }
  return pipes;
}

function inGuest({ mounts }: ResolvedContainer, index: number): string {
  const path = mounts[index];
  if (path === undefined) throw new Error(`mounts[${index}] has no path in the guest: it was not acquired`);
  return path;
}

function networkingOf(
  network: OciWindowsNetwork,
  namespace: string | undefined,
): NonNullable<WindowsContainerDocument["Networking"]> {
  const { allowUnqualifiedDNSQuery, DNSSearchList = [], networkSharedContainerName } = network;
  return {
    ...(namespace && { Namespace: namespace }),
    ...(allowUnqualifiedDNSQuery && { AllowUnqualifiedDnsQuery: true }),
    ...(DNSSearchList.length > 0 && { DnsSearchList: DNSSearchList.join(",") }),
    ...(networkSharedContainerName && { NetworkSharedContainerName: networkSharedContainerName }),
  };
}
