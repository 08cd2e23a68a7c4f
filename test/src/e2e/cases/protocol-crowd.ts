/** Many containers of one pod at once. */
import assert from "node:assert/strict";
import type { PodContainer } from "../../shim-client/pod.ts";
import { besideBusyProcesses, CROWD } from "../../support/crowd.ts";
import { directoryRootfs, type ProtocolCase, type ProtocolCaseContext, withPod } from "./protocol.ts";

async function deletedAtOnce(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const containers: PodContainer[] = [];
    for (let count = 0; count < CROWD.containers; count++) {
      const container = await pod.createContainer({
        id: `c${count}`,
        args: ["true"],
        rootfs: directoryRootfs(context),
      });
      await container.start();
      assert.equal(await container.wait(), 0);
      containers.push(container);
    }
    await besideBusyProcesses(async () => {
      const outcomes = await Promise.allSettled(containers.map((container) => container.delete()));
      const failures = outcomes.filter(({ status }) => status === "rejected");
      assert.deepEqual(failures, []);
    });
  });
}

export const protocolCrowdCases: readonly ProtocolCase[] = [
  { name: "containers deleted at once beside busy processes: none of the deletions times out", run: deletedAtOnce },
];
