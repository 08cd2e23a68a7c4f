/** The form of W3C Trace Context: version, trace id, parent id, flags. */
const form = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,256})?$/;

/** The `traceparent` of a call's metadata; undefined if there is none, more than one, or an invalid one. */
export function traceParentOf(metadata: ReadonlyMap<string, readonly string[]>): string | undefined {
  const [value, ...more] = metadata.get("traceparent") ?? [];
  return value !== undefined && more.length === 0 && form.test(value) ? value : undefined;
}

/** By W3C Trace Context, what every participant must be able to pass on. */
const longestState = 512;

/** The `tracestate` of a call's metadata, which only counts beside a `traceparent`. */
export function traceStateOf(metadata: ReadonlyMap<string, readonly string[]>): string | undefined {
  const state = (metadata.get("tracestate") ?? []).join(",");
  return state !== "" && state.length <= longestState ? state : undefined;
}

/** The trace id in the form of a GUID. */
export function activityOf(traceParent: string): string | undefined {
  return form.exec(traceParent)?.[1]?.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
