import type { Duplex } from "node:stream";
import { hresults, SchemaError } from "@uvm-shim/hcs-schema";
import { messageOf } from "@uvm-shim/lifecycle";
import { type BridgeOptions, FrameChannel } from "./channel.ts";
import { GcsError, type GcsErrorRecord, GuestFault } from "./error.ts";
import { FieldError, Fields } from "./fields.ts";
import { type ContainerNotification, encodeNotification } from "./notification.ts";
import type {
  GcsCapabilities,
  NegotiateProtocolRequest,
  NegotiateProtocolResponse,
  Procedure,
  RequestBody,
  ResponseBody,
} from "./procedure-bodies.ts";
import { procedureOfRequest, procedures } from "./procedures.ts";
import { type GuestTrace, readTrace } from "./trace.ts";
import { containerNotificationType, type Frame, kindOf, protocolVersion, responseTypeOf } from "./wire.ts";

/** What a handler is told of a request beside its body. */
export interface RequestContext {
  readonly containerId: string;
  readonly activityId: string;
  /** Absent if the host keeps none of this request. */
  readonly trace?: GuestTrace;
  /** Aborts when the bridge ends, since the answer cannot be sent. */
  readonly signal: AbortSignal;
}

/**
 * Answers one procedure, whose body has been checked. An error becomes the result: a GuestFault its HRESULT, a FieldError
 * or SchemaError HCS_E_INVALID_JSON, anything else E_FAIL.
 */
export type GuestHandler<P extends Procedure> = (
  body: RequestBody<P>,
  context: RequestContext,
) => Promise<ResponseBody<P>>;

/** Procedures without a handler are answered with HCS_E_UNKNOWN_MESSAGE. The server handles the negotiation itself. */
export type GuestHandlers = { readonly [P in Exclude<Procedure, "negotiateProtocol">]?: GuestHandler<P> };

/** What the guest's end of a bridge is made from, beside its stream and its handlers. */
export interface GcsBridgeServerOptions extends BridgeOptions {
  readonly capabilities: GcsCapabilities;
  /** Encodes results, for guests that do not send all of them as HRESULTs. */
  readonly writeResult?: (hresult: number) => number;
}

const maxActivityIdLength = 64;
const maxErrorTextLength = 8192;

/**
 * The guest's end of the bridge. Requests run concurrently, each answered when its handler settles. An invalid request is
 * answered with an error; invalid framing ends the connection.
 */
export class GcsBridgeServer {
  /** Resolves when the bridge has ended, with the cause unless `close` was called. */
  readonly closed: Promise<Error | undefined>;
  readonly #channel: FrameChannel;
  readonly #handlers: GuestHandlers;
  readonly #capabilities: GcsCapabilities;
  readonly #writeResult: (hresult: number) => number;
  readonly #ended = new AbortController();
  #isNegotiated = false;

