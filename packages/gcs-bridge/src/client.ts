import type { Duplex } from "node:stream";
import { describeHresult, type JsonBounds, jsonExcess } from "@uvm-shim/hcs-schema";
import { currentObservation, currentTraceContext, messageOf } from "@uvm-shim/lifecycle";
import { answerBounds, notificationBounds } from "./bounds.ts";
import { type BridgeOptions, FrameChannel } from "./channel.ts";
import { GcsError, type GcsErrorRecord, givenUpError } from "./error.ts";
import { Fields } from "./fields.ts";
import { meaningOfResult } from "./hresult.ts";
import { type ContainerNotification, readNotification } from "./notification.ts";
import type { GcsCapabilities, Procedure, RequestBody, ResponseBody } from "./procedure-bodies.ts";
import { messageTypeOf, procedures } from "./procedures.ts";
import { traceFields } from "./trace.ts";
import { containerNotificationType, type Frame, kindOf, protocolVersion, uvmContainerId } from "./wire.ts";

/** What the host's end of a bridge is made from, beside its stream. */
export interface GcsBridgeClientOptions extends BridgeOptions {
  /** A fresh GUID for a request that nothing observed causes, by which host and guest logs are matched. */
  readonly newActivityId: () => string;
  readonly onNotification: (notification: ContainerNotification) => void;
  /** Called for messages that are ignored: late answers, notifications of unknown types. */
  readonly onIgnored?: (what: string) => void;
  /** Id of the first message; 1 if absent. A guest may still answer messages of an earlier bridge by their ids. */
  readonly firstId?: bigint;
}

/** Answers to messages of an earlier bridge that a guest may send over this one; more are a protocol error. */
const mostStrayAnswers = 1000;

/** Abandoned requests that are remembered for their late answers; older ones are only counted. */
const mostGivenUp = 1024;

interface Subject {
  readonly procedure: Procedure;
  readonly containerId: string;
}

/** A pending request. */
interface Waiter extends Subject {
  readonly answer: (fields: Fields) => void;
  readonly fail: (error: GcsError) => void;
}

/** An abandoned request. It holds only what its answer needs, since the guest may never send one. */
interface GivenUp extends Subject {
  readonly late: LateAnswer<unknown> | undefined;
}

/** Handles the answer to an abandoned request. */
export interface LateAnswer<Made> {
  readonly onMade: (made: Made) => void;
  /** Called if the guest reports a failure, or if the request is forgotten. */
  readonly onNothing?: () => void;
}

/**
 * The host's end of the bridge. A message of the guest only ever fails pending calls: a protocol error fails all of them
 * once with the cause and ends the bridge; a well-formed answer with an invalid field fails its own call.
 */
export class GcsBridgeClient {
  /** Resolves when the bridge has ended, with the cause unless `close` was called. */
  readonly closed: Promise<Error | undefined>;
  readonly #channel: FrameChannel;
  readonly #options: GcsBridgeClientOptions;
  readonly #waiters = new Map<bigint, Waiter>();
  /** Oldest first. */
  readonly #givenUp = new Map<bigint, GivenUp>();
  /** Abandoned requests that are no longer in `#givenUp`. */
  #forgotten = 0;
  readonly #firstId: bigint;
  #nextId: bigint;
  #strayAnswers = 0;
  #closeCause: Error | undefined;

