import {
  checkLinuxGuestRequest,
  checkWindowsNetworkModification,
  checkWindowsNetworkNamespace,
  type HcnEndpoint,
  type HcnNamespace,
  type LinuxNetworkAdapter,
} from "@uvm-shim/hcs-schema";
import { scriptedError } from "@uvm-shim/lifecycle/testing";
import type { LinuxNetworkGuest, WindowsNetworkGuest } from "../types.ts";
import type { FakeNetworks } from "./fake-networks.ts";

/** A Linux guest in which a NIC can be set up once the host has added it. */
export class FakeLinuxGuest implements LinuxNetworkGuest {
  supportsNetworkNamespaces = true;
  /** Whether a container holds the namespace: then every added NIC moves all NICs to it. */
  isHeld = false;
  readonly adapters = new Map<string, LinuxNetworkAdapter>();
  readonly #host: FakeNetworks;

  constructor(host: FakeNetworks) {
    this.#host = host;
  }

  addNetworkInterface(adapter: LinuxNetworkAdapter, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest add", adapter.ID, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "Network", RequestType: "Add", Settings: adapter });
      if (!this.#host.nics.has(adapter.ID)) throw scriptedError("NotFound", `NIC ${adapter.ID} has not appeared`);
      if (this.adapters.has(adapter.ID)) throw scriptedError("AlreadyExists", `NIC ${adapter.ID} is set up`);
      const wereMoved = this.isHeld && this.adapters.size > 0;
      this.adapters.set(adapter.ID, adapter);
      if (wereMoved) throw scriptedError("Unavailable", "a NIC that was moved is not where it came from any more");
    });
  }

  removeNetworkInterface(
    adapter: Pick<LinuxNetworkAdapter, "NamespaceID" | "ID">,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#host.script.run("guest remove", adapter.ID, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "Network", RequestType: "Remove", Settings: adapter });
      this.adapters.delete(adapter.ID);
    });
  }
}

/** A Windows guest that insists on the order of announcing, adding and completing. */
export class FakeWindowsGuest implements WindowsNetworkGuest {
  supportsNetworkNamespaces = true;
  readonly namespaces = new Set<string>();
  /** Namespaces in the form of their removal. */
  readonly removedNamespaces: HcnNamespace[] = [];
  /** Endpoints in the form of their announcement. */
  readonly endpoints: HcnEndpoint[] = [];
  /** By NIC id: whether it is announced or complete. */
  readonly nics = new Map<string, "announced" | "complete">();
  readonly #host: FakeNetworks;

  constructor(host: FakeNetworks) {
    this.#host = host;
  }

  addNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest add namespace", namespace.ID, signal, () => {
      checkWindowsNetworkNamespace(namespace);
      if (this.namespaces.has(namespace.ID)) throw scriptedError("AlreadyExists", `namespace ${namespace.ID}`);
      this.namespaces.add(namespace.ID);
    });
  }

  removeNetworkNamespace(namespace: HcnNamespace, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest remove namespace", namespace.ID, signal, () => {
      checkWindowsNetworkNamespace(namespace);
      this.removedNamespaces.push(namespace);
      if (this.nics.size > 0) throw scriptedError("FailedPrecondition", `namespace ${namespace.ID} has NICs`);
      if (!this.namespaces.delete(namespace.ID)) throw scriptedError("NotFound", `namespace ${namespace.ID}`);
    });
  }

  preAddNetworkInterface(nicId: string, endpoint: HcnEndpoint, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest pre-add", nicId, signal, () => {
      checkWindowsNetworkModification({
        AdapterId: nicId,
        RequestType: "PreAdd",
        Settings: endpoint,
      });
      this.endpoints.push(endpoint);
      if (this.#host.nics.has(nicId)) throw scriptedError("FailedPrecondition", `NIC ${nicId} has arrived already`);
      if (this.nics.has(nicId)) throw scriptedError("AlreadyExists", `NIC ${nicId} is announced`);
      if (this.supportsNetworkNamespaces && this.namespaces.size === 0) {
        throw scriptedError("FailedPrecondition", "there is no namespace");
      }
      this.nics.set(nicId, "announced");
    });
  }

  addNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest add", nicId, signal, () => {
      if (this.nics.get(nicId) !== "announced")
        throw scriptedError("FailedPrecondition", `NIC ${nicId}: not announced`);
      if (!this.#host.nics.has(nicId)) throw scriptedError("NotFound", `NIC ${nicId} has not arrived`);
      this.nics.set(nicId, "complete");
    });
  }

  removeNetworkInterface(nicId: string, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("guest remove", nicId, signal, () => {
      if (!this.nics.delete(nicId)) throw scriptedError("NotFound", `NIC ${nicId}`);
    });
  }
}
