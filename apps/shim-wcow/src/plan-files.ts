import type { WindowsPlanFiles } from "@uvm-shim/controller-container-wcow";
import type { Clock } from "@uvm-shim/lifecycle";
import { createHostFiles, withBoundedLookups } from "@uvm-shim/platform-common";
import { readNamedFile } from "@uvm-shim/shim";

/** Device extensions, the only texts that are read, have some kilobytes. */
const largestText = 4 * 1024 * 1024;

/** Look-ups on the host's files that a specification names; each is bounded in time. */
export function planFiles(options: Parameters<typeof createHostFiles>[0], clock: Clock): WindowsPlanFiles {
  const files = withBoundedLookups(createHostFiles(options), clock);
  return {
    kind: (path) => files.kind(path),
    readText: async (path) => (await readNamedFile(path, largestText, { clock })).toString("utf8"),
  };
}
