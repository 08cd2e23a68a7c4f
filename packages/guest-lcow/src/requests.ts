import {
  type GcsBridgeClient,
  type GcsCapabilities,
  GcsError,
  givenUpError,
  type LateAnswer,
  type Procedure,
  type RequestBody,
  type ResponseBody,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import type { GuestRequestType, LinuxGuestRequest } from "@uvm-shim/hcs-schema";
import { withDeadline } from "@uvm-shim/lifecycle";
import { boundOf, procedureBounds, resourceOf, subjectOf } from "./bounds.ts";
import type { LinuxGuestOptions } from "./types.ts";

/** Nobody waits any more for the guest to add something, and it may yet do so. */
interface LateAddition {
  /** What was asked of the same resource last. */
  last: GuestRequestType;
}

/**
 * The requests to one guest. None but a wait for an exit waits longer than its bound; who is released by that, or by
 * their own signal, is told so at once. A request cannot be taken back, so an answer that comes after that is looked
 * at all the same: what the guest has made for nobody is undone, or it is written to the log.
 */
export class GuestRequests {
  readonly #bridge: GcsBridgeClient;
  readonly #options: Pick<LinuxGuestOptions, "delay" | "log">;
  /** By resource. */
  readonly #late = new Map<string, Set<LateAddition>>();
  readonly #undoing = new Map<string, Promise<void>>();

  constructor(bridge: GcsBridgeClient, options: Pick<LinuxGuestOptions, "delay" | "log">) {
    this.#bridge = bridge;
    this.#options = options;
  }

  /** Agrees on the protocol. Who fails at that ends the bridge, so nothing can come late. */
  async negotiate(signal?: AbortSignal): Promise<GcsCapabilities> {
    const milliseconds = procedureBounds.negotiateProtocol;
    let unanswered: GcsError | undefined;
    try {
      return await withDeadline((until) => this.#bridge.negotiate(until), {
        ...{ clock: this.#options, milliseconds, signal },
        error: () => {
          const message = `the guest has not answered within ${milliseconds} ms`;
          unanswered = new GcsError("DeadlineExceeded", message, { procedure: "negotiateProtocol" });
          return unanswered;
        },
      });
    } catch (error) {
      throw unanswered ?? error;
    }
  }

  /** As the bridge's `request`, within the request's bound: DeadlineExceeded, naming it, when that has passed. */
  request<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    signal?: AbortSignal,
  ): Promise<ResponseBody<P>> {
    return this.#send(procedure, containerId, body, signal, () =>
      this.#lateAnswer(procedure, containerId, subjectOf(procedure, body)),
    );
  }

  /** In a scope of its own: a guest may never answer, and until then nothing else of the call shall be kept. */
  #lateAnswer(procedure: Procedure, containerId: string, subject: string): LateAnswer<unknown> {
    // A question leaves nothing behind, and whoever watches a process drops one as soon as its exit is told.
    if (procedure === "getProperties") return { onMade: () => {} };
    const message = "the guest has answered what nobody waits for any more";
    return { onMade: () => this.#logOf(message, procedure, containerId, subject) };
  }

  /** A request that makes something: what comes of it too late is given to `undo`, which must not reject. */
  make<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    signal: AbortSignal | undefined,
    undo: (made: ResponseBody<P>) => Promise<void>,
  ): Promise<ResponseBody<P>> {
    return this.#send(procedure, containerId, body, signal, () => ({ onMade: (made) => void undo(made) }));
  }

  /**
   * Changes something of the VM itself. A resource that was given up is asked to be removed by its owner, which may
   * come before the guest has added it at all; then it is removed again.
   */
  async modify(request: LinuxGuestRequest, signal?: AbortSignal): Promise<void> {
    const { RequestType: type } = request;
    const resource = resourceOf(request);
    const key = `${request.ResourceType} ${resource}`;
    const body = { Request: request };
    await unlessGivenUp(this.#undoing.get(key), signal);
    for (const late of this.#late.get(key) ?? []) late.last = type;
    if (type !== "Add" || resource === "") {
      await this.request("modifySettings", uvmContainerId, body, signal);
      return;
    }
    await this.#send("modifySettings", uvmContainerId, body, signal, () => this.#expectLate(key, request));
  }

  #expectLate(key: string, request: LinuxGuestRequest): LateAnswer<unknown> {
    const addition: LateAddition = { last: "Add" };
    const additions = this.#late.get(key) ?? new Set();
    this.#late.set(key, additions.add(addition));
    const forget = (): void => {
      additions.delete(addition);
      if (additions.size === 0) this.#late.delete(key);
    };
    const onMade = (): void => {
      forget();
      const body = { Request: request };
      if (addition.last !== "Remove") {
        // Its owner knows that it may be there, and has it removed or wants it again.
        this.#log("the guest has added what nobody waits for any more", "modifySettings", uvmContainerId, body);
        return;
      }
      this.#log("the guest has added what was removed, so it is removed again", "modifySettings", uvmContainerId, body);
      const undoing = this.#removeAgain(request).finally(() => {
        if (this.#undoing.get(key) === undoing) this.#undoing.delete(key);
      });
      this.#undoing.set(key, undoing);
    };
    return { onMade, onNothing: forget };
  }

  async #removeAgain(request: LinuxGuestRequest): Promise<void> {
    const body = { Request: { ...request, RequestType: "Remove" } } as const;
    try {
      await this.request("modifySettings", uvmContainerId, body);
    } catch (error) {
      if (error instanceof GcsError && error.gone) return;
      this.#log("what the guest added too late could not be removed", "modifySettings", uvmContainerId, body, {
        error,
      });
    }
  }

  async #send<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    signal: AbortSignal | undefined,
    onGivenUp: () => LateAnswer<ResponseBody<P>>,
  ): Promise<ResponseBody<P>> {
    const details = { procedure, containerId };
    if (signal?.aborted) throw givenUpError(signal.reason, details);
    const givenUp = new AbortController();
    const settled = new AbortController();
    const answer = this.#bridge.request(procedure, containerId, body, givenUp.signal, onGivenUp);
    signal?.addEventListener("abort", () => givenUp.abort(givenUpError(signal.reason, details)), {
      signal: settled.signal,
    });
    const bound = boundOf(procedure, body);
    if (bound !== undefined) {
      this.#options.delay(bound, settled.signal).then(
        () => givenUp.abort(unansweredError(procedure, containerId, body, bound)),
        () => {},
      );
    }
    try {
      return await answer;
    } catch (error) {
      // The bridge alone knows which came first, the answer or the end of patience.
      const isGivenUp = givenUp.signal.aborted && error instanceof GcsError && error.cause === givenUp.signal.reason;
      throw isGivenUp ? givenUp.signal.reason : error;
    } finally {
      settled.abort();
    }
  }

  #log<P extends Procedure>(
    message: string,
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    more: { readonly error?: unknown } = {},
  ): void {
    this.#logOf(message, procedure, containerId, subjectOf(procedure, body), more);
  }

  #logOf(message: string, procedure: Procedure, containerId: string, subject: string, more: object = {}): void {
    this.#options.log.log("warn", message, { procedure, containerId, ...(subject !== "" && { subject }), ...more });
  }
}

/** Waits for work that does not fail, as long as the caller does. */
async function unlessGivenUp(work: Promise<void> | undefined, signal: AbortSignal | undefined): Promise<void> {
  if (work === undefined) return;
  const done = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      const giveUp = (): void =>
        reject(givenUpError(signal?.reason, { procedure: "modifySettings", containerId: uvmContainerId }));
      signal?.addEventListener("abort", giveUp, { signal: done.signal });
      if (signal?.aborted) giveUp();
      void work.then(resolve);
    });
  } finally {
    done.abort();
  }
}

function unansweredError<P extends Procedure>(
  procedure: P,
  containerId: string,
  body: RequestBody<P>,
  bound: number,
): GcsError {
  const subject = subjectOf(procedure, body);
  const message = `the guest has not answered within ${bound} ms`;
  return new GcsError("DeadlineExceeded", subject === "" ? message : `${subject}: ${message}`, {
    procedure,
    containerId,
  });
}
