import type { GuestRequestType } from "@uvm-shim/hcs-schema";
import { observe, withDeadline } from "@uvm-shim/lifecycle";
import type { GcsBridgeClient, LateAnswer } from "../client.ts";
import { GcsError, givenUpError } from "../error.ts";
import type { GcsCapabilities, Procedure, RequestBody, ResponseBody } from "../procedure-bodies.ts";
import { uvmContainerId } from "../wire.ts";
import type { GuestOptions } from "./types.ts";

/** A modify request of any flavour. */
export interface ModifyRequest {
  readonly ResourceType?: string;
  /** In place of the type, of a container. */
  readonly ResourcePath?: string;
  readonly RequestType: GuestRequestType;
  readonly Settings?: unknown;
}

/** How guests of one flavour take requests. */
export interface GuestManners<Request extends ModifyRequest> {
  /** In milliseconds; undefined for a request without a bound. */
  boundOf<P extends Procedure>(procedure: P, body: RequestBody<P>): number | undefined;
  /** Requests about the same resource of the guest have the same name; empty if the type of the resource is enough. */
  resourceOf(request: Request): string;
  /** The request that undoes an addition; undefined if there is none. */
  removalOf(addition: Request): Request | undefined;
}

/** An abandoned addition, which the guest may yet perform. */
interface LateAddition {
  /** The last request about the same resource. */
  last: GuestRequestType;
}

/**
 * The requests to one guest. Only a wait for an exit may exceed its bound; every other caller is released by the bound or
 * by its own signal. A request cannot be cancelled, so a late answer is still handled: what the guest has made is undone,
 * or logged.
 */
export class GuestRequests<Request extends ModifyRequest = ModifyRequest> {
  readonly #bridge: GcsBridgeClient;
  readonly #options: Pick<GuestOptions, "delay" | "log">;
  readonly #manners: GuestManners<Request>;
  /** By resource. */
  readonly #late = new Map<string, Set<LateAddition>>();
  readonly #undoing = new Map<string, Promise<void>>();

  constructor(bridge: GcsBridgeClient, options: Pick<GuestOptions, "delay" | "log">, manners: GuestManners<Request>) {
    this.#bridge = bridge;
    this.#options = options;
    this.#manners = manners;
  }

  /** A failure ends the bridge, so no answer can be late. */
  async negotiate(milliseconds: number, signal?: AbortSignal): Promise<GcsCapabilities> {
    let unanswered: GcsError | undefined;
    try {
      const negotiate = (until: AbortSignal) =>
        observe({ kind: "guest-request", name: "negotiateProtocol" }, () => this.#bridge.negotiate(until));
      return await withDeadline(negotiate, {
        ...{ clock: this.#options, milliseconds, signal },
        error: () => {
          const message = `the guest did not answer within ${milliseconds} ms`;
          unanswered = new GcsError("DeadlineExceeded", message, { procedure: "negotiateProtocol" });
          return unanswered;
        },
      });
    } catch (error) {
      throw unanswered ?? error;
    }
  }

  /** As the bridge's `request`; DeadlineExceeded once the request's bound has passed. */
  request<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    signal?: AbortSignal,
  ): Promise<ResponseBody<P>> {
    return this.#send(procedure, containerId, body, signal, () =>
      this.#lateAnswer(procedure, containerId, this.#subjectOf(procedure, body)),
    );
  }

  /** In a scope of its own, so that nothing else of the call is kept for an answer that may never come. */
  #lateAnswer(procedure: Procedure, containerId: string, subject: string): LateAnswer<unknown> {
    // A query changes nothing, and is often abandoned: by the watch of a process, as soon as its exit is known.
    if (procedure === "getProperties") return { onMade: () => {} };
    const message = "late answer from the guest to an abandoned request";
    return { onMade: () => this.#logOf(message, procedure, containerId, subject) };
  }

