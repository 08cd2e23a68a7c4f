import { FakeReservations } from "@uvm-shim/container-common/testing";
import type { CredentialGuardInstance, HvSocketServiceConfig } from "@uvm-shim/hcs-schema";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { CimDisks } from "../block-cims.ts";
import type { WindowsPlanFiles } from "../plan/options.ts";
import type {
  CimConfig,
  ContainerCims,
  ContainerDevices,
  ContainerDisks,
  ContainerHostServices,
  ContainerPipes,
  ContainerShares,
  ContainerVm,
  DeviceConfig,
  DiskConfig,
  DiskMountConfig,
  ShareConfig,
} from "../types.ts";

/** A service by which VMs reach the credential guards of the host. */
const guardService = "0dd3fa27-0000-4000-8000-00000000ccc6";

/** Files of the host that a test names. */
export class FakeFiles implements WindowsPlanFiles {
  readonly kinds = new Map<string, "file" | "directory">();
  readonly texts = new Map<string, string>();

  async kind(path: string): Promise<"file" | "directory" | undefined> {
    return this.kinds.get(path);
  }

  async readText(path: string): Promise<string> {
    const text = this.texts.get(path);
    if (text === undefined) throw scriptedError("NotFound", `no file ${path}`);
    return text;
  }
}

/** A VM that remembers to what it has access. */
export class FakeVm implements ContainerVm {
  readonly runtimeId = "5a8d8f3c-0000-4000-8000-000000000001";
  readonly granted: string[] = [];
  readonly services = new Map<string, HvSocketServiceConfig>();
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  grantVmAccess(path: string, signal?: AbortSignal): Promise<void> {
    return this.#script.run("grantVmAccess", path, signal, () => void this.granted.push(path));
  }

  updateHvSocketService(service: string, config: HvSocketServiceConfig, signal?: AbortSignal): Promise<void> {
    return this.#script.run("updateHvSocketService", service, signal, () => void this.services.set(service, config));
  }
}

/** Windows' own services for containers, whose objects outlive VMs. */
export class FakeHostServices implements ContainerHostServices {
  /** Specifications by the id of the container. */
  readonly guards = new Map<string, string>();
  /** VMs by the SystemGUID of a container. */
  readonly redirections = new Map<string, string>();
  readonly scratchFolders: string[] = [];
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  layerId(name: string, signal?: AbortSignal): Promise<string> {
    return this.#script.run("layerId", name, signal, () => layerGuid(name));
  }

  createScratchLayer(folder: string, _parents: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.#script.run("createScratchLayer", folder, signal, () => {
      if (this.scratchFolders.includes(folder)) throw scriptedError("AlreadyExists", `${folder} has a scratch disk`);
      this.scratchFolders.push(folder);
    });
  }

  addCredentialGuard(id: string, specification: string, signal?: AbortSignal): Promise<CredentialGuardInstance> {
    return this.#script.run("addCredentialGuard", id, signal, () => {
      if (this.guards.has(id)) throw scriptedError("AlreadyExists", `${id} has a guard`);
      this.guards.set(id, specification);
      return {
        Id: id,
        CredentialGuard: { Cookie: "Y29va2ll", RpcEndpoint: "endpoint", Transport: "HvSocket" },
        HvSocketConfig: { ServiceId: guardService, ServiceConfig: { AllowWildcardBinds: true } },
      };
    });
  }

  removeCredentialGuard(id: string, signal?: AbortSignal): Promise<void> {
    return this.#script.run("removeCredentialGuard", id, signal, () => {
      if (!this.guards.delete(id)) throw scriptedError("NotFound", `${id} has no guard`);
    });
  }

  async redirectHvsockets(systemId: string, vmId: string, signal?: AbortSignal): Promise<{ close(): Promise<void> }> {
    try {
      return await this.#script.run("redirectHvsockets", systemId, signal, () => {
        if (this.redirections.has(systemId)) throw scriptedError("AlreadyExists", `${systemId} is redirected`);
        this.redirections.set(systemId, vmId);
        return { close: () => this.#close(systemId) };
      });
    } catch (error) {
      // The handle that nobody gets is closed.
      if (!(error as Error).message.includes("is redirected")) this.redirections.delete(systemId);
      throw error;
    }
  }

  #close(systemId: string): Promise<void> {
    return this.#script.run("closeRedirection", systemId, undefined, () => void this.redirections.delete(systemId));
  }
}

/** A GUID that tells the name of its layer. */
export function layerGuid(name: string): string {
  const digits = Buffer.from(name).toString("hex").padStart(12, "0").slice(-12);
  return `00000000-0000-4000-8000-${digits}`;
}

/** Disks of a VM that come when they are mapped. */
export class FakeDisks extends FakeReservations implements ContainerDisks {
  readonly requests: { readonly disk: DiskConfig; readonly mount: DiskMountConfig }[] = [];

  constructor(script: ScriptedCalls) {
    super("disk", "C:/mounts/scsi", script);
  }

  async reserve(disk: DiskConfig, mount: DiskMountConfig): Promise<string> {
    this.requests.push({ disk, mount });
    return this.add(disk.hostPath);
  }
}

/** Shares of a VM that come when they are mapped. */
export class FakeShares extends FakeReservations implements ContainerShares {
  readonly requests: ShareConfig[] = [];

  constructor(script: ScriptedCalls) {
    super("share", "//?/VMSMB", script);
  }

  async reserve(share: ShareConfig): Promise<string> {
    this.requests.push(share);
    return this.add(share.hostPath);
  }
}

/** Pipes of a VM that come when they are mapped. */
export class FakePipes extends FakeReservations implements ContainerPipes {
  constructor(script: ScriptedCalls) {
    super("pipe", "//?/VMSMB/IPC$", script);
  }

  async reserve(hostPath: string): Promise<string> {
    return this.add(hostPath);
  }
}

/** Devices of a VM that come when they are mapped. */
export class FakeAssignedDevices extends FakeReservations implements ContainerDevices {
  readonly requests: DeviceConfig[] = [];

  constructor(script: ScriptedCalls) {
    super("device", "guid of", script);
  }

  async reserve(device: DeviceConfig): Promise<string> {
    this.requests.push(device);
    return this.add(device.deviceInstancePath);
  }
}

/** Volumes of images that come when they are mapped. */
export class FakeCims extends FakeReservations implements ContainerCims {
  readonly requests: CimConfig[] = [];

  constructor(script: ScriptedCalls) {
    super("volume", "guid of", script);
  }

  async reserve(cims: CimConfig): Promise<string> {
    this.requests.push(cims);
    return this.add(cims.cims[0]?.hostPath ?? "");
  }
}

/** Disks that are attached only, each at a LUN of its own. */
export class FakeCimDisks extends FakeReservations implements CimDisks {
  readonly luns = new Map<string, number>();
  readonly requests: Parameters<CimDisks["reserve"]>[] = [];

  constructor(script: ScriptedCalls) {
    super("cim", "unused", script);
  }

  async reserve(...request: Parameters<CimDisks["reserve"]>): Promise<string> {
    this.requests.push(request);
    const reservation = this.add(request[0].hostPath);
    this.luns.set(reservation, this.luns.size);
    return reservation;
  }

  slotOf(reservation: string): { readonly lun: number } {
    const lun = this.luns.get(reservation);
    if (lun === undefined) throw scriptedError("NotFound", `no reservation ${reservation}`);
    return { lun };
  }
}
