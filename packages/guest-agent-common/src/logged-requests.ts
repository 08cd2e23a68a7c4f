import type { GuestHandlers, RequestContext } from "@uvm-shim/gcs-bridge";
import type { GuestLog, LogFields } from "./log.ts";

type Handler = (body: never, context: RequestContext) => Promise<unknown>;

/**
 * Handlers whose log lines name the activity that the host has asked for, and its trace if the host keeps one; of such a
 * request the log has at least the line that it was answered.
 */
export function loggedRequests(handlers: GuestHandlers, log: GuestLog): GuestHandlers {
  const logged = Object.entries(handlers as { readonly [procedure: string]: Handler }).map(
    ([procedure, handler]) =>
      [procedure, (body: never, context: RequestContext) => answer(procedure, handler, body, context, log)] as const,
  );
  return Object.fromEntries(logged);
}

async function answer(
  procedure: string,
  handler: Handler,
  body: never,
  context: RequestContext,
  log: GuestLog,
): Promise<unknown> {
  return await log.during(fieldsOf(context), async () => {
    try {
      return await handler(body, context);
    } finally {
      if (context.trace !== undefined) log.debug("request answered", { procedure, container: context.containerId });
    }
  });
}

/** By the names that hcsshim's guest agent has for them. */
function fieldsOf({ activityId, trace }: RequestContext): LogFields {
  return {
    ...(activityId !== "" && { activityID: activityId }),
    ...(trace && { traceID: trace.traceId, spanID: trace.spanId }),
  };
}
