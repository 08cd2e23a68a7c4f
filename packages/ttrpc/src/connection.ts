import type { Duplex } from "node:stream";
import { Channel, oversize } from "./channel.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { type Frame, type FrameType, frameFlag, frameType } from "./frame.ts";
import { ttrpc } from "./generated/messages.js";
import type { Load } from "./load.ts";
import { MessageQueue } from "./message-queue.ts";
import type { AnyHandler, CallContext, Interceptor, MethodDefinition } from "./service.ts";
import { errorNameOf, statusOf, TtrpcError } from "./status.ts";
import { startTimer } from "./timer.ts";
import type { Turn } from "./turns.ts";

/** A method of a service, and what answers it; nothing does if the implementation leaves it out. */
export interface Method {
  readonly definition: MethodDefinition;
  readonly handler: AnyHandler | undefined;
}

/** A server's options with all defaults filled in. */
export interface ConnectionOptions {
  readonly services: ReadonlyMap<string, ReadonlyMap<string, Method>>;
  readonly maxMessageSize: number;
  readonly maxCallsInFlight: number;
  readonly stallMs: number;
  readonly hangUpMs: number;
  readonly onError: (error: unknown, context?: CallContext) => void;
  readonly interceptor: Interceptor;
  /** What all connections have under way; absent for one that does not count. */
  readonly load: Load | undefined;
  readonly turn: Turn | undefined;
}

interface Call {
  readonly streamId: number;
  readonly context: LazyContext;
  readonly abort: (reason: TtrpcError) => void;
  /** The caller's messages, if the method accepts more than one. */
  readonly requests: MessageQueue<unknown> | undefined;
  /** The caller sends no more messages. */
  remoteClosed: boolean;
  /** A stream gets one response: a protocol error may precede the handler's result. */
  answered: boolean;
  /** Bytes that count for the load of the server. */
  held: number;
}

type MessageFrame = Frame & { readonly kind: "message" };
type RunnableMethod = Method & { readonly handler: AnyHandler };

const noBytes = new Uint8Array();

/** The server's side of one connection. */
export class Connection {
  /** Resolves when the connection has ended, with a reason unless the end was orderly; never rejects. */
  readonly closed: Promise<TtrpcError | undefined>;
  readonly #options: ConnectionOptions;
  readonly #channel: Channel;
  readonly #calls = new Map<number, Call>();
  #lastStreamId = 0;
  #closing = false;
  #answeredAt: number | undefined;
  #stopHangUpTimer: (() => void) | undefined;

