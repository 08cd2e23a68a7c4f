import type { Duplex } from "node:stream";
import { Channel, oversize } from "./channel.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { type Frame, frameFlag, frameType, protocolMaxMessageSize } from "./frame.ts";
import { ttrpc } from "./generated/messages.js";
import { MessageQueue } from "./message-queue.ts";
import type { Decoded, Encodable, MethodDefinition, ServiceDefinition } from "./service.ts";
import { errorNameOf, errorOf, TtrpcError } from "./status.ts";
import { startTimer } from "./timer.ts";

/** Bounds of a client; each has a default. */
export interface TtrpcClientOptions {
  /** Largest payload of a frame in bytes, either way; default: the protocol's 4 MiB. */
  readonly maxMessageSize?: number;
  /** How long in milliseconds a stream may be left unread before it fails; default 1000. */
  readonly stallMs?: number;
}

/** What one call is sent with, and what may end it. */
export interface CallOptions {
  /** Ends the call with Cancelled. ttrpc has no message for that: the server notices only a timeout or a lost connection. */
  readonly signal?: AbortSignal;
  /** Ends the call with DeadlineExceeded, on both sides. Must be positive. */
  readonly timeoutMs?: number;
  readonly metadata?: { readonly [key: string]: string | readonly string[] };
}

type MethodsOfKind<S extends ServiceDefinition, Kind> = {
  [Method in keyof S["methods"]]: S["methods"][Method]["kind"] extends Kind ? Method : never;
}[keyof S["methods"]] &
  string;

type UnaryMethod<S extends ServiceDefinition> = MethodsOfKind<S, "unary">;
type StreamMethod<S extends ServiceDefinition> = MethodsOfKind<S, "serverStream" | "clientStream" | "bidi">;

type RequestOf<S extends ServiceDefinition, M extends keyof S["methods"]> = Encodable<S["methods"][M]["request"]>;
type ResponseOf<S extends ServiceDefinition, M extends keyof S["methods"]> = Decoded<S["methods"][M]["response"]>;

/** One request for a stream of responses, otherwise a stream of requests. */
export type StreamInput<
  S extends ServiceDefinition,
  M extends keyof S["methods"],
> = S["methods"][M]["kind"] extends "serverStream" ? RequestOf<S, M> : AsyncIterable<RequestOf<S, M>>;

/** One response for a stream of requests, otherwise a stream of responses. */
export type StreamOutput<
  S extends ServiceDefinition,
  M extends keyof S["methods"],
> = S["methods"][M]["kind"] extends "clientStream" ? Promise<ResponseOf<S, M>> : AsyncIterable<ResponseOf<S, M>>;

type MessageFrame = Frame & { readonly kind: "message" };

/** Receives the frames of one call. */
interface Receiver {
  receive(frame: MessageFrame): Promise<void> | undefined;
  fail(error: TtrpcError): void;
}

interface OpenCall {
  readonly target: Target;
  readonly receiver: Receiver;
  /** Releases the call's timer and signal. */
  readonly release: () => void;
}

interface Target {
  readonly name: string;
  readonly service: string;
  readonly method: string;
  readonly definition: MethodDefinition;
}

const lastStreamId = 2 ** 32 - 1;
const noBytes = new Uint8Array();

/** Calls services over one connection; any number of calls may be in flight. */
export class TtrpcClient {
  /** Resolves when the connection has ended, with a reason unless a side closed it in order; never rejects. */
  readonly closed: Promise<TtrpcError | undefined>;
  readonly #channel: Channel;
  readonly #maxMessageSize: number;
  readonly #stallMs: number;
  readonly #calls = new Map<number, OpenCall>();
  #nextStreamId = 1;

