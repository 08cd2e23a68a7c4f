import { type HresultName, hresults } from "@uvm-shim/hcs-schema";

/** A call that is answered with a failure, and perhaps a document that says more. */
export class Refusal extends Error {
  readonly hresult: number;
  readonly events: readonly string[];

  constructor(hresult: number | HresultName, message: string, events: readonly string[] = []) {
    super(message);
    this.hresult = typeof hresult === "number" ? hresult : hresults[hresult];
    this.events = events;
  }
}

/** The failure of whatever was thrown on the way. */
export function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const { code, message = String(error) } = error as { code?: string; message?: string };
  switch (code) {
    case "ENOENT":
      return new Refusal("ERROR_FILE_NOT_FOUND", message);
    case "EEXIST":
      return new Refusal("ERROR_ALREADY_EXISTS", message);
    case "EACCES":
    case "EPERM":
      return new Refusal("E_ACCESSDENIED", message);
    default:
      return new Refusal(error instanceof SyntaxError ? "HCS_E_INVALID_JSON" : "E_FAIL", message);
  }
}
