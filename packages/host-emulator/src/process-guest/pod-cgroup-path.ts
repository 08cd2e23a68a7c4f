import { HcsFailure } from "../hcs-failure.ts";

const longestName = 255;
/** Name of the root slice in systemd. */
const rootSlice = "-.slice";

/**
 * The path of a pod's cgroup from the root of each hierarchy, for a `cgroupsPath` of OCI: a path, or `slice:prefix:name`
 * with systemd, whose slices are nested by the parts of their names. Throws an HcsFailure for an invalid name.
 */
export function podPath(name: string): string {
  const refuse = (why: string) => new HcsFailure("E_INVALIDARG", `path: cgroup ${JSON.stringify(name)} ${why}`);
  const [slice = "", prefix = "", unit = "", ...more] = name.split(":");
  const isSystemds = name.includes(":");
  if (isSystemds && (!slice.endsWith(".slice") || slice.includes("/") || unit === "" || more.length > 0)) {
    throw refuse('is invalid: expected "slice:prefix:name" or a path without colons');
  }
  if (isSystemds && slice !== rootSlice && slice.slice(0, -".slice".length).split("-").includes("")) {
    throw refuse("has an invalid slice: expected words separated by single dashes");
  }
  const path = isSystemds ? [...slicesOf(slice), `${prefix === "" ? "" : `${prefix}-`}${unit}.scope`].join("/") : name;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0) throw refuse("is the root: expected a group for the pod");
  if (parts.includes("..")) throw refuse('leads upwards: expected a path without ".."');
  if (parts.some((part) => Buffer.byteLength(part) > longestName || part.includes("\0"))) {
    throw refuse(`has an invalid part: expected at most ${longestName} bytes without NUL`);
  }
  return `/${parts.join("/")}`;
}

function slicesOf(slice: string): readonly string[] {
  if (slice === rootSlice) return [];
  const words = slice.slice(0, -".slice".length).split("-");
  return words.map((_, index) => `${words.slice(0, index + 1).join("-")}.slice`);
}