  constructor(stream: Duplex, handlers: GuestHandlers, options: GcsBridgeServerOptions) {
    this.#handlers = handlers;
    this.#capabilities = options.capabilities;
    this.#writeResult = options.writeResult ?? ((hresult) => hresult);
    this.#channel = new FrameChannel(stream, {
      ...options,
      readsOnlyWhenDrained: true,
      onFrame: (frame) => this.#take(frame),
      onClosed: (cause) =>
        this.#ended.abort(cause ?? new GcsError("Unavailable", "the bridge was closed", { gone: true })),
    });
    this.closed = this.#channel.closed;
  }

  /** Dropped once the bridge has ended. */
  notify(notification: ContainerNotification): void {
    const body = Buffer.from(JSON.stringify(encodeNotification(notification)));
    this.#channel.send({ type: containerNotificationType, id: 0n, body });
  }

  /** Repeatable. */
  async close(): Promise<void> {
    this.#channel.end(undefined);
    await this.closed;
  }

  #take(frame: Frame): void {
    if (kindOf(frame.type) !== "request") {
      throw new GcsError("Internal", `unexpected message type 0x${frame.type.toString(16)}: expected a request`);
    }
    void this.#answer(frame);
  }

  async #answer(frame: Frame): Promise<void> {
    let activityId = "";
    let body: Buffer;
    try {
      const fields = Fields.parse(frame.body.toString("utf8"), "message");
      activityId = readActivityId(fields);
      const containerId = fields.optionalText("ContainerId") ?? "";
      const trace = readTrace(fields);
      const context = { containerId, activityId, ...(trace && { trace }), signal: this.#ended.signal };
      const answer = await this.#run(frame, fields, context);
      body = encodeAnswer({ Result: 0, ...answer }, activityId);
      if (!this.#channel.fits(body.length)) {
        const limit = this.#channel.maxMessageSize;
        throw new GuestFault(
          "HCS_E_PROTOCOL_ERROR",
          `answer of ${body.length} bytes: exceeds a frame of ${limit} bytes`,
        );
      }
    } catch (error) {
      body = encodeAnswer(errorAnswer(error, this.#writeResult), activityId);
    }
    this.#channel.send({ type: responseTypeOf(frame.type), id: frame.id, body });
  }

  async #run(frame: Frame, fields: Fields, context: RequestContext): Promise<object> {
    const procedure = procedureOfRequest(frame.type);
    if (procedure === undefined) {
      throw new GuestFault("HCS_E_UNKNOWN_MESSAGE", `unknown message type 0x${frame.type.toString(16)}`);
    }
    if (procedure === "negotiateProtocol") return this.#negotiate(procedures.negotiateProtocol.readRequest(fields));
    if (!this.#isNegotiated) {
      throw new GuestFault(
        "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
        `${procedure}: the protocol has not been negotiated yet`,
      );
    }
    return await this.#dispatch(procedure, fields, context);
  }

  async #dispatch<P extends Exclude<Procedure, "negotiateProtocol">>(
    procedure: P,
    fields: Fields,
    context: RequestContext,
  ): Promise<object> {
    const handler: GuestHandler<P> | undefined = this.#handlers[procedure];
    if (handler === undefined) throw new GuestFault("HCS_E_UNKNOWN_MESSAGE", `this guest does not serve ${procedure}`);
    return await handler(procedures[procedure].readRequest(fields), context);
  }

  #negotiate({ MinimumVersion, MaximumVersion }: NegotiateProtocolRequest): NegotiateProtocolResponse {
    if (MinimumVersion > protocolVersion || MaximumVersion < protocolVersion) {
      throw new GuestFault(
        "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
        `unsupported protocol versions ${MinimumVersion} to ${MaximumVersion}: this guest supports ${protocolVersion}`,
      );
    }
    this.#isNegotiated = true;
    return { Version: protocolVersion, Capabilities: this.#capabilities };
  }
}

/** Limited because every answer repeats it. */
function readActivityId(fields: Fields): string {
  const text = fields.optionalText("ActivityId") ?? "";
  if (text.length > maxActivityIdLength) throw fields.rejected("ActivityId", "a GUID");
  return text;
}

function encodeAnswer(answer: object, activityId: string): Buffer {
  return Buffer.from(JSON.stringify({ ...answer, ActivityId: activityId }));
}

function errorAnswer(error: unknown, writeResult: (hresult: number) => number): object {
  const hresult =
    error instanceof GuestFault
      ? error.hresult
      : error instanceof FieldError || error instanceof SchemaError
        ? hresults.HCS_E_INVALID_JSON
        : hresults.E_FAIL;
  const result = writeResult(hresult) | 0;
  const message = messageOf(error).slice(0, maxErrorTextLength);
  const record: GcsErrorRecord = {
    Result: result,
    Message: message,
    StackTrace: error instanceof Error ? (error.stack ?? "").slice(0, maxErrorTextLength) : "",
    ModuleName: "guest",
    FileName: "",
    Line: 0,
  };
  return { Result: result, ErrorMessage: message, ErrorRecords: [record] };
}