  /** A request that makes something: a late result is passed to `undo`, which must not reject. */
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
   * Changes the VM itself. The owner of an abandoned addition requests its removal, possibly before the guest has
   * performed the addition; then it is removed again.
   */
  async modify(request: Request, signal?: AbortSignal): Promise<void> {
    const { RequestType: type } = request;
    const resource = this.#manners.resourceOf(request);
    const removal = type === "Add" ? this.#manners.removalOf(request) : undefined;
    // A resource may be removed as one of another type than it was added as.
    const key = `${(removal ?? request).ResourceType} ${resource}`;
    const body = { Request: request };
    await unlessGivenUp(this.#undoing.get(key), signal);
    for (const late of this.#late.get(key) ?? []) late.last = type;
    if (removal === undefined || resource === "") {
      await this.request("modifySettings", uvmContainerId, body, signal);
      return;
    }
    await this.#send("modifySettings", uvmContainerId, body, signal, () => this.#expectLate(key, request, removal));
  }

  #expectLate(key: string, request: Request, removal: Request): LateAnswer<unknown> {
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
        // Its owner knows that it may exist, and will remove it or has added it again.
        this.#log("the guest has performed an abandoned addition", "modifySettings", uvmContainerId, body);
        return;
      }
      this.#log(
        "the guest added a resource after its removal: removing it again",
        "modifySettings",
        uvmContainerId,
        body,
      );
      const undoing = this.#removeAgain(removal).finally(() => {
        if (this.#undoing.get(key) === undoing) this.#undoing.delete(key);
      });
      this.#undoing.set(key, undoing);
    };
    return { onMade, onNothing: forget };
  }

  async #removeAgain(removal: Request): Promise<void> {
    const body = { Request: removal };
    try {
      await this.request("modifySettings", uvmContainerId, body);
    } catch (error) {
      if (error instanceof GcsError && error.gone) return;
      this.#log("cannot remove a resource that the guest added too late", "modifySettings", uvmContainerId, body, {
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
    const subject = this.#subjectOf(procedure, body);
    const attributes = { container: containerId, ...(subject !== "" && { subject }) };
    const answer = observe({ kind: "guest-request", name: procedure, attributes }, () =>
      this.#bridge.request(procedure, containerId, body, givenUp.signal, onGivenUp),
    );
    signal?.addEventListener("abort", () => givenUp.abort(givenUpError(signal.reason, details)), {
      signal: settled.signal,
    });
    const bound = this.#manners.boundOf(procedure, body);
    if (bound !== undefined) {
      this.#options.delay(bound, settled.signal).then(
        () => givenUp.abort(this.#unansweredError(procedure, containerId, body, bound)),
        () => {},
      );
    }
    try {
      return await answer;
    } catch (error) {
      // Only the bridge knows whether the answer or the abort came first.
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
    this.#logOf(message, procedure, containerId, this.#subjectOf(procedure, body), more);
  }

  #logOf(message: string, procedure: Procedure, containerId: string, subject: string, more: object = {}): void {
    this.#options.log.log("warn", message, { procedure, containerId, ...(subject !== "" && { subject }), ...more });
  }

  #unansweredError<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    bound: number,
  ): GcsError {
    const subject = this.#subjectOf(procedure, body);
    const message = `the guest did not answer within ${bound} ms`;
    return new GcsError("DeadlineExceeded", subject === "" ? message : `${subject}: ${message}`, {
      procedure,
      containerId,
    });
  }

  /** Names the subject of a request, beside its procedure and container; empty if these are enough. */
  #subjectOf<P extends Procedure>(procedure: P, body: RequestBody<P>): string {
    if (procedure === "modifySettings") {
      const request = guestRequestOf<Request>(body);
      const resource = this.#manners.resourceOf(request);
      const { RequestType: type, ResourceType, ResourcePath } = request;
      return `${type} ${ResourceType ?? ResourcePath}${resource === "" ? "" : ` of ${resource}`}`;
    }
    const { ProcessId: pid } = body as { readonly ProcessId?: number };
    return pid === undefined ? "" : `process ${pid}`;
  }
}

/** The bridge leaves modify requests untyped; those of each flavour are typed. */
export function guestRequestOf<Request extends ModifyRequest>(body: unknown): Request {
  return (body as { readonly Request: Request }).Request;
}

/** Waits for work that cannot fail, until the caller's signal aborts. */
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
