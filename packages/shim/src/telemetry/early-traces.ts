import type { Observation, TraceContext } from "@uvm-shim/lifecycle";
import { randomBytes } from "../system/random.ts";
import type { TelemetryVariables } from "./part.ts";

const traceParentPattern = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-([\da-f]{2})/;
const sampledFlag = 1;

/**
 * The traces of what is observed before telemetry is loaded, so that the guest is told of them too. Under a sampler that
 * takes a choice of its own, it is not told of these.
 */
export class EarlyTraces {
  readonly #spanIds = new WeakMap<Observation, string>();
  readonly #sampler: string;

  constructor({ OTEL_TRACES_SAMPLER: sampler = "" }: TelemetryVariables) {
    this.#sampler = sampler.trim() || "parentbased_always_on";
  }

  traceContextOf(observation: Observation): TraceContext | undefined {
    let root = observation;
    while (root.parent !== undefined) root = root.parent;
    const [, remoteTrace, flags = "00"] = traceParentPattern.exec(root.traceParent ?? "") ?? [];
    const traceId = remoteTrace ?? root.activityId?.replaceAll("-", "").toLowerCase();
    const isSampled = remoteTrace === undefined || (Number.parseInt(flags, 16) & sampledFlag) !== 0;
    const isKept = this.#sampler === "always_on" || (this.#sampler === "parentbased_always_on" && isSampled);
    if (traceId === undefined || !isKept) return undefined;
    const { traceState } = root;
    const traceParent = `00-${traceId}-${this.#madeSpanId(observation)}-01`;
    return { traceParent, ...(traceState !== undefined && { traceState }) };
  }

  /** Of work that somebody was told of. */
  spanIdOf(observation: Observation): string | undefined {
    return this.#spanIds.get(observation);
  }

  #madeSpanId(observation: Observation): string {
    const known = this.#spanIds.get(observation);
    if (known !== undefined) return known;
    const made = randomBytes(8).toString("hex");
    this.#spanIds.set(observation, made);
    return made;
  }
}
