import { windowsGuestPaths } from "@uvm-shim/hcs-schema";
import { Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import { type PipeOperation, type PipeState, type PipeStateKind, pipeTable } from "./lifecycle.ts";
import type { SharedItem } from "./reservations.ts";
import type { PipeHost } from "./types.ts";

/** One mapping of a named pipe. After a failure it can only be undone, since the pipe may be mapped all the same. */
export class Pipe implements SharedItem<string> {
  /** What follows `\\.\pipe\`. */
  readonly name: string;
  readonly isKept = false;
  readonly #host: PipeHost;
  readonly #life: Lifecycle<PipeState, PipeStateKind, PipeOperation>;

  constructor(vmId: string, host: PipeHost, name: string) {
    this.#host = host;
    this.name = name;
    this.#life = new Lifecycle(pipeTable, `${vmId} ${this.hostPath}`, { kind: "Reserved" });
  }

  get hostPath(): string {
    return `\\\\.\\pipe\\${this.name}`;
  }

  get title(): string {
    return this.hostPath;
  }

  get state(): PipeState {
    return this.#life.state;
  }

  get isUsable(): boolean {
    return this.state.kind === "Reserved" || this.state.kind === "Mapped";
  }

  async ensureUsable(_name: string, signal?: AbortSignal): Promise<string> {
    if (this.state.kind !== "Mapped") {
      this.#life.require("map");
      try {
        await this.#host.mapPipe(this.hostPath, signal);
      } catch (error) {
        this.#life.fail("map", { kind: "Invalid" });
        throw error;
      }
      this.#life.succeed("map", { kind: "Mapped" });
    }
    return `${windowsGuestPaths.vsmbShares}\\IPC$\\${this.name}`;
  }

  async ensureReleased(signal?: AbortSignal): Promise<void> {
    const { kind } = this.state;
    if (kind === "Unmapped") return;
    try {
      if (kind !== "Reserved") await unlessGone(() => this.#host.unmapPipe(this.hostPath, signal));
    } catch (error) {
      this.#life.fail("unmap", { kind: "Invalid" });
      throw error;
    }
    this.#life.succeed("unmap", { kind: "Unmapped" });
  }
}