  constructor(stream: Duplex, options: ConnectionOptions) {
    this.#options = options;
    const { load, turn } = options;
    this.#channel = new Channel(stream, {
      maxMessageSize: options.maxMessageSize,
      // Stops reading from a caller that does not read its responses, which bounds the responses that wait.
      onFrame: (frame) => this.#receive(frame) ?? (this.#channel.congested ? this.#channel.drained() : undefined),
      onClosed: (reason) => this.#onClosed(reason),
      admit: load && ((length) => load.admit(length)),
      onUnread: load && ((bytes) => load.setUnread(this, bytes)),
      turn,
    });
    this.closed = this.#channel.closed;
  }

  /** Refuses new calls, lets those in flight finish, then ends the connection. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#endWhenIdle();
    await this.closed;
  }

  /** Ends the connection at once; the signals of the calls in flight abort. */
  destroy(reason?: TtrpcError): void {
    this.#channel.destroy(reason);
  }

  #onClosed(reason: TtrpcError | undefined): void {
    this.#stopHangUpTimer?.();
    this.#options.load?.release(this.#channel.unfinishedBytes);
    const gone = new TtrpcError("Cancelled", "The caller's connection ended.", { cause: reason });
    for (const call of this.#calls.values()) {
      call.answered = true;
      call.abort(gone);
    }
    if (reason !== undefined) this.#options.onError(reason);
  }

  #endWhenIdle(): void {
    if (!this.#closing || this.#calls.size > 0) return;
    this.#stopHangUpTimer?.();
    const left = this.#answeredAt === undefined ? 0 : this.#answeredAt + this.#options.hangUpMs - performance.now();
    if (left <= 0) this.#channel.end();
    else this.#stopHangUpTimer = startTimer(left, () => this.#channel.end());
  }

  #answer(streamId: number, type: FrameType, flags: number, payload: Uint8Array): void {
    this.#channel.send(streamId, type, flags, payload);
    this.#answeredAt = performance.now();
  }

  #receive(frame: Frame): Promise<void> | undefined {
    const { streamId, type } = frame;
    if (frame.kind === "unknownType" || type === frameType.response) {
      const accepted = `${frameType.request} (request) or ${frameType.data} (data)`;
      const problem = `stream ${streamId} carries a frame of type ${type}; a server accepts ${accepted}`;
      if (frame.kind === "message") this.#release(frame.payload);
      this.#channel.destroy(new TtrpcError("Internal", `The peer broke the protocol: ${problem}.`));
      return undefined;
    }
    if (frame.kind === "oversize") {
      this.#refuse(streamId, oversize(frame.length, this.#options.maxMessageSize));
      return undefined;
    }
    if (frame.kind === "unadmitted") {
      this.#refuse(streamId, frame.refusal);
      return undefined;
    }
    if (streamId % 2 === 0) {
      this.#release(frame.payload);
      this.#refuse(streamId, new TtrpcError("InvalidArgument", `The stream id ${streamId} must be odd.`));
      return undefined;
    }
    return type === frameType.data ? this.#data(frame) : this.#request(frame);
  }

  /** What was received does not wait any more. */
  #release(payload: Uint8Array): void {
    this.#options.load?.release(payload.length);
  }

  #data({ streamId, flags, payload }: MessageFrame): Promise<void> | undefined {
    const call = this.#calls.get(streamId);
    if (call?.requests === undefined || call.remoteClosed) {
      this.#release(payload);
      const problem = call === undefined ? "is not active" : "accepts no more data";
      this.#refuse(streamId, new TtrpcError("InvalidArgument", `The stream ${streamId} ${problem}.`));
      return undefined;
    }
    const isKept = (flags & frameFlag.noData) === 0 && !call.requests.ended;
    if (isKept) call.held += payload.length;
    else this.#release(payload);
    const hold = isKept ? call.requests.push(payload) : undefined;
    if ((flags & frameFlag.remoteClosed) === 0) return hold;
    call.remoteClosed = true;
    call.requests.end();
    return undefined;
  }

  #request({ streamId, flags, payload }: MessageFrame): Promise<void> | undefined {
    if (streamId <= this.#lastStreamId) {
      const problem = `The stream id ${streamId} must be greater than the last one, ${this.#lastStreamId}.`;
      this.#release(payload);
      this.#answerError(streamId, new TtrpcError("InvalidArgument", problem));
      return undefined;
    }
    this.#lastStreamId = streamId;
    let request: ttrpc.Request;
    let method: RunnableMethod;
    try {
      request = decodeMessage(ttrpc.Request, payload, "The request", "InvalidArgument");
      method = this.#findMethod(request);
      this.#options.load?.beginCall();
    } catch (error) {
      this.#release(payload);
      this.#answerError(streamId, error);
      return undefined;
    }
    const context = new LazyContext(request);
    const onTaken = (bytes: number): void => {
      call.held -= bytes;
      this.#options.load?.release(bytes);
    };
    const requests = this.#requestQueue(streamId, request, method.definition, onTaken);
    const call: Call = {
      streamId,
      context,
      abort: (reason) => {
        context.abort(reason);
        requests?.end(reason);
      },
      requests,
      remoteClosed: (flags & frameFlag.remoteOpen) === 0,
      answered: false,
      held: payload.length,
    };
    // The request may contain the first message of the caller's stream.
    const hold = request.payload.length > 0 ? requests?.push(request.payload) : undefined;
    if (call.remoteClosed) requests?.end();
    const stopTimer = startDeadline(request, call);
    this.#calls.set(streamId, call);
    void this.#run(call, method, request.payload).finally(() => {
      stopTimer();
      call.requests?.end();
      this.#calls.delete(streamId);
      this.#options.load?.release(call.held);
      call.held = 0;
      this.#options.load?.endCall();
      this.#endWhenIdle();
    });
    return call.remoteClosed ? undefined : hold;
  }

  #findMethod(request: ttrpc.Request): RunnableMethod {
    if (this.#closing) throw new TtrpcError("Unavailable", "The server is closing and accepts no new calls.");
    if (this.#calls.size >= this.#options.maxCallsInFlight) {
      const problem = `The connection has ${this.#calls.size} calls in flight, expected fewer than ${this.#options.maxCallsInFlight}.`;
      throw new TtrpcError("ResourceExhausted", problem);
    }
    const service = this.#options.services.get(request.service);
    if (service === undefined) throw new TtrpcError("Unimplemented", `Unknown service ${request.service}.`);
    const method = service.get(request.method);
    if (method?.handler === undefined) {
      throw new TtrpcError("Unimplemented", `Unknown method ${request.method} of the service ${request.service}.`);
    }
    return { definition: method.definition, handler: method.handler };
  }

  #requestQueue(
    streamId: number,
    request: ttrpc.Request,
    definition: MethodDefinition,
    onTaken: (bytes: number) => void,
  ): MessageQueue<unknown> | undefined {
    if (definition.kind === "unary" || definition.kind === "serverStream") return undefined;
    return new MessageQueue<unknown>({
      decode: (payload) =>
        decodeMessage(definition.request, payload, `A message of ${request.method}`, "InvalidArgument"),
      mostBytes: this.#options.maxMessageSize,
      stallMs: this.#options.stallMs,
      onStalled: (error) => this.#refuse(streamId, error),
      onReleased: () => {},
      onTaken,
    });
  }

  async #run(call: Call, method: RunnableMethod, payload: Uint8Array): Promise<void> {
    const { streamId, context } = call;
    try {
      const request = decodedOnce(call, method, payload);
      const response = await this.#options.interceptor(context, () => this.#perform(call, method, request), request);
      if (call.answered) return;
      if (response === undefined) {
        this.#answer(streamId, frameType.data, frameFlag.remoteClosed | frameFlag.noData, noBytes);
      } else {
        this.#answer(streamId, frameType.response, 0, ttrpc.Response.encode({ payload: response }).finish());
      }
      call.answered = true;
    } catch (error) {
      // The reason of an abort tells more than the error that a handler throws because of it.
      const failure = errorNameOf(error) === undefined ? (context.abortReason ?? error) : error;
      if ((errorNameOf(failure) ?? "Internal") === "Internal") this.#options.onError(failure, context);
      if (call.answered) return;
      call.answered = true;
      this.#answerError(streamId, failure);
    }
  }

  /** Runs the handler; resolves with the encoded response, or undefined after a stream of responses. */
  async #perform(call: Call, method: RunnableMethod, request: () => unknown): Promise<Uint8Array | undefined> {
    const { handler, definition } = method;
    const name = `${call.context.service}/${call.context.method}`;
    call.context.throwIfAborted();
    const output = handler(request() as never, call.context);
    switch (definition.kind) {
      case "unary":
      case "clientStream":
        return encodeMessage(definition.response, await output, `The response of ${name}`);
      case "serverStream":
      case "bidi":
        for await (const message of output as AsyncIterable<unknown>) {
          call.context.throwIfAborted();
          const data = encodeMessage(definition.response, message, `A response of ${name}`);
          this.#channel.send(call.streamId, frameType.data, 0, data);
          if (this.#channel.congested) await this.#channel.drained();
        }
        return undefined;
      default:
        return definition.kind satisfies never;
    }
  }

  /** Responds to a stream with a protocol error and ends its call, if there is one. */
  #refuse(streamId: number, error: TtrpcError): void {
    const call = this.#calls.get(streamId);
    if (call?.answered !== true) this.#answerError(streamId, error);
    if (call === undefined) return;
    call.answered = true;
    call.abort(error);
  }

  #answerError(streamId: number, error: unknown): void {
    const payload = ttrpc.Response.encode({ status: statusOf(error) }).finish();
    this.#answer(streamId, frameType.response, 0, payload);
  }
}

