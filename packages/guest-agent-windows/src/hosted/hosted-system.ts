/** A container of a Windows guest: it outlives its programs, and ends when it is shut down or terminated. */
import { randomUUID } from "node:crypto";
import { GuestFault, type NotificationType, type StdioRelaySettings } from "@uvm-shim/gcs-bridge";
import type { ContainerProgram, WindowsContainer } from "../container/container.ts";
import { GuestPrograms } from "../process/processes.ts";
import type { DialService } from "../process/stdio-relay.ts";
import type { ContainerDocument } from "./document.ts";

type State =
  | { readonly kind: "created" }
  | { readonly kind: "starting" }
  | { readonly kind: "running"; readonly container: WindowsContainer }
  | { readonly kind: "ending"; readonly container: WindowsContainer }
  | { readonly kind: "ended" };

/** What makes a container and takes away what it left. */
export interface ContainerMaker {
  start(): Promise<WindowsContainer>;
  /** Called once, after its end. */
  remove(): Promise<void>;
}

export class HostedSystem {
  readonly id: string;
  readonly document: ContainerDocument;
  readonly systemGuid: string = randomUUID();
  readonly programs = new GuestPrograms();
  readonly #maker: ContainerMaker;
  readonly #notify: (type: NotificationType) => void;
  readonly #onError: (error: unknown) => void;
  #state: State = { kind: "created" };
  #exit: NotificationType = "UnexpectedExit";
  #removal: Promise<void> = Promise.resolve();

  constructor(
    id: string,
    document: ContainerDocument,
    maker: ContainerMaker,
    reports: { readonly notify: (type: NotificationType) => void; readonly onError: (error: unknown) => void },
  ) {
    this.id = id;
    this.document = document;
    this.#maker = maker;
    this.#notify = reports.notify;
    this.#onError = reports.onError;
  }

  get hasEnded(): boolean {
    return this.#state.kind === "ended";
  }

  async start(): Promise<void> {
    if (this.#state.kind !== "created") throw this.#wrongState("started", "created");
    this.#state = { kind: "starting" };
    let container: WindowsContainer;
    try {
      container = await this.#maker.start();
    } catch (error) {
      this.#state = { kind: "ended" };
      this.#removal = this.#remove();
      throw error;
    }
    this.#state = { kind: "running", container };
    void container.ended.then(() => this.#hasEnded());
  }

  /** Throws a GuestFault unless it runs. */
  get container(): WindowsContainer {
    if (this.#state.kind === "running") return this.#state.container;
    throw this.#wrongState("used", "running");
  }

  execute(
    start: ContainerProgram,
    services: StdioRelaySettings,
    dial: DialService,
    signal: AbortSignal,
  ): Promise<number> {
    return this.programs.execute(this.container, start, services, dial, signal);
  }

  /** Asks all programs to end; the container ends after the last of them. */
  shutdown(): void {
    const { container } = this;
    this.programs
      .raiseAll("CtrlShutdown")
      .then(() => this.#end(container, "GracefulExit"))
      .catch(this.#onError);
  }

  async terminate(): Promise<void> {
    switch (this.#state.kind) {
      case "created":
        this.#state = { kind: "ended" };
        this.#exit = "ForcedExit";
        this.#removal = this.#remove();
        this.#notify(this.#exit);
        return;
      case "running":
      case "ending":
        return await this.#end(this.#state.container, "ForcedExit");
      case "starting":
      case "ended":
        throw this.#wrongState("terminated", "running");
    }
  }

  /** Resolves when nothing of it is left. Throws a GuestFault while it runs. */
  async delete(): Promise<void> {
    if (this.#state.kind !== "ended" && this.#state.kind !== "created") throw this.#wrongState("deleted", "ended");
    if (this.#state.kind === "created") {
      this.#state = { kind: "ended" };
      this.#removal = this.#remove();
    }
    await this.#removal;
  }

  async #end(container: WindowsContainer, exit: NotificationType): Promise<void> {
    if (this.#state.kind === "running") {
      this.#state = { kind: "ending", container };
      this.#exit = exit;
    }
    await container.end();
  }

  #hasEnded(): void {
    this.#state = { kind: "ended" };
    this.#removal = this.#remove();
    this.#notify(this.#exit);
  }

  async #remove(): Promise<void> {
    await this.#maker.remove().catch(this.#onError);
  }

  #wrongState(done: string, expected: State["kind"]): GuestFault {
    const { kind } = this.#state;
    const message = `container ${this.id} is ${kind}: only one that is ${expected} can be ${done}`;
    return new GuestFault(kind === "ended" ? "HCS_E_SYSTEM_ALREADY_STOPPED" : "HCS_E_INVALID_STATE", message);
  }
}
