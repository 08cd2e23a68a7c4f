/** A round in which the containers of all cases are in one VM, where a VM of its own for each would take minutes. */

import { removeContainer, runArguments } from "./cases/ctr.ts";
import { ONE_VM_CASES } from "./cases.ts";
import { hasCases, print, type Round, runCase, withContainerd } from "./round.ts";
import type { CaseContext } from "./suite.ts";

export async function runInOneVm(all: Round): Promise<void> {
  const round = { ...all, selection: { ...all.selection, takes: all.selection.takesInOneVm } };
  const { build, selection, images, report, signal } = round;
  if (!hasCases(selection, ONE_VM_CASES)) return;
  print(`containerd ${build.version}, runtime ${selection.runtime.name}, the containers of all cases in one VM`);
  await withContainerd(round, `${build.version}-one-vm`, {}, async (containerd, context) => {
    await containerd.mustCtr(["image", "import", images.archive]);
    let pod: string | undefined;
    for (const one of ONE_VM_CASES) {
      if (signal.aborted) return;
      if (!selection.takes(one.name)) continue;
      try {
        pod ??= await startPod(context);
      } catch (error) {
        report.fail("the VM of all cases", String(error));
        return;
      }
      // After a failure everything has been ended.
      if (!(await runCase(round, one, { ...context, joining: joining(pod) }))) pod = undefined;
    }
    if (pod !== undefined) await removeContainer(context, pod);
  });
}

const joining = (pod: string): readonly string[] => ["--annotation", `io.uvm-shim.sandbox-id=${pod}`];

async function startPod(context: CaseContext): Promise<string> {
  const id = context.newId("vm");
  const options = { id, flags: ["--detach"], command: ["sleep", "100000"] };
  await context.containerd.mustCtr(runArguments(context, options), { signal: context.signal });
  return id;
}
