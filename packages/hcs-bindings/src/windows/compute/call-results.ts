import { checkHostErrorDocument, checkHostErrorEvent, type HostErrorDocument, SchemaError } from "@uvm-shim/hcs-schema";
import { abortedError, HostError, type HostErrorDetails, hostErrorOf } from "../../host-error.ts";
import { parseHostDocument } from "../../host-files/host-documents.ts";

export type Subject = Pick<HostErrorDetails, "operation" | "id">;

/** Whether an HRESULT is a failure. */
export const failed = (hresult: number): boolean => hresult < 0;

/** Words of the host that are no document are kept up to this length. */
const shownCharacters = 1000;

/** The error of a call that was answered with a failure, and perhaps with a document that says more of it. */
export function refusal(subject: Subject, hresult: number, document?: string): HostError {
  return hostErrorOf({ hresult, ...explanation(document) }, subject);
}

interface Explanation {
  readonly message: string;
  readonly events: readonly string[];
}

/** Reads a ResultError of HCS, or an error record of HCN. */
function explanation(document: string | undefined): Explanation {
  const silent = { message: "the host refused", events: [] };
  if (document === undefined || document === "") return silent;
  const told = parse(document);
  if (told === undefined) return { ...silent, events: [document.slice(0, shownCharacters)] };
  const message = [told.ErrorMessage, told.Error].find((text) => typeof text === "string" && text !== "");
  const events = Array.isArray(told.ErrorEvents) ? told.ErrorEvents : [];
  return {
    message: typeof message === "string" ? message.trim() : silent.message,
    events: events.flatMap((event: unknown) => {
      const text = isObject(event) ? checkHostErrorEvent(event).Message : undefined;
      return typeof text === "string" && text !== "" ? [text.slice(0, shownCharacters)] : [];
    }),
  };
}

function parse(document: string): HostErrorDocument | undefined {
  try {
    const told = parseHostDocument(document);
    return isObject(told) ? checkHostErrorDocument(told) : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a document of the host says, as its reader makes it out. Internal when it cannot. */
export function understood<Value>(
  subject: Subject,
  document: string | undefined,
  read: (value: unknown) => Value,
): Value {
  try {
    return read(parseHostDocument(document));
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new HostError("Internal", `the host's answer is not understood: ${cause.message}`, { ...subject, cause });
  }
}

/**
 * Waits for work until the signal aborts; the host is not interrupted by that. What comes after the abort, and nobody
 * waits for, goes to `abandon`.
 */
export function unlessAborted<Value>(
  signal: AbortSignal | undefined,
  subject: Subject,
  work: () => Promise<Value>,
  abandon: (value: Value) => Promise<void> | void = () => {},
): Promise<Value> {
  if (signal === undefined) return work();
  if (signal.aborted) return Promise.reject(abortedError(signal, "cancelled before it was sent", subject));
  return new Promise((resolve, reject) => {
    let abandoned = false;
    const onAbort = (): void => {
      abandoned = true;
      reject(abortedError(signal, "cancelled while the host was at it", subject));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    work()
      .finally(() => signal.removeEventListener("abort", onAbort))
      .then((value) => (abandoned ? abandon(value) : resolve(value)))
      // After an abort nobody is left to tell; before one, this is the failure of the work itself.
      .catch(reject);
  });
}
