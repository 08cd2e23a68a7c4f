import type { HvsocketRedirection, WindowsGuestServices } from "../types.ts";
import type { EmulatorConnection } from "./connection.ts";

/** What the emulated host does for Windows guests. */
export function emulatedGuestServices(connection: EmulatorConnection): WindowsGuestServices {
  const done = (): void => {};
  const removeGuard = (container: string, signal?: AbortSignal): Promise<void> => {
    const subject = { operation: "remove credential guard of container", id: container };
    return connection.call("removeCredentialGuard", { container }, subject, { signal, receive: done });
  };
  return {
    addCredentialGuard(container, specification, signal) {
      const subject = { operation: "add credential guard of container", id: container };
      return connection.call("addCredentialGuard", { container, specification }, subject, {
        signal,
        receive: (instance) => instance,
        // The caller does not know of it, so nobody else would remove it.
        abandon: () => void removeGuard(container).catch(done),
      });
    },
    credentialGuards(signal) {
      const subject = { operation: "list credential guards of", id: "all containers" };
      return connection.call("credentialGuards", {}, subject, { signal, receive: ({ instances }) => instances });
    },
    removeCredentialGuard: removeGuard,
    redirectHvsockets(system, vm, signal) {
      const subject = { operation: `redirect hvsockets to compute system ${vm} of container`, id: system };
      return connection.call("redirectHvsockets", { system, vm }, subject, {
        signal,
        receive: ({ handle }) => new EmulatedRedirection(connection, system, handle),
        abandon: (redirection) => void redirection.close().catch(done),
      });
    },
    layerId(name, signal) {
      const subject = { operation: "find id of layer", id: name };
      return connection.call("layerId", { name }, subject, { signal, receive: ({ id }) => id.toLowerCase() });
    },
    createScratchLayer(path, parents, signal) {
      const subject = { operation: "create scratch layer", id: path };
      return connection.call("createScratchLayer", { path, parents }, subject, { signal, receive: done });
    },
    setDiskIdentifier(path, identifier, signal) {
      const subject = { operation: "set identifier of virtual disk", id: path };
      return connection.call("setDiskIdentifier", { path, identifier }, subject, { signal, receive: done });
    },
    grantVmGroupAccess(path, signal) {
      const subject = { operation: "grant access to all compute systems to", id: path };
      return connection.call("grantVmGroupAccess", { path }, subject, { signal, receive: done });
    },
    timeZone(signal) {
      const subject = { operation: "read time zone of", id: "this machine" };
      return connection.call("timeZone", {}, subject, { signal, receive: (zone) => zone });
    },
  };
}

class EmulatedRedirection implements HvsocketRedirection {
  readonly #connection: EmulatorConnection;
  readonly #system: string;
  readonly #handle: number;
  #closed: Promise<void> | undefined;

  constructor(connection: EmulatorConnection, system: string, handle: number) {
    this.#connection = connection;
    this.#system = system;
    this.#handle = handle;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (!this.#connection.isOpen) return;
    const subject = { operation: "end redirection of hvsockets of container", id: this.#system };
    await this.#connection
      .call("closeRedirection", { handle: this.#handle }, subject, { receive: () => {} })
      .catch((error: unknown) => {
        // A lost host has ended its redirections.
        if (this.#connection.isOpen) throw error;
      });
  }
}
