import { checkHostErrorDocument, checkHostErrorEvent, type HostErrorDocument, SchemaError } from "@uvm-shim/hcs-schema";
import { abortedError, HostError, type HostErrorDetails, hostErrorOf } from "../../host-error.ts";
import { parseHostDocument } from "../../host-files/host-documents.ts";
import { guidBytes } from "../native/structures.ts";

/** What an error of a call names. */
export type Subject = Pick<HostErrorDetails, "operation" | "id">;

/** Whether an HRESULT is a failure. */
export const failed = (hresult: number): boolean => hresult < 0;

/** Limit of text that is kept of an answer that is not a document. */
const shownCharacters = 1000;

/** The error for a failed call. `document` is the error document of the host, if it returned one. */
export function callError(subject: Subject, hresult: number, document?: string): HostError {
  return hostErrorOf({ hresult, ...explanation(document) }, subject);
}

interface Explanation {
  readonly message: string;
  readonly events: readonly string[];
}

/** Reads a ResultError of HCS or an error record of HCN. */
function explanation(document: string | undefined): Explanation {
  const silent = { message: "the host rejected the call", events: [] };
  if (document === undefined || document === "") return silent;
  const record = parse(document);
  if (record === undefined) return { ...silent, events: [document.slice(0, shownCharacters)] };
  const message = [record.ErrorMessage, record.Error].find((text) => typeof text === "string" && text !== "");
  const events = Array.isArray(record.ErrorEvents) ? record.ErrorEvents : [];
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
    const record = parseHostDocument(document);
    return isObject(record) ? checkHostErrorDocument(record) : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads a document of the host. Throws Internal if it is invalid. */
export function readAnswer<Value>(
  subject: Subject,
  document: string | undefined,
  read: (value: unknown) => Value,
): Value {
  try {
    return read(parseHostDocument(document));
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new HostError("Internal", `the host sent an invalid answer: ${cause.message}`, { ...subject, cause });
  }
}

/** The bytes of a GUID. Throws InvalidArgument if it is none. */
export function guidOf(subject: Subject, id: string): Buffer {
  try {
    return guidBytes(id);
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new HostError("InvalidArgument", cause.message, { ...subject, cause });
  }
}

/**
 * Waits for work until the signal aborts. An abort does not interrupt the host; a value that arrives after it goes to
 * `abandon`.
 */
export function unlessAborted<Value>(
  signal: AbortSignal | undefined,
  subject: Subject,
  work: () => Promise<Value>,
  abandon: (value: Value) => Promise<void> | void = () => {},
): Promise<Value> {
  if (signal === undefined) return work();
  if (signal.aborted) return Promise.reject(abortedError(signal, "cancelled before the call was sent", subject));
  return new Promise((resolve, reject) => {
    let abandoned = false;
    const onAbort = (): void => {
      abandoned = true;
      reject(abortedError(signal, "cancelled while waiting for the host", subject));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    work()
      .finally(() => signal.removeEventListener("abort", onAbort))
      .then((value) => (abandoned ? abandon(value) : resolve(value)))
      // After an abort this has no effect; before one, it reports the failure of the work.
      .catch(reject);
  });
}