  constructor(stream: Duplex, options: GcsBridgeClientOptions) {
    this.#options = options;
    this.#firstId = options.firstId ?? 1n;
    this.#nextId = this.#firstId;
    this.#channel = new FrameChannel(stream, {
      ...options,
      readsOnlyWhenDrained: false,
      onFrame: (frame) => this.#take(frame),
      takenBytes: (header) => this.#boundsOf(header)?.length ?? 0,
      onClosed: (cause) => this.#failAll(cause),
    });
    this.closed = this.#channel.closed;
  }

  /** Agrees on the protocol version. Must be the first request. */
  async negotiate(signal?: AbortSignal): Promise<GcsCapabilities> {
    const versions = { MinimumVersion: protocolVersion, MaximumVersion: protocolVersion };
    const answer = await this.request("negotiateProtocol", uvmContainerId, versions, signal);
    if (answer.Version !== protocolVersion) {
      throw new GcsError(
        "Unimplemented",
        `the guest chose protocol version ${answer.Version}, expected ${protocolVersion}`,
        {
          procedure: "negotiateProtocol",
        },
      );
    }
    return answer.Capabilities;
  }

  /**
   * Sends a request and returns the checked response. Many may be in flight. Rejects with a GcsError only: the guest's
   * result; Cancelled or DeadlineExceeded if the signal aborts (the guest goes on, and its late answer is passed to the
   * handler of `onGivenUp`, or dropped); Unavailable with `gone` if the bridge ends.
   */
  request<P extends Procedure>(
    procedure: P,
    containerId: string,
    body: RequestBody<P>,
    signal?: AbortSignal,
    onGivenUp?: () => LateAnswer<ResponseBody<P>>,
  ): Promise<ResponseBody<P>> {
    return new Promise((resolve, reject) => {
      const subject = { procedure, containerId };
      if (signal?.aborted) return reject(givenUpError(signal.reason, subject));
      if (!this.#channel.isOpen) return reject(closedError(this.#closeCause, subject));
      const activityId = currentObservation()?.activityId ?? this.#options.newActivityId();
      const message = {
        ContainerId: containerId,
        ActivityId: activityId,
        ...body,
        ...traceFields(currentTraceContext()),
      };
      const bytes = Buffer.from(JSON.stringify(message));
      if (!this.#channel.fits(bytes.length)) {
        const problem = `request of ${bytes.length} bytes: exceeds a frame of ${this.#channel.maxMessageSize} bytes`;
        return reject(new GcsError("ResourceExhausted", problem, subject));
      }

      const id = this.#nextId++;
      const onAbort = (): void => {
        this.#giveUp(id, { ...subject, late: onGivenUp?.() as LateAnswer<unknown> | undefined });
        reject(givenUpError(signal?.reason, subject));
      };
      const settle = (settled: () => void): void => {
        signal?.removeEventListener("abort", onAbort);
        settled();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.set(id, {
        procedure,
        containerId,
        answer: (fields) => settle(() => resolve(procedures[procedure].readResponse(fields))),
        fail: (error) => settle(() => reject(error)),
      });
      this.#channel.send({ type: messageTypeOf("request", procedure), id, body: bytes });
    });
  }

  /** Fails all pending calls. Repeatable. */
  async close(): Promise<void> {
    this.#channel.end(undefined);
    await this.closed;
  }

  /** Undefined for a message whose body is ignored. */
  #boundsOf({ type, id }: Pick<Frame, "type" | "id">): JsonBounds | undefined {
    if (kindOf(type) === "notification") return notificationBounds;
    const givenUp = this.#givenUp.get(id);
    const reader = this.#waiters.get(id) ?? (givenUp?.late && givenUp);
    return reader && answerBounds[reader.procedure];
  }

  #giveUp(id: bigint, givenUp: GivenUp): void {
    this.#waiters.delete(id);
    this.#givenUp.set(id, givenUp);
    if (this.#givenUp.size <= mostGivenUp) return;
    const [[oldest, { late }] = [id, givenUp]] = this.#givenUp;
    this.#givenUp.delete(oldest);
    this.#forgotten += 1;
    late?.onNothing?.();
  }

  #take(frame: Frame): void {
    switch (kindOf(frame.type)) {
      case "response":
        this.#takeResponse(frame);
        break;
      case "notification":
        this.#takeNotification(frame);
        break;
      case "request":
      case undefined:
        throw new GcsError(
          "Internal",
          `unexpected message type 0x${frame.type.toString(16)}: expected a response or a notification`,
        );
    }
  }

  #takeResponse(frame: Frame): void {
    const waiter = this.#waiters.get(frame.id);
    const subject = waiter ?? this.#givenUp.get(frame.id);
    if (subject === undefined) {
      this.#takeStray(frame.id);
      return;
    }
    const expected = messageTypeOf("response", subject.procedure);
    if (frame.type !== expected) {
      throw new GcsError(
        "Internal",
        `response to message id ${frame.id} has type 0x${frame.type.toString(16)}, expected 0x${expected.toString(16)}`,
        subjectOf(subject),
      );
    }
    if (waiter !== undefined) this.#takeAnswer(frame, waiter);
    else this.#takeLate(frame, subject as GivenUp);
  }

  #takeAnswer(frame: Frame, waiter: Waiter): void {
    const text = frame.body.toString("utf8");
    const excess = excessOf(frame, text, answerBounds[waiter.procedure]);
    if (excess !== undefined) {
      this.#waiters.delete(frame.id);
      waiter.fail(invalidAnswerError(excess, waiter));
      return;
    }
    const fields = Fields.parse(text, `response to ${waiter.procedure}`);
    this.#waiters.delete(frame.id);
    try {
      const failure = resultError(fields, waiter);
      if (failure === undefined) waiter.answer(fields);
      else waiter.fail(failure);
    } catch (error) {
      waiter.fail(invalidAnswerError(messageOf(error), waiter, error));
    }
  }

  #takeLate(frame: Frame, { procedure, containerId, late }: GivenUp): void {
    if (late === undefined) {
      this.#givenUp.delete(frame.id);
      this.#options.onIgnored?.(`late answer to ${procedure} ${containerId}`);
      return;
    }
    const text = frame.body.toString("utf8");
    const isExcessive = excessOf(frame, text, answerBounds[procedure]) !== undefined;
    const fields = isExcessive ? undefined : Fields.parse(text, `response to ${procedure}`);
    this.#givenUp.delete(frame.id);
    const made = fields && madeOf(fields, { procedure, containerId });
    if (made === undefined) late.onNothing?.();
    else late.onMade(made);
  }

  /**
   * The real guest sends an answer over the bridge that is current when the answer is ready, by the id of the old
   * message. A message of this bridge is answered once.
   */
  #takeStray(id: bigint): void {
    const isOwn = id >= this.#firstId && id < this.#nextId;
    if (isOwn && this.#forgotten > 0) {
      this.#forgotten -= 1;
      this.#options.onIgnored?.(`late answer to message id ${id}`);
      return;
    }
    this.#strayAnswers += 1;
    if (isOwn || this.#strayAnswers > mostStrayAnswers) {
      throw new GcsError("Internal", `response to message id ${id}, which is not pending`);
    }
    this.#options.onIgnored?.(`answer to message id ${id}, which was not sent over this bridge`);
  }

  #takeNotification(frame: Frame): void {
    const text = frame.body.toString("utf8");
    const excess = excessOf(frame, text, notificationBounds);
    if (excess !== undefined) throw new GcsError("Internal", `invalid notification from the guest: ${excess}`);
    const fields = Fields.parse(text, "notification");
    const notification = frame.type === containerNotificationType ? readNotification(fields) : undefined;
    if (notification === undefined) {
      this.#options.onIgnored?.(`notification of unknown type, message type 0x${frame.type.toString(16)}`);
      return;
    }
    this.#options.onNotification(notification);
  }

  #failAll(cause: Error | undefined): void {
    this.#closeCause = cause;
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    this.#givenUp.clear();
    for (const waiter of waiters) waiter.fail(closedError(cause, subjectOf(waiter)));
  }
}

