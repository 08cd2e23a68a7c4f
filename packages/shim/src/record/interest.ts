/** What of all that is observed is worth a line, and what of it is a failure of the pod. */
import type { Observation, Occurrence } from "@uvm-shim/lifecycle";

/** Calls that clients and the shim itself repeat all the time: recorded only if they fail or take long. */
const frequent: ReadonlySet<string> = new Set([
  ...["Connect", "Pids", "State", "Stats", "Wait"].map((method) => `Task/${method}`),
  ...["PingSandbox", "Platform", "SandboxMetrics", "SandboxStatus", "WaitSandbox"].map((method) => `Sandbox/${method}`),
  ...["getProperties", "measure VM", "ping", "properties", "workingSet"],
]);

/** Observers of the shim, whose calls would be lines about reading lines. */
const silent = /^Inspect\//;

/** The name in a line: of a request, the service's without its package. */
export function nameOf({ kind, name }: Observation): string {
  return kind === "request" ? name.slice(name.lastIndexOf(".", name.indexOf("/")) + 1) : name;
}

/** Whether an observation is worth a line of its own however long it took. */
export function isRare(observation: Observation): boolean {
  const name = nameOf(observation);
  return !frequent.has(name) && !silent.test(name);
}

/** Whether an observation belongs to a request of the Inspect service, of which nothing is recorded. */
export function isSilent(observation: Observation): boolean {
  for (let one: Observation | undefined = observation; one !== undefined; one = one.parent) {
    if (one.kind === "request") return silent.test(nameOf(one));
  }
  return false;
}

const decisive: ReadonlySet<string> = new Set([
  ...["Create", "Start", "Exec", "Update"].map((method) => `Task/${method}`),
  ...["CreateSandbox", "StartSandbox"].map((method) => `Sandbox/${method}`),
]);
/** Whatever a client asked for, these are not its mistakes. */
const loud: ReadonlySet<string> = new Set([
  "Internal",
  "Unavailable",
  "DeadlineExceeded",
  "ResourceExhausted",
  "Unknown",
]);
const bad: ReadonlySet<string> = new Set(["out of memory", "host service lost", "event dropped", "shim crashed"]);

/** What the pod suffered, after which its record is kept; undefined if nothing. */
export function failureOf(occurrence: Occurrence): string | undefined {
  const { name, attributes } = occurrence;
  const isLoss = name === "vm exited" && attributes.isExpected === false;
  return bad.has(name) || isLoss ? name : undefined;
}

/** The same, of work that has failed. */
export function failureOfWork(
  observation: Observation,
  error: { readonly code: string; readonly message: string },
): string | undefined {
  if (observation.kind !== "request" || error.code === "Cancelled") return undefined;
  const name = nameOf(observation);
  return decisive.has(name) || loud.has(error.code) ? `${name}: ${error.message}` : undefined;
}
