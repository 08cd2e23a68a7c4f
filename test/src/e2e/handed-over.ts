/** Rounds in which a sandboxer serves what `ctr run` makes. */
import { join } from "node:path";
import { DISTRIBUTION } from "../support/programs.ts";
import { FOUND_SANDBOXER_CASES, HANDED_OVER_CASES, HOSTED_SERVICE_CASES } from "./cases.ts";
import { hasCases, print, type Round, runCases, withContainerd } from "./round.ts";
import { SANDBOXER_PLUGIN, SandboxerProcess, sandboxerSocket, USUAL_SOCKET } from "./sandboxer.ts";

/** Cases on a containerd whose shims hand their pods over: to a sandboxer that is named to them, or that they find. */
export async function runHandedOver(round: Round, how: "named" | "found"): Promise<void> {
  const { build, selection, images } = round;
  const { name, program } = selection.runtime;
  const isLast = build === selection.builds.at(-1);
  const named = isLast ? [...HANDED_OVER_CASES, ...HOSTED_SERVICE_CASES] : HANDED_OVER_CASES;
  const cases = how === "named" ? named : FOUND_SANDBOXER_CASES;
  if (!hasCases(selection, cases)) return;
  const whose = how === "named" ? "one that is named" : "the usual one";
  print(`containerd ${build.version}, runtime ${name}, pods handed over to a sandboxer, ${whose}`);
  const directoryName = `${build.version}-${how}`;
  const directory = join(round.directory, directoryName);
  const socket = how === "named" ? sandboxerSocket(directory) : USUAL_SOCKET;
  const variables = how === "named" ? { UVM_SHIM_SANDBOXER: socket } : undefined;
  const handedRound = { ...round, environment: { ...round.environment, ...variables } };
  const options = { ...(build.major >= 2 && { sandboxer: { name: SANDBOXER_PLUGIN, socket } }) };
  await withContainerd(handedRound, directoryName, options, async (containerd, context) => {
    const { address, environment } = containerd;
    const executable = join(DISTRIBUTION, program);
    const sandboxer = new SandboxerProcess({ executable, directory, socket, containerd: address, environment });
    try {
      await sandboxer.start(round.signal);
      await containerd.mustCtr(["image", "import", images.archive]);
      await runCases(round, cases, { ...context, sandboxer });
    } finally {
      await sandboxer.stop();
    }
  });
}
