import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Plan9Share } from "@uvm-shim/hcs-schema";
import { hostPortPath } from "@uvm-shim/host-protocol";
import { hvsocketBaseName } from "@uvm-shim/host-protocol/guest";
import { messageOf } from "@uvm-shim/lifecycle";
import { HcsFailure } from "../hcs-failure.ts";
import type { MachineShares, ServedMachine } from "./parts.ts";

/** A program that serves 9p on one connection. */
export interface ShareServer {
  /** Resolves when it has ended. */
  readonly ended: Promise<unknown>;
  kill(): void;
}

/** How the shares of a machine are served. */
export interface ShareServing {
  /** Starts a server of these shares on a connection of which nothing has been read, and owns that from then on. */
  start(connection: Socket, shares: readonly Plan9Share[]): Promise<ShareServer>;
  /** Reports a guest's connection that could not be served. */
  readonly report: (message: string) => void;
}

interface Port {
  readonly listener: Server;
  readonly shares: Map<string, Plan9Share>;
}

/**
 * Plan9 shares as Hyper-V has them: the guest dials a vsock port of the host for each mount, and attaches to a share by its
 * access name. Each connection has a program of its own, so that no guest's requests are handled in this process, and one
 * that breaks it breaks one mount.
 */
export class VsockShares implements MachineShares {
  readonly #machine: ServedMachine;
  readonly #serving: ShareServing;
  readonly #ports = new Map<number, Port>();
  readonly #servers = new Set<ShareServer>();
  #isClosed = false;

  constructor(machine: ServedMachine, serving: ShareServing) {
    this.#machine = machine;
    this.#serving = serving;
  }

  async add(share: Plan9Share): Promise<void> {
    const { AccessName: name, Port: number } = share;
    if (this.#portOf(name) !== undefined) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `share ${name} already exists`);
    }
    const known = this.#ports.get(number);
    if (known !== undefined) known.shares.set(name, share);
    else this.#ports.set(number, await this.#open(number, share));
  }

  /** As on the process guest, what the guest has mounted stays until it unmounts it. */
  async remove(name: string): Promise<void> {
    const found = this.#portOf(name);
    if (found === undefined) throw new HcsFailure("ERROR_NOT_FOUND", `share ${name} does not exist`);
    const [number, { listener, shares }] = found;
    shares.delete(name);
    if (shares.size > 0) return;
    this.#ports.delete(number);
    // Its callback would wait for the connections that stay.
    listener.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { listener } of this.#ports.values()) listener.close();
    this.#ports.clear();
    const ends = [...this.#servers].map((server) => {
      server.kill();
      return server.ended;
    });
    await Promise.all(ends);
  }

  #portOf(name: string): readonly [number, Port] | undefined {
    return [...this.#ports].find(([, { shares }]) => shares.has(name));
  }

  async #open(number: number, share: Plan9Share): Promise<Port> {
    const shares = new Map([[share.AccessName, share]]);
    // What the guest sends is for the server alone.
    const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (connection) => {
      void this.#serve(connection, [...shares.values()]);
    });
    const { directory } = this.#machine;
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(hostPortPath(join(directory, hvsocketBaseName), number), resolve);
    });
    return { listener, shares };
  }

  /** Never rejects. */
  async #serve(connection: Socket, shares: readonly Plan9Share[]): Promise<void> {
    connection.on("error", () => {});
    try {
      const server = await this.#serving.start(connection, shares);
      this.#servers.add(server);
      void server.ended.then(() => this.#servers.delete(server));
      if (this.#isClosed) server.kill();
    } catch (error) {
      connection.destroy();
      this.#serving.report(`VM ${this.#machine.name}: a share could not be served: ${messageOf(error)}`);
    }
  }
}
