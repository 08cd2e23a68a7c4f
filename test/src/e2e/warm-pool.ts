/** A round in which a sandboxer keeps VMs ready. */
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { CriClient } from "../cri/client.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { READY_VMS, warmPoolCases } from "./cases/warm-pool.ts";
import { handlerName } from "./cri-case.ts";
import { PAUSE_IMAGE } from "./images.ts";
import { print, type Round, withContainerd } from "./round.ts";
import { SANDBOXER_PLUGIN, SandboxerProcess, sandboxerSocket } from "./sandboxer.ts";
import { endStrays, scopeOf } from "./scope.ts";
import { leavingNothing } from "./suite.ts";

/** What waits for a pod is no pod's, so what is left is looked at when each case's sandboxer has ended. */
export async function runWarmPool(round: Round): Promise<void> {
  const { build, selection, images, report, signal } = round;
  const { name, program } = selection.runtime;
  const cases = warmPoolCases.filter((one) => selection.takes(one.name));
  if (cases.length === 0) return;
  print(`containerd ${build.version}, Container Runtime Interface, a sandboxer with ${READY_VMS} VMs ready`);
  await mustRun("busybox", ["ip", "link", "set", "dev", "lo", "up"]);
  const directoryName = `${build.version}-pool`;
  const directory = join(round.directory, directoryName);
  const handler = {
    ...({ name: handlerName(name, "sandboxer"), runtime: name } as const),
    ...({ form: "sandboxer", hasPluginNetworks: false } as const),
  };
  const options = {
    cri: { sandboxImage: PAUSE_IMAGE, handlers: [handler], restrictsOomScores: false },
    sandboxer: { name: SANDBOXER_PLUGIN, socket: sandboxerSocket(directory) },
  };
  await withContainerd(round, directoryName, options, async (containerd, context) => {
    const { address, environment } = containerd;
    const cri = new CriClient(address);
    try {
      await containerd.mustCtr(["image", "import", images.archive]);
      for (const one of cases) {
        if (signal.aborted) return;
        const sandboxer = new SandboxerProcess({
          ...{ executable: join(DISTRIBUTION, program), directory, containerd: address, environment },
          flags: ["-warm-pool", `${READY_VMS}`],
        });
        const work = async (): Promise<void> => {
          await sandboxer.start(signal);
          try {
            await one.run({ ...context, cri, sandboxer, forms: ["sandboxer"] });
          } finally {
            await sandboxer.stop();
          }
        };
        const passed = await report.run(
          one.name,
          () => leavingNothing(scopeOf(containerd, selection.runtime), signal, work),
          () => `the sandboxer's log:\n${sandboxer.log().slice(-6000)}`,
        );
        if (!passed) await endStrays(context);
      }
    } finally {
      cri.close();
    }
  });
}
