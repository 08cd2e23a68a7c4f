import { createHash } from "node:crypto";
import {
  type CredentialGuardInstance,
  checkGuid,
  checkHvSocketServiceConfig,
  type HvSocketServiceConfig,
  type ModifySettingRequest,
  resourcePaths,
  type TimeZoneInformation,
} from "@uvm-shim/hcs-schema";
import type { HvsocketRedirection, WindowsGuestServices } from "../types.ts";
import { FakeRefusal } from "./fake-refusal.ts";

/** The zone of every fake machine: Central Europe. */
export const fakeTimeZone: TimeZoneInformation = {
  Bias: -60,
  StandardName: "W. Europe Standard Time",
  StandardDate: { Month: 10, Day: 5, Hour: 3 },
  DaylightName: "W. Europe Daylight Time",
  DaylightDate: { Month: 3, Day: 5, Hour: 2 },
  DaylightBias: -60,
};

/** What a fake machine does for Windows guests. Its methods are synchronous and throw FakeRefusal or SchemaError. */
export class FakeGuestServices {
  readonly guards = new Map<string, CredentialGuardInstance>();
  /** VMs by the GUID that leads to them. */
  readonly redirections = new Map<string, string>();
  readonly scratchLayers = new Map<string, readonly string[]>();
  readonly diskIdentifiers = new Map<string, string>();
  readonly #requireFile: (path: string) => void;

  constructor(requireFile: (path: string) => void) {
    this.#requireFile = requireFile;
  }

  addGuard(Id: string, CredentialSpec: string, Transport: "HvSocket" | "LRPC" = "HvSocket"): CredentialGuardInstance {
    if (this.guards.has(Id)) throw new FakeRefusal("ERROR_ALREADY_EXISTS", `container ${Id} has a credential guard`);
    const ServiceId = guidFrom(`guard ${Id}`);
    const guard: CredentialGuardInstance = {
      Id,
      CredentialGuard: { Cookie: `cookie of ${Id}`, RpcEndpoint: `endpoint of ${Id}`, Transport, CredentialSpec },
      HvSocketConfig: {
        ServiceId,
        ServiceConfig: { BindSecurityDescriptor: "D:P(A;;FA;;;SY)", ConnectSecurityDescriptor: "D:P(A;;FA;;;SY)" },
      },
    };
    this.guards.set(Id, guard);
    return guard;
  }

  removeGuard(id: string): void {
    if (!this.guards.delete(id)) throw new FakeRefusal("ERROR_NOT_FOUND", `container ${id} has no credential guard`);
  }

  /** Returns what ends the redirection. */
  redirect(systemId: string, vmId: string): () => void {
    const key = checkGuid(systemId, "systemId").toLowerCase();
    checkGuid(vmId, "vmId");
    if (this.redirections.has(key)) throw new FakeRefusal("ERROR_FILE_EXISTS", `${systemId} leads to a VM already`);
    this.redirections.set(key, vmId);
    return () => this.redirections.delete(key);
  }

  layerId(name: string): string {
    return guidFrom(`layer ${name}`);
  }

  createScratch(path: string, parents: readonly string[]): void {
    for (const parent of parents) {
      try {
        this.#requireFile(parent);
      } catch {
        throw new FakeRefusal("ERROR_PATH_NOT_FOUND", `${parent} does not exist`);
      }
    }
    if (parents.length === 0) throw new FakeRefusal("E_INVALIDARG", "a scratch layer has at least one parent");
    if (this.scratchLayers.has(path)) throw new FakeRefusal("ERROR_FILE_EXISTS", `${path} has a scratch disk`);
    this.scratchLayers.set(path, parents);
  }

  identifyDisk(path: string, id: string): void {
    this.#requireFile(path);
    this.diskIdentifiers.set(path, checkGuid(id, "id"));
  }

  leftovers(): readonly string[] {
    return [
      ...[...this.guards.keys()].map((id) => `credential guard of ${id}`),
      ...[...this.redirections.keys()].map((id) => `redirection of ${id}`),
    ];
  }

  /** A client; `run` performs a call, and `keep` remembers what ends with the client. */
  connect(
    run: <T>(name: string, detail: string, signal: AbortSignal | undefined, effect: () => T) => Promise<T>,
    keep: (end: () => void) => void,
  ): WindowsGuestServices {
    const redirection = (systemId: string, vmId: string): HvsocketRedirection => {
      const end = this.redirect(systemId, vmId);
      keep(end);
      return { close: async () => end() };
    };
    return {
      addCredentialGuard: (id, specification, signal) =>
        run("addCredentialGuard", id, signal, () => this.addGuard(id, specification)),
      credentialGuards: (signal) => run("credentialGuards", "", signal, () => [...this.guards.values()]),
      removeCredentialGuard: (id, signal) => run("removeCredentialGuard", id, signal, () => this.removeGuard(id)),
      redirectHvsockets: (systemId, vmId, signal) =>
        run("redirectHvsockets", systemId, signal, () => redirection(systemId, vmId)),
      layerId: (name, signal) => run("layerId", name, signal, () => this.layerId(name)),
      createScratchLayer: (path, parents, signal) =>
        run("createScratchLayer", path, signal, () => this.createScratch(path, parents)),
      setDiskIdentifier: (path, id, signal) =>
        run("setDiskIdentifier", path, signal, () => this.identifyDisk(path, id)),
      grantVmGroupAccess: (path, signal) => run("grantVmGroupAccess", path, signal, () => this.#requireFile(path)),
      timeZone: (signal) => run("timeZone", "", signal, () => fakeTimeZone),
    };
  }
}

/** A GUID that is the same for the same text. */
function guidFrom(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-5$3-8$4-$5");
}

const servicePath = new RegExp(
  `^${resourcePaths.hvSocketService("([\\da-f]{8}(?:-[\\da-f]{4}){3}-[\\da-f]{12})")}$`,
  "i",
);

/** The hvsocket services of a running fake system, by GUID. */
export class FakeServiceTable {
  readonly services = new Map<string, HvSocketServiceConfig>();

  static isPath(path: string): boolean {
    return servicePath.test(path);
  }

  constructor(services: { readonly [guid: string]: HvSocketServiceConfig } = {}) {
    for (const [guid, config] of Object.entries(services)) this.services.set(guid.toLowerCase(), config);
  }

  modify({ ResourcePath, RequestType, Settings }: ModifySettingRequest): void {
    const guid = servicePath.exec(ResourcePath)?.[1]?.toLowerCase() ?? "";
    switch (RequestType) {
      case "Add":
        throw new FakeRefusal("E_INVALIDARG", `RequestType: ${ResourcePath} does not support Add`);
      case "Update": {
        const config = checkHvSocketServiceConfig(Settings, "Settings");
        const { BindSecurityDescriptor: bind = "", ConnectSecurityDescriptor: connect = "" } = config;
        if (bind === "" && connect === "" && config.Disabled !== true) this.services.delete(guid);
        else this.services.set(guid, config);
        return;
      }
      case "Remove":
        if (Settings !== undefined) throw new FakeRefusal("E_INVALIDARG", "Settings: expected none for Remove");
        if (!this.services.delete(guid))
          throw new FakeRefusal("ERROR_NOT_FOUND", `service ${guid} is not in the table`);
        return;
    }
  }
}