/** The request of a call, or the iterable of its requests. Throws for one that cannot be decoded. */
function decodedOnce(call: Call, { definition }: RunnableMethod, payload: Uint8Array): () => unknown {
  const name = `The request of ${call.context.service}/${call.context.method}`;
  let decoded: unknown = call.requests;
  return () => {
    decoded ??= decodeMessage(definition.request, payload, name, "InvalidArgument");
    return decoded;
  };
}

function startDeadline({ timeoutNano }: ttrpc.Request, call: Call): () => void {
  if (timeoutNano === 0) return () => {};
  const elapsed = () => call.abort(new TtrpcError("DeadlineExceeded", "The caller's deadline has passed."));
  if (timeoutNano > 0) return startTimer(timeoutNano / 1e6, elapsed);
  elapsed();
  return () => {};
}

/** Makes what few handlers look at when one does: signal and metadata cost more than all else of a short call. */
class LazyContext implements CallContext {
  readonly service: string;
  readonly method: string;
  readonly deadline: Date | undefined;
  readonly #pairs: ttrpc.Request["metadata"];
  #controller: AbortController | undefined;
  #metadata: CallContext["metadata"] | undefined;
  #abortReason: TtrpcError | undefined;

  constructor(request: ttrpc.Request) {
    const { service, method, timeoutNano, metadata } = request;
    this.service = service;
    this.method = method;
    this.deadline = timeoutNano === 0 ? undefined : new Date(Date.now() + timeoutNano / 1e6);
    this.#pairs = metadata;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get metadata(): CallContext["metadata"] {
    this.#metadata ??= metadataOf(this.#pairs);
    return this.#metadata;
  }

  get abortReason(): TtrpcError | undefined {
    return this.#abortReason;
  }

  abort(reason: TtrpcError): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
  }

  throwIfAborted(): void {
    if (this.#abortReason !== undefined) throw this.#abortReason;
  }
}

const noMetadata: CallContext["metadata"] = new Map();

function metadataOf(pairs: ttrpc.Request["metadata"]): CallContext["metadata"] {
  if (pairs.length === 0) return noMetadata;
  const grouped = Map.groupBy(pairs, ({ key }) => key.toLowerCase());
  return new Map([...grouped].map(([key, pairs]) => [key, pairs.map(({ value }) => value)]));
}
