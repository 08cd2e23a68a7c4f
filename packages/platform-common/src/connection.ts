import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type { PlatformContext } from "@uvm-shim/shim";
import { connectHost } from "./host.ts";

/** A shim's connection to its host, made when a sandbox first needs it; a failed attempt is repeated. */
export class HostConnection {
  readonly #context: PlatformContext;
  #connecting: Promise<ComputeHost> | undefined;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  connect(): Promise<ComputeHost> {
    this.#connecting ??= connectHost(this.#context).catch((error: unknown) => {
      this.#connecting = undefined;
      throw error;
    });
    return this.#connecting;
  }

  async close(): Promise<void> {
    await (await this.#connecting?.catch(() => undefined))?.close();
  }
}
