import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { observe } from "@uvm-shim/lifecycle";
import type { HostDescription, PlatformContext } from "@uvm-shim/shim";
import { connectHost, describeHost } from "./host.ts";
import { observedHost } from "./observed-host.ts";

/** A shim's connection to its host, made when a sandbox first needs it; a failed attempt is repeated. */
export class HostConnection {
  readonly #context: PlatformContext;
  #connecting: Promise<ComputeHost> | undefined;
  #isConnected = false;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  connect(): Promise<ComputeHost> {
    const connect = async () => observedHost(await connectHost(this.#context));
    this.#connecting ??= observe({ kind: "host-call", name: "connect" }, connect).then(
      (host) => {
        this.#isConnected = true;
        return host;
      },
      (error: unknown) => {
        this.#connecting = undefined;
        throw error;
      },
    );
    return this.#connecting;
  }

  /** Uses a connection that was made before, and closes it like one of its own. */
  takeOver(host: ComputeHost): ComputeHost {
    this.#connecting = Promise.resolve(host);
    this.#isConnected = true;
    return host;
  }

  /** Whether it has connected, not whether the host still answers. */
  describe(): HostDescription {
    return { ...describeHost(this.#context), connected: this.#isConnected };
  }

  async close(): Promise<void> {
    await (await this.#connecting?.catch(() => undefined))?.close();
  }
}
