import { randomBytes, randomUUID } from "node:crypto";
import { type CredentialGuardInstance, checkGuid, type TimeZoneInformation } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";
import { realPath } from "../system/disk-file.ts";
import { createScratchLayer, layerIdOf, setDiskIdentifier } from "./layers.ts";
import { timeZoneAt } from "./time-zone.ts";

/** Whom the guard's service lets in: the system and the administrators of the VM. */
const guardDescriptor = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";

/** Where ids and times come from; by default from the machine. */
export interface GuestServiceOptions {
  readonly newGuid?: () => string;
  readonly now?: () => Date;
}

/** What a host of Windows guests does for them and their containers, beside their VMs. */
export class GuestServices {
  readonly #newGuid: () => string;
  readonly #now: () => Date;
  /** By id of the container. */
  readonly #guards = new Map<string, CredentialGuardInstance>();
  /** The VM by a GUID that leads to it, in lower case. */
  readonly #redirections = new Map<string, string>();

  constructor({ newGuid = randomUUID, now = () => new Date() }: GuestServiceOptions = {}) {
    this.#newGuid = newGuid;
    this.#now = now;
  }

  /** Guards outlive their makers, so a host that has some is in use. */
  get isEmpty(): boolean {
    return this.#guards.size === 0;
  }

  /** No error repeats the specification, which names accounts. */
  addCredentialGuard(Id: string, CredentialSpec: string): CredentialGuardInstance {
    if (this.#guards.has(Id)) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `container ${Id} has a credential guard already`);
    }
    if (!isObject(CredentialSpec)) {
      throw new HcsFailure("HCS_E_INVALID_JSON", "CredentialSpec: expected a JSON object as text");
    }
    const guard: CredentialGuardInstance = {
      Id,
      CredentialGuard: {
        Cookie: randomBytes(16).toString("hex"),
        RpcEndpoint: this.#newGuid(),
        Transport: "HvSocket",
        CredentialSpec,
      },
      HvSocketConfig: {
        ServiceId: this.#newGuid(),
        ServiceConfig: {
          BindSecurityDescriptor: guardDescriptor,
          ConnectSecurityDescriptor: guardDescriptor,
          AllowWildcardBinds: true,
        },
      },
    };
    this.#guards.set(Id, guard);
    return guard;
  }

  get credentialGuards(): readonly CredentialGuardInstance[] {
    return [...this.#guards.values()];
  }

  removeCredentialGuard(id: string): void {
    if (this.#guards.delete(id)) return;
    throw new HcsFailure("ERROR_NOT_FOUND", `container ${id} has no credential guard`);
  }

  /** Returns what ends the redirection. The emulated host has no sockets that need it. */
  redirectHvsockets(system: string, vm: string): () => void {
    const key = guidOf(system, "system");
    guidOf(vm, "vm");
    if (this.#redirections.has(key)) {
      throw new HcsFailure("ERROR_FILE_EXISTS", `system: ${system} is redirected already`);
    }
    this.#redirections.set(key, vm);
    return () => this.#redirections.delete(key);
  }

  layerId(name: string): string {
    return layerIdOf(name);
  }

  createScratchLayer(path: string, parents: readonly string[]): void {
    createScratchLayer(path, parents);
  }

  setDiskIdentifier(path: string, identifier: string): void {
    setDiskIdentifier(path, guidOf(identifier, "identifier"));
  }

  /** On Windows the group of all VMs needs a grant; here only the file's existence is checked. */
  grantVmGroupAccess(path: string): void {
    realPath(path, "path");
  }

  get timeZone(): TimeZoneInformation {
    return timeZoneAt(this.#now());
  }
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function guidOf(text: string, field: string): string {
  try {
    return checkGuid(text, field).toLowerCase();
  } catch (cause) {
    throw new HcsFailure("E_INVALIDARG", (cause as Error).message, { cause });
  }
}
