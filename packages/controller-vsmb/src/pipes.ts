import { refusing } from "@uvm-shim/lifecycle";
import type { PipeStateKind } from "./lifecycle.ts";
import { Pipe } from "./pipe.ts";
import { Reservations } from "./reservations.ts";
import type { PipeHost } from "./types.ts";

/** What a `PipeController` is made from. */
export interface PipeControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: PipeHost;
  /** A new id for a reservation. */
  readonly newId: () => string;
}

/** One mapped pipe, for diagnostics. */
export interface PipeView {
  readonly hostPath: string;
  readonly holders: number;
  readonly state: PipeStateKind;
}

/**
 * Named pipes of the host in one Windows VM. A caller reserves a pipe, maps it, and finally unmaps it, even if mapping
 * failed; a failed unmap is repeated until it succeeds. A pipe is mapped once, however many users it has.
 */
export class PipeController {
  readonly #id: string;
  readonly #reservations: Reservations<string, Pipe>;

  constructor({ id, host, newId }: PipeControllerOptions) {
    this.#id = id;
    const newItem = (name: string): Pipe => new Pipe(id, host, name);
    this.#reservations = new Reservations({ id, subject: "pipe", newId, newItem });
  }

  get pipes(): readonly PipeView[] {
    return this.#reservations.all.map(({ holders, item }) => ({
      hostPath: item.hostPath,
      holders: holders.size,
      state: item.state.kind,
    }));
  }

  /** Returns the reservation's id; after an error there is nothing to undo. InvalidArgument: it is not a named pipe. */
  async reserve(hostPath: string): Promise<string> {
    const name = pipeNameOf(hostPath);
    if (name === undefined) {
      throw refusing("reserve pipe", `${this.#id} ${hostPath}`)(
        "InvalidArgument",
        `hostPath is ${JSON.stringify(hostPath)}, expected a named pipe of this machine such as \\\\.\\pipe\\docker_engine`,
      );
    }
    return this.#reservations.reserve(name.toUpperCase(), name);
  }

  /**
   * Maps the pipe where the VM does not have it yet, and returns the path in the guest. Repeatable. After a failure the
   * reservation remains: map again, or unmap. NotFound: no such reservation.
   */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    return this.#reservations.map(reservation, signal);
  }

  /**
   * Releases the reservation; the last one unmaps the pipe. What is gone counts as done, as does an unknown
   * reservation. A failed unmap keeps the reservation; the next attempt continues where it stopped.
   */
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    return this.#reservations.unmap(reservation, signal);
  }
}

/** The name in `\\.\pipe\<name>` or `\\?\pipe\<name>`; undefined for any other path. */
export function pipeNameOf(path: string): string | undefined {
  if (path.includes("\0")) return undefined;
  return /^[\\/]{2}[.?][\\/]pipe[\\/](?![\\/])(.+)$/is.exec(path)?.[1];
}