function subjectOf({ procedure, containerId }: Subject): Subject {
  return { procedure, containerId };
}

function closedError(cause: Error | undefined, subject: Subject): GcsError {
  const why = cause === undefined ? "" : `: ${cause.message}`;
  return new GcsError("Unavailable", `the bridge is closed${why}`, { ...subject, gone: true, cause });
}

function invalidAnswerError(problem: string, subject: Subject, cause?: unknown): GcsError {
  return new GcsError("Internal", `invalid answer from the guest: ${problem}`, { ...subjectOf(subject), cause });
}

/** How a frame exceeds its limits, or undefined. */
function excessOf({ dropped }: Frame, text: string, bounds: JsonBounds): string | undefined {
  return dropped === undefined
    ? jsonExcess(text, bounds)
    : `body of ${dropped} bytes, expected at most ${bounds.length}`;
}

/** The failure that a response reports, or undefined for success. Throws a FieldError. */
function resultError(fields: Fields, subject: Subject): GcsError | undefined {
  const result = fields.result("Result");
  if (result === 0) return undefined;
  const meaning = meaningOfResult(result);
  const guestMessage = fields.optionalText("ErrorMessage") ?? "";
  const description = describeHresult(result);
  const text = guestMessage === "" ? description : `${guestMessage}: ${description}`;
  return new GcsError(meaning.code, text, {
    ...subjectOf(subject),
    hresult: result >>> 0,
    hresultName: meaning.name,
    guestMessage,
    records: fields.list("ErrorRecords", readErrorRecord),
    gone: meaning.gone,
  });
}

/** Undefined for a failure and for an invalid answer. */
function madeOf(fields: Fields, subject: Subject): unknown {
  try {
    return resultError(fields, subject) === undefined ? procedures[subject.procedure].readResponse(fields) : undefined;
  } catch {
    return undefined;
  }
}

function readErrorRecord(value: unknown, path: string): GcsErrorRecord {
  const fields = new Fields(value, path);
  return {
    Result: fields.result("Result") >>> 0,
    Message: fields.text("Message"),
    StackTrace: fields.optionalText("StackTrace") ?? "",
    ModuleName: fields.optionalText("ModuleName") ?? "",
    FileName: fields.optionalText("FileName") ?? "",
    Line: fields.has("Line") ? fields.unsigned32("Line") : 0,
    FunctionName: fields.optionalText("FunctionName") ?? "",
  };
}
