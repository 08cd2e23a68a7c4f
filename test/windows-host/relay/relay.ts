/** The relay of the test host: what stands between the DLLs that a Windows program has loaded and the emulated host. */
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { ConnectOptions } from "@uvm-shim/hcs-bindings";
import type { HcnObjectKind } from "@uvm-shim/hcs-schema";
import { connectOrStart } from "../../../packages/hcs-bindings/src/emulator/start-host.ts";
import type { Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import { handlers } from "./calls.ts";
import { HostClient, type HostEvents } from "./host-client.ts";
import { MappedPipes } from "./mapped-pipes.ts";
import { Refusal } from "./refusal.ts";
import { type AddressEntry, Session, type SessionOwner } from "./session.ts";

export interface RelayOptions {
  /** Where the emulated host is, and how it is started. */
  readonly host: Pick<ConnectOptions, "socketPath" | "start">;
  /** Folder of the DLLs, which find the relay by a file there. */
  readonly folder: string;
  /** Takes the host away, as a crash of the service does: the setting `loseService`. */
  readonly loseService?: () => Promise<void>;
}

const portFile = "test-host.port";

export class Relay implements AsyncDisposable, SessionOwner {
  readonly sessions = new Set<Session>();
  /** Ports of those who listen for anybody, by service. */
  readonly services = new Map<string, number>();
  /** Pids of vmmem processes, by the GUID of their VM. */
  readonly pids = new Map<string, number>();
  readonly pipes: MappedPipes;
  /** Entries of the hvsocket provider, by the numbers that the DLLs know them by. */
  readonly addressEntries = new Map<number, AddressEntry>();
  /** Ids of what was made through this relay; the host has no call that lists them. */
  readonly networkObjects: { readonly [Kind in HcnObjectKind]: Set<string> } = {
    network: new Set(),
    endpoint: new Set(),
    namespace: new Set(),
  };
  /** The case of the names in all documents, where no setting says another; absent: as the host has them. */
  spelling: Spelling | undefined;
  readonly #options: RelayOptions;
  readonly #server: Server;

  private constructor(options: RelayOptions) {
    this.#options = options;
    this.pipes = new MappedPipes(dirname(options.host.socketPath));
    this.#server = createServer((socket) => this.sessions.add(new Session(this, socket, handlers)));
  }

  static async start(options: RelayOptions): Promise<Relay> {
    const relay = new Relay(options);
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    const address = relay.#server.address();
    if (address === null || typeof address === "string") throw new Error("the relay has no port");
    writeFileSync(join(options.folder, portFile), String(address.port));
    return relay;
  }

  /** A connection to the emulated host, which is started where it does not run. */
  async connect(events: HostEvents): Promise<HostClient> {
    const { host } = this.#options;
    await (await connectOrStart(host)).close();
    return HostClient.open(host.socketPath, events);
  }

  /** Where the hvsockets of a VM are, by its GUID. */
  async vsockBaseOf(vmId: string): Promise<string> {
    for (const { systems } of this.sessions) {
      for (const opening of systems.values()) {
        const system = await opening.catch(() => undefined);
        if (system?.handle.runtimeId === vmId) return system.handle.vsockBase;
      }
    }
    throw new Refusal("ERROR_NOT_FOUND", `there is no VM ${vmId}`);
  }

  async loseService(): Promise<void> {
    await this.#options.loseService?.();
  }

  forget(session: Session): void {
    this.sessions.delete(session);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(join(this.#options.folder, portFile), { force: true });
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const session of this.sessions) session.close();
    await closed;
  }
}