  constructor(stream: Duplex, options: TtrpcClientOptions = {}) {
    this.#maxMessageSize = options.maxMessageSize ?? protocolMaxMessageSize;
    this.#stallMs = options.stallMs ?? 1000;
    this.#channel = new Channel(stream, {
      maxMessageSize: this.#maxMessageSize,
      onFrame: (frame) => this.#receive(frame),
      onClosed: (reason) => this.#onClosed(reason),
    });
    this.closed = this.#channel.closed;
  }

  /** Calls a unary method. Rejects with a TtrpcError: the server's status, or the reason why there is no response. */
  async call<S extends ServiceDefinition, M extends UnaryMethod<S>>(
    service: S,
    method: M,
    request: RequestOf<S, M>,
    options: CallOptions = {},
  ): Promise<ResponseOf<S, M>> {
    const target = targetOf(service, method);
    const { response } = this.#single(target, 0, () => encodeRequest(target, request), options);
    return (await response) as ResponseOf<S, M>;
  }

  /**
   * Calls a streaming method. The returned promise or iterator fails with TtrpcErrors. Leaving a response stream early
   * ends the call on this side; ttrpc has no message to the server for that.
   */
  stream<S extends ServiceDefinition, M extends StreamMethod<S>>(
    service: S,
    method: M,
    input: StreamInput<S, M>,
    options: CallOptions = {},
  ): StreamOutput<S, M> {
    return this.#stream(targetOf(service, method), input, options) as StreamOutput<S, M>;
  }

  /** Ends the connection; calls in flight fail with Unavailable. */
  close(): void {
    this.#channel.destroy();
  }

  #stream(target: Target, input: unknown, options: CallOptions): Promise<unknown> | AsyncIterable<unknown> {
    const { kind } = target.definition;
    switch (kind) {
      case "unary":
        throw new TypeError(`${target.name} is unary: use call.`);
      case "serverStream":
        return this.#many(target, frameFlag.remoteClosed, () => encodeRequest(target, input), options).responses;
      case "clientStream": {
        const { streamId, response } = this.#single(target, frameFlag.remoteOpen, () => noBytes, options);
        void this.#sendAll(streamId, target, input as AsyncIterable<unknown>);
        return response;
      }
      case "bidi": {
        const { streamId, responses } = this.#many(target, frameFlag.remoteOpen, () => noBytes, options);
        void this.#sendAll(streamId, target, input as AsyncIterable<unknown>);
        return responses;
      }
      default:
        return kind satisfies never;
    }
  }

  /** Opens a call with one response. */
  #single(target: Target, flags: number, encode: () => Uint8Array, options: CallOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const streamId = this.#open(target, flags, encode, options, {
      receive: ({ type, streamId, payload }) => {
        this.#finish(streamId);
        try {
          if (type !== frameType.response)
            throw new TtrpcError("Internal", `${target.name} received data instead of a response.`);
          resolve(decodeResponse(target, responsePayload(target, payload)));
        } catch (error) {
          reject(error);
        }
        return undefined;
      },
      fail: reject,
    });
    return { streamId, response: promise };
  }

  /** Opens a call with a stream of responses. */
  #many(target: Target, flags: number, encode: () => Uint8Array, options: CallOptions) {
    let streamId: number | undefined;
    const responses = new MessageQueue<unknown>({
      decode: (payload) => decodeResponse(target, payload),
      mostBytes: this.#maxMessageSize,
      stallMs: this.#stallMs,
      onStalled: (error) => this.#fail(streamId, error),
      onReleased: () => this.#finish(streamId),
    });
    streamId = this.#open(target, flags, encode, options, {
      receive: (frame) => this.#receiveMany(target, responses, frame),
      fail: (error) => responses.end(error),
    });
    return { streamId, responses };
  }

  #receiveMany(target: Target, responses: MessageQueue<unknown>, frame: MessageFrame): Promise<void> | undefined {
    if (frame.type === frameType.data) {
      const hold = (frame.flags & frameFlag.noData) === 0 ? responses.push(frame.payload) : undefined;
      if ((frame.flags & frameFlag.remoteClosed) === 0) return hold;
      this.#finish(frame.streamId);
      responses.end();
      return undefined;
    }
    this.#finish(frame.streamId);
    try {
      // A server may end a stream with a last message instead of data; an empty one only ends it.
      const payload = responsePayload(target, frame.payload);
      if (payload.length > 0) void responses.push(payload);
      responses.end();
    } catch (error) {
      responses.end(error as TtrpcError);
    }
    return undefined;
  }

  /** Sends the request frame. Returns undefined on failure, after it has passed the error to the receiver. */
  #open(
    target: Target,
    flags: number,
    encode: () => Uint8Array,
    options: CallOptions,
    receiver: Receiver,
  ): number | undefined {
    const { signal, timeoutMs } = options;
    const cancelled = () => new TtrpcError("Cancelled", `${target.name} was cancelled.`, { cause: signal?.reason });
    const expired = () => new TtrpcError("DeadlineExceeded", `${target.name} took longer than ${timeoutMs} ms.`);
    const streamId = this.#nextStreamId;
    try {
      if (this.#channel.isClosed) throw new TtrpcError("Unavailable", `${target.name}: the connection has ended.`);
      if (signal?.aborted === true) throw cancelled();
      if (timeoutMs !== undefined && !(timeoutMs > 0)) throw expired();
      if (streamId > lastStreamId) throw new TtrpcError("Unavailable", "The connection has no stream ids left.");
      const request = ttrpc.Request.encode({
        service: target.service,
        method: target.method,
        payload: encode(),
        timeoutNano: timeoutMs === undefined ? 0 : Math.min(Math.ceil(timeoutMs * 1e6), Number.MAX_SAFE_INTEGER),
        metadata: metadataPairs(options.metadata ?? {}),
      });
      this.#nextStreamId += 2;
      const onAbort = () => this.#fail(streamId, cancelled());
      const stopTimer =
        timeoutMs === undefined ? () => {} : startTimer(timeoutMs, () => this.#fail(streamId, expired()));
      const release = () => {
        signal?.removeEventListener("abort", onAbort);
        stopTimer();
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#calls.set(streamId, { target, receiver, release });
      // Last, because an in-memory stream may deliver the response before send returns.
      this.#channel.send(streamId, frameType.request, flags, request.finish());
      return streamId;
    } catch (error) {
      this.#finish(streamId);
      receiver.fail(error as TtrpcError);
      return undefined;
    }
  }

  async #sendAll(streamId: number | undefined, target: Target, requests: AsyncIterable<unknown>): Promise<void> {
    if (streamId === undefined) return;
    try {
      for await (const request of requests) {
        if (!this.#calls.has(streamId)) return;
        this.#channel.send(streamId, frameType.data, 0, encodeRequest(target, request));
        if (this.#channel.congested) await this.#channel.drained();
      }
    } catch (error) {
      const problem = `The requests of ${target.name} ended in an error: ${String(error)}`;
      this.#fail(streamId, new TtrpcError(errorNameOf(error) ?? "Cancelled", problem, { cause: error }));
      return;
    }
    if (!this.#calls.has(streamId)) return;
    this.#channel.send(streamId, frameType.data, frameFlag.remoteClosed | frameFlag.noData, noBytes);
  }

  #receive(frame: Frame): Promise<void> | undefined {
    const { streamId, type } = frame;
    if (frame.kind === "unknownType" || type === frameType.request) {
      const accepted = `${frameType.response} (response) or ${frameType.data} (data)`;
      const problem = `stream ${streamId} carries a frame of type ${type}; a client accepts ${accepted}`;
      this.#channel.destroy(new TtrpcError("Internal", `The peer broke the protocol: ${problem}.`));
      return undefined;
    }
    if (frame.kind === "oversize") {
      this.#fail(streamId, oversize(frame.length, this.#maxMessageSize));
      return undefined;
    }
    if (frame.kind === "unadmitted") {
      this.#fail(streamId, frame.refusal);
      return undefined;
    }
    // Frames of a call that has ended on this side are normal: the server does not know of the end.
    return this.#calls.get(streamId)?.receiver.receive(frame);
  }

  #onClosed(reason: TtrpcError | undefined): void {
    for (const [streamId, { target }] of this.#calls) {
      const problem = `${target.name}: the connection ended before the answer.`;
      this.#fail(streamId, new TtrpcError("Unavailable", problem, { cause: reason }));
    }
  }

  #fail(streamId: number | undefined, error: TtrpcError): void {
    const receiver = this.#finish(streamId);
    receiver?.fail(error);
  }

  /** Forgets a call. Idempotent. */
  #finish(streamId: number | undefined): Receiver | undefined {
    if (streamId === undefined) return undefined;
    const call = this.#calls.get(streamId);
    this.#calls.delete(streamId);
    call?.release();
    return call?.receiver;
  }
}

function targetOf(service: ServiceDefinition, method: string): Target {
  const definition = service.methods[method];
  const name = `${service.name}/${method}`;
  if (definition === undefined) throw new TypeError(`${name} is not defined.`);
  return { name, service: service.name, method, definition };
}

function encodeRequest(target: Target, message: unknown): Uint8Array {
  return encodeMessage(target.definition.request, message, `A request of ${target.name}`);
}

function decodeResponse(target: Target, payload: Uint8Array): unknown {
  return decodeMessage(target.definition.response, payload, `A response of ${target.name}`, "Internal");
}

/** The payload of a response frame; throws if the response is an error. */
function responsePayload(target: Target, frame: Uint8Array): Uint8Array {
  const response = decodeMessage(ttrpc.Response, frame, `The response frame of ${target.name}`, "Internal");
  const error = errorOf(response.status);
  if (error !== undefined) throw error;
  return response.payload;
}

function metadataPairs(metadata: { readonly [key: string]: string | readonly string[] }): ttrpc.KeyValue.Input[] {
  return Object.entries(metadata).flatMap(([key, values]) =>
    [values].flat().map((value) => ({ key: key.toLowerCase(), value })),
  );
}
