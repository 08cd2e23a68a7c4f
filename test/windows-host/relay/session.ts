import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type HcnObjectKind, hresults } from "@uvm-shim/hcs-schema";
import type { EmulatedHandle } from "@uvm-shim/host-protocol";
import { respelledText, type Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import type { HostClient, HostEvents } from "./host-client.ts";
import { Hvsockets, type SharedHvsockets } from "./hvsockets.ts";
import { answerLine, type Call, eventLine, readCall } from "./lines.ts";
import type { MappedPipes, PipeOpener } from "./mapped-pipes.ts";
import { asRefusal, Refusal } from "./refusal.ts";
import {
  ntstatusOf,
  numbersForDll,
  PreparedAnswers,
  readTestHostSettings,
  type TestHostSettings,
} from "./test-host-settings.ts";

/** What a call is answered with, if anything, when it succeeds. Throws a Refusal where it does not. */
export type Handler = (session: Session, ...texts: (string | undefined)[]) => Promise<string | undefined>;

/** What the sessions share, and ask of the relay that holds them. */
export interface SessionOwner extends SharedHvsockets {
  readonly sessions: ReadonlySet<Session>;
  /** Pids of vmmem processes, by the GUID of their VM. */
  readonly pids: Map<string, number>;
  /** Named pipes that VMs reach. */
  readonly pipes: MappedPipes;
  /** Entries of the hvsocket provider, by the numbers that the DLLs know them by. */
  readonly addressEntries: Map<number, AddressEntry>;
  /** Ids of what was made through the relay; the host has no call that lists them. */
  readonly networkObjects: { readonly [Kind in HcnObjectKind]: Set<string> };
  /** The case of the names in all documents, where no setting says another; absent: as the host has them. */
  readonly spelling: Spelling | undefined;
  /** A connection to the emulated host, which is started where it does not run. */
  connect(events: HostEvents): Promise<HostClient>;
  loseService(): Promise<void>;
  forget(session: Session): void;
}

/** Types of the events that are no HCS_EVENT_TYPE; the DLLs have them by the same numbers. */
export const relayEvents = { standardInputClosed: 0x70000001, network: 0x70000002, openPipe: 0x70000003 } as const;

export const hcsEvents = {
  systemExited: 0x00000001,
  systemCrashInitiated: 0x00000002,
  systemCrashReport: 0x00000003,
  guestConnectionClosed: 0x00000006,
  processExited: 0x00010000,
  serviceDisconnect: 0x02000000,
} as const;

/** An entry of the hvsocket provider, which a process has open. */
export interface AddressEntry {
  readonly systemId: string;
  readonly owner: Session;
  redirection?: { readonly client: HostClient; readonly handle: number };
}

/** A compute system as one process has it open. */
export interface OpenSystem {
  readonly id: string;
  readonly client: HostClient;
  readonly handle: EmulatedHandle;
}

/** One process that has the DLLs loaded. Its handles on systems end with it. */
export class Session implements PipeOpener {
  readonly relay: SessionOwner;
  readonly hvsockets: Hvsockets;
  /** By the number that the DLL has given the handle. */
  readonly systems = new Map<string, Promise<OpenSystem>>();
  hearsOfNetworks = false;
  readonly #socket: Socket;
  readonly #handlers: ReadonlyMap<string, Handler>;
  #unread = "";
  #client: Promise<HostClient> | undefined;
  #settings: TestHostSettings = {};
  #prepared = new PreparedAnswers();

  constructor(relay: SessionOwner, socket: Socket, handlers: ReadonlyMap<string, Handler>) {
    this.relay = relay;
    this.#handlers = handlers;
    this.#socket = socket;
    this.hvsockets = new Hvsockets(relay);
    socket.setNoDelay(true).setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#read(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#end());
  }

  close(): void {
    this.#socket.destroy();
  }

  /** This process's connection to the host, made when there is none or the last one was lost. */
  client(): Promise<HostClient> {
    this.#client ??= this.#connect();
    return this.#client;
  }

  async system(number: string | undefined): Promise<OpenSystem> {
    const system = await this.systems.get(number ?? "");
    if (system === undefined) throw new Refusal("E_INVALIDARG", `no handle ${number} of a compute system is open`);
    return system;
  }

  /** Takes a handle of the host over under the DLL's number for it. */
  async adopt(number: string, open: (client: HostClient) => Promise<{ id: string; handle: EmulatedHandle }>) {
    const system = this.client().then(async (client) => ({ client, ...(await open(client)) }));
    this.systems.set(number, system);
    await system;
  }

  sendEvent(object: string, type: number, data: string): void {
    if (!this.#socket.destroyed) this.#socket.write(eventLine(object, type, this.#spelled(data)));
  }

  openPipe(path: string, port: number): void {
    this.sendEvent("0", relayEvents.openPipe, `${port} ${path}`);
  }

  async #connect(): Promise<HostClient> {
    const forgetting = (): void => {
      this.#client = undefined;
    };
    try {
      return await this.relay.connect({
        crashed: (handle, report) => void this.#tellSystem(handle, hcsEvents.systemCrashReport, report),
        exited: (handle, status) => void this.#tellSystem(handle, hcsEvents.systemExited, status),
        lost: () => {
          forgetting();
          this.sendEvent("0", hcsEvents.serviceDisconnect, "");
        },
      });
    } catch (error) {
      forgetting();
      throw new Refusal("HCS_E_SERVICE_NOT_AVAILABLE", String(error));
    }
  }

  async #tellSystem(handle: number, type: number, data: object): Promise<void> {
    const client = await this.#client;
    for (const [number, opening] of this.systems) {
      const system = await opening.catch(() => undefined);
      if (system?.client === client && system?.handle.handle === handle)
        this.sendEvent(number, type, JSON.stringify(data));
    }
  }

  #read(chunk: string): void {
    const lines = (this.#unread + chunk).split("\n");
    this.#unread = lines.pop() ?? "";
    for (const line of lines) void this.#answer(readCall(line));
  }

  async #answer(call: Call): Promise<void> {
    const { hresult, document } = await this.#perform(call);
    const { delayMs = 0, ntstatusForms = false } = this.#settings;
    if (delayMs > 0) await delay(delayMs);
    if (this.#socket.destroyed) return;
    const answer = document === undefined ? undefined : this.#spelled(document);
    this.#socket.write(answerLine(call.id, ntstatusForms ? ntstatusOf(hresult) : hresult, answer));
  }

  async #perform({ name, texts }: Call): Promise<{ hresult: number; document: string | undefined }> {
    try {
      if (name === "configure") return { hresult: hresults.S_OK, document: await this.#configure(texts[0]) };
      const prepared = this.#prepared.take(name);
      if (prepared !== undefined) {
        return { hresult: prepared.hresult ?? hresults.S_OK, document: prepared.document ?? undefined };
      }
      const handler = this.#handlers.get(name);
      if (handler === undefined) throw new Refusal("E_NOTIMPL", `${name} is not emulated`);
      return { hresult: hresults.S_OK, document: await handler(this, ...texts) };
    } catch (error) {
      const refusal = asRefusal(error);
      const document = this.#settings.withoutDocuments === true ? undefined : errorDocument(name, refusal);
      return { hresult: refusal.hresult, document };
    }
  }

  /** A document in the case that is asked for; what the DLLs keep for themselves has no names. */
  #spelled(text: string): string {
    const spelling = this.#settings.spelling ?? this.relay.spelling;
    const [, before = "", document] = /^(\d*)([{[].*)$/s.exec(text) ?? [];
    if (spelling === undefined || document === undefined) return text;
    return `${before}${respelledText(document, spelling)}`;
  }

  async #configure(text: string | undefined): Promise<string> {
    this.#settings = readTestHostSettings(text);
    this.#prepared = new PreparedAnswers(this.#settings.answers);
    if (this.#settings.disconnect === true) (await this.#client)?.cut();
    if (this.#settings.loseService === true) await this.relay.loseService();
    return numbersForDll(this.#settings);
  }

  #end(): void {
    this.relay.forget(this);
    this.relay.pipes.forget(this);
    for (const [number, { owner }] of this.relay.addressEntries) {
      if (owner === this) this.relay.addressEntries.delete(number);
    }
    this.hvsockets.close();
    void this.#client?.then(
      (client) => client.close(),
      () => {},
    );
  }
}

/** What the services add to a failure: a ResultError of HCS, or the error record of HCN. */
function errorDocument(name: string, { hresult, message, events }: Refusal): string {
  if (name.startsWith("Hcn")) {
    return JSON.stringify({ Success: false, Error: message, ErrorCode: hresult });
  }
  return JSON.stringify({
    Error: hresult | 0,
    ErrorMessage: message,
    ...(events.length > 0 && { ErrorEvents: events.map((Message) => ({ Message, Provider: provider, EventId: 0 })) }),
  });
}

/** Of the events of the compute service. */
const provider = "17103e3f-3c6e-4677-bb17-3b267eb5be57";
