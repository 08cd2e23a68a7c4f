/** Runtime options whose effect containerd's own client hides, since it always reads what processes write. */
import assert from "node:assert/strict";
import { containerd } from "@uvm-shim/shim/protocol";
import type { Pod } from "../../shim-client/pod.ts";
import { directoryRootfs, type ProtocolCase, type ProtocolCaseContext, withPod } from "./protocol.ts";

const { Options } = containerd.runhcs.v1;

/** More than the pipes on the way hold. */
const UNREAD_BYTES = 16 * 2 ** 20;

async function unreadOutput(context: ProtocolCaseContext): Promise<void> {
  const runtimeOptions = Options.encode({ ioRetryTimeoutInSec: 1 }).finish();
  const work = async (pod: Pod): Promise<void> => {
    const args = ["sh", "-c", `head -c ${UNREAD_BYTES} /dev/zero; exit 5`];
    const container = await pod.createContainer({ id: "unread", args, rootfs: directoryRootfs(context) });
    await container.start();
    assert.equal(await container.wait(), 5);
    await container.delete();
  };
  await withPod(context, work, { runtimeOptions });
}

export const protocolSettingCases: readonly ProtocolCase[] = [
  { name: "a client that does not read is abandoned after the time that an option sets", run: unreadOutput },
];
