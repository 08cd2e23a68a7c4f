import type { Duplex } from "node:stream";
import { abortedError, HostError } from "../host-error.ts";
import type { HvsocketListener } from "../types.ts";
import type { FakeSystem } from "./fake-system.ts";

/** The way of a client's calls to the service. */
export interface CallsOfClient {
  readonly isLost: boolean;
  /** Runs one call, and says what it was about when it is refused. */
  call<T>(
    name: string,
    detail: string,
    subject: { readonly operation: string; readonly id: string },
    signal: AbortSignal | undefined,
    effect: () => T,
  ): Promise<T>;
}

/** A port of a fake system that a client listens on. */
export class FakeListener implements HvsocketListener {
  readonly port: number;
  readonly #name: string;
  readonly #service: CallsOfClient;
  readonly #system: FakeSystem;
  readonly #dialled: Duplex[] = [];
  readonly #waiting = new Set<() => void>();
  #isOpen = true;

  /** `name`: the service as the caller gave it, for recorded calls. */
  constructor(service: CallsOfClient, system: FakeSystem, port: number, name: string) {
    this.#name = name;
    this.#service = service;
    this.#system = system;
    this.port = port;
    system.listeners.set(port, this);
  }

  dialled(stream: Duplex): void {
    this.#dialled.push(stream);
    this.#wake();
  }

  async accept(signal?: AbortSignal): Promise<Duplex> {
    const details = { operation: `accept on port ${this.port} of`, id: this.#system.id };
    for (;;) {
      if (signal?.aborted) throw abortedError(signal, "the caller gave up", details);
      if (!this.#isOpen) throw new HostError("Cancelled", "the listener is closed", { ...details, gone: true });
      const stream = this.#dialled.shift();
      if (stream !== undefined) return stream;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    const subject = { operation: `close listener ${this.port} of`, id: this.#system.id };
    if (this.#service.isLost) this.letGo();
    else await this.#service.call("closeListener", this.#name, subject, undefined, () => this.letGo());
  }

  letGo(): void {
    this.#isOpen = false;
    for (const stream of this.#dialled) stream.destroy();
    if (this.#system.listeners.get(this.port) === this) this.#system.listeners.delete(this.port);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
