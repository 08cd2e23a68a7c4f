import type { Duplex } from "node:stream";
import { describeHresult, type JsonBounds, jsonExcess } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import { answerBounds, notificationBounds } from "./bounds.ts";
import { type BridgeOptions, FrameChannel } from "./channel.ts";
import { GcsError, type GcsErrorRecord, givenUpError } from "./error.ts";
import { Fields } from "./fields.ts";
import { meaningOfResult } from "./hresult.ts";
import { type ContainerNotification, readNotification } from "./notification.ts";
import { type GcsCapabilities, type Procedure, procedures, type RequestBody, type ResponseBody } from "./procedures.ts";
import { containerNotificationType, type Frame, kindOf, messageType, protocolVersion, uvmContainerId } from "./wire.ts";

export interface GcsBridgeClientOptions extends BridgeOptions {
  /** A fresh GUID for each request, by which host and guest logs are matched. */
  readonly newActivityId: () => string;
  readonly onNotification: (notification: ContainerNotification) => void;
  /** Told of what the guest sent and nobody takes: late answers, notifications of unknown types. */
  readonly onIgnored?: (what: string) => void;
  /** Of the first message; 1 when absent. A guest that has spoken with a host before may still answer that one's. */
  readonly firstId?: bigint;
}

/** Answers to messages of an earlier bridge that a guest may send over this one; more are no mistake of the past. */
const mostStrayAnswers = 1000;

/**
 * Requests that nobody waits for any more and that are known all the same, since their answers may yet come: so many,
 * and of those before only how many they are.
 */
const mostGivenUp = 1024;

interface Subject {
  readonly procedure: Procedure;
  readonly containerId: string;
}

/** One request that awaits its answer. */
interface Waiter extends Subject {
  readonly answer: (fields: Fields) => void;
  readonly fail: (error: GcsError) => void;
}

/** One whose caller has left. It holds no more than its answer may need, as a guest may never give one. */
interface GivenUp extends Subject {
  readonly late: LateAnswer<unknown> | undefined;
}

/** What becomes of an answer that comes when its caller has left. */
export interface LateAnswer<Made> {
  readonly onMade: (made: Made) => void;
  /** The guest has failed, or the answer is waited for no longer. */
  readonly onNothing?: () => void;
}

/**
 * The host's end of the bridge. Nothing that the guest sends throws outside the calls that await it: what breaks the
 * protocol fails every waiter once with the cause and ends the bridge; an answer that is well formed and lacks a
 * field fails its own waiter.
 */
export class GcsBridgeClient {
  /** Resolves when the bridge has ended, with the cause when `close` was not called. */
  readonly closed: Promise<Error | undefined>;
  readonly #channel: FrameChannel;
  readonly #options: GcsBridgeClientOptions;
  readonly #waiters = new Map<bigint, Waiter>();
  /** The oldest first. */
  readonly #givenUp = new Map<bigint, GivenUp>();
  /** Given up, and not known any more. */
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

  /** Agrees on the protocol version; the first thing to ask of a guest. */
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
   * Sends a request and answers with the checked response. Many may be in flight. Rejects with a GcsError only: the
   * guest's result, Cancelled or DeadlineExceeded when the signal aborts (the guest goes on, and its late answer is
   * given to what `onGivenUp` tells, or dropped), Unavailable with `gone` when the bridge ends.
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
      const message = { ContainerId: containerId, ActivityId: this.#options.newActivityId(), ...body };
      const bytes = Buffer.from(JSON.stringify(message));
      if (!this.#channel.fits(bytes.length)) {
        const limit = `the request has ${bytes.length} bytes, a frame may have ${this.#channel.maxMessageSize}`;
        return reject(new GcsError("ResourceExhausted", limit, subject));
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
      this.#channel.send({ type: messageType("request", procedures[procedure].number), id, body: bytes });
    });
  }

  /** Ends the bridge. Whoever still waits is told so. Repeatable. */
  async close(): Promise<void> {
    this.#channel.end(undefined);
    await this.closed;
  }

  /** Undefined for what is not looked at. */
  #boundsOf({ type, id }: Pick<Frame, "type" | "id">): JsonBounds | undefined {
    if (kindOf(type) === "notification") return notificationBounds;
    const givenUp = this.#givenUp.get(id);
    const looking = this.#waiters.get(id) ?? (givenUp?.late && givenUp);
    return looking && answerBounds[looking.procedure];
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
          `message type 0x${frame.type.toString(16)}: a host takes responses and notifications`,
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
    const expected = messageType("response", procedures[subject.procedure].number);
    if (frame.type !== expected) {
      throw new GcsError(
        "Internal",
        `response to message id ${frame.id} of type 0x${frame.type.toString(16)}, expected 0x${expected.toString(16)}`,
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
   * The reference's guest sends what it owes over whichever bridge there is when it falls due, under the old message's id.
   * What this host has sent itself it answers once.
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
      throw new GcsError("Internal", `response to message id ${id}, which awaits none`);
    }
    this.#options.onIgnored?.(`answer to message id ${id}, which is of no request over this bridge`);
  }

  #takeNotification(frame: Frame): void {
    const text = frame.body.toString("utf8");
    const excess = excessOf(frame, text, notificationBounds);
    if (excess !== undefined) throw new GcsError("Internal", `invalid notification of the guest: ${excess}`);
    const fields = Fields.parse(text, "notification");
    const notification = frame.type === containerNotificationType ? readNotification(fields) : undefined;
    if (notification === undefined) {
      this.#options.onIgnored?.(`notification of an unknown type, message type 0x${frame.type.toString(16)}`);
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
  return new GcsError("Internal", `invalid answer of the guest: ${problem}`, { ...subjectOf(subject), cause });
}

/** In what a frame exceeds its bounds, or undefined. */
function excessOf({ dropped }: Frame, text: string, bounds: JsonBounds): string | undefined {
  return dropped === undefined
    ? jsonExcess(text, bounds)
    : `a body of ${dropped} bytes was dropped, expected at most ${bounds.length}`;
}

/** The error that a response tells, or undefined for success. Throws a FieldError. */
function resultError(fields: Fields, subject: Subject): GcsError | undefined {
  const result = fields.result("Result");
  if (result === 0) return undefined;
  const meaning = meaningOfResult(result);
  const guestMessage = fields.optionalText("ErrorMessage") ?? "";
  const told = describeHresult(result);
  const text = guestMessage === "" ? told : `${guestMessage}: ${told}`;
  return new GcsError(meaning.code, text, {
    ...subjectOf(subject),
    hresult: result >>> 0,
    hresultName: meaning.name,
    guestMessage,
    records: fields.list("ErrorRecords", readErrorRecord),
    gone: meaning.gone,
  });
}

/** Undefined for a failure, and for what is no answer. */
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
