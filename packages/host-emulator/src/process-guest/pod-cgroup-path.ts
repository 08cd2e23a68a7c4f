import { HcsFailure } from "../hcs-failure.ts";

const longestName = 255;
/** systemd's name for the root of each hierarchy. */
const rootSlice = "-.slice";

/**
 * The path of a pod's cgroup from the root of each hierarchy, by what OCI specifications call `cgroupsPath`: the path
 * itself, or `slice:prefix:name` where systemd has the groups in order, whose slices lie in those that their names begin
 * with. Throws an HcsFailure for what is neither.
 */
export function podPath(name: string): string {
  const refuse = (why: string) => new HcsFailure("E_INVALIDARG", `path: cgroup ${JSON.stringify(name)} ${why}`);
  const [slice = "", prefix = "", unit = "", ...more] = name.split(":");
  const isSystemds = name.includes(":");
  if (isSystemds && (!slice.endsWith(".slice") || slice.includes("/") || unit === "" || more.length > 0)) {
    throw refuse('has colons, expected is "slice:prefix:name"');
  }
  if (isSystemds && slice !== rootSlice && slice.slice(0, -".slice".length).split("-").includes("")) {
    throw refuse("has a slice with an empty word, expected are words with single dashes between them");
  }
  const path = isSystemds ? [...slicesOf(slice), `${prefix === "" ? "" : `${prefix}-`}${unit}.scope`].join("/") : name;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0) throw refuse("is the root, expected is a group of the pod's own");
  if (parts.includes("..")) throw refuse('leads upwards, expected is a path without ".."');
  if (parts.some((part) => Buffer.byteLength(part) > longestName || part.includes("\0"))) {
    throw refuse(`has a part that can be no file name, expected are at most ${longestName} bytes`);
  }
  return `/${parts.join("/")}`;
}

function slicesOf(slice: string): readonly string[] {
  if (slice === rootSlice) return [];
  const words = slice.slice(0, -".slice".length).split("-");
  return words.map((_, index) => `${words.slice(0, index + 1).join("-")}.slice`);
}
