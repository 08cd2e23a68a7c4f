/**
 * The trace that a request belongs to. hcsshim adds it to its requests for guests that keep traces; it is no part of the
 * protocol, and other guests ignore it.
 */
import type { TraceContext } from "@uvm-shim/lifecycle";
import type { Fields } from "./fields.ts";

/** What a guest may log of the trace: both are hexadecimal digits. */
export interface GuestTrace {
  readonly traceId: string;
  /** The host's span that the request is. */
  readonly spanId: string;
}

const traceParentPattern = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/;
/** By W3C Trace Context, what every participant must be able to pass on. */
const longestTraceState = 512;

/** The fields of a request: those of hcsshim now, and those of its releases up to 0.14. */
export function traceFields(context: TraceContext | undefined): object {
  const [, TraceID, SpanID, flags = "0"] = traceParentPattern.exec(context?.traceParent ?? "") ?? [];
  if (context === undefined || TraceID === undefined) return {};
  const state = (context.traceState ?? "").length <= longestTraceState ? context.traceState : undefined;
  return {
    otsc: { traceparent: context.traceParent, ...(state && { tracestate: state }) },
    ocsc: {
      ...{ TraceID, SpanID, TraceOptions: Number.parseInt(flags, 16) },
      ...(state && { Tracestate: Buffer.from(JSON.stringify(stateEntries(state))).toString("base64") }),
    },
  };
}

/** The trace of a request; undefined if it has none. Throws a FieldError for fields of other types. */
export function readTrace(fields: Fields): GuestTrace | undefined {
  if (fields.has("otsc")) {
    const otsc = fields.object("otsc");
    otsc.optionalText("tracestate");
    return parsedTraceParent(otsc.optionalText("traceparent") ?? "");
  }
  if (!fields.has("ocsc")) return undefined;
  const ocsc = fields.object("ocsc");
  ocsc.optionalText("Tracestate");
  if (ocsc.has("TraceOptions")) ocsc.unsigned32("TraceOptions");
  return parsedTraceParent(`00-${ocsc.optionalText("TraceID") ?? ""}-${ocsc.optionalText("SpanID") ?? ""}-00`);
}

function parsedTraceParent(text: string): GuestTrace | undefined {
  const [, traceId, spanId] = traceParentPattern.exec(text) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}

function stateEntries(traceState: string): readonly { readonly Key: string; readonly Value: string }[] {
  return traceState.split(",").flatMap((entry) => {
    const equals = entry.indexOf("=");
    return equals < 1 ? [] : [{ Key: entry.slice(0, equals).trim(), Value: entry.slice(equals + 1).trim() }];
  });
}
