/** Plan9 shares as a virtual machine mounts them: the host serves 9p on a vsock port, each mount by a connection of its own. */
import { closeSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { LinuxMappedDirectory } from "@uvm-shim/hcs-schema";
import type { DialPort } from "../process/stdio-relay.ts";
import type { ShareMounter } from "../storage/storage.ts";

/** As microsoft/hcsshim's guest has it. */
const messageBytes = 65536;
/** The first after the standard ones. */
const connectionOfTool = 3;

/**
 * The kernel speaks 9p over the connection once it is mounted. A program mounts it, since this waits for the host, and can
 * then be given up.
 */
export function dialledShares(dial: DialPort): ShareMounter {
  return async (share, runTool, signal) => {
    const { ShareName, MountPath } = share;
    const options = optionsOf(share);
    const connection = await connect(share, dial, signal);
    try {
      const words = ["-t", "9p", "-o", options, ShareName, MountPath];
      const { exitCode, stderr } = await runTool("mount", words, signal, connection);
      if (exitCode === 0) return;
      throw new GuestFault("ERROR_PATH_NOT_FOUND", `share ${ShareName} could not be mounted: ${stderr.trim()}`);
    } finally {
      closeSync(connection);
    }
  };
}

async function connect(
  { ShareName, Port }: LinuxMappedDirectory,
  dial: DialPort,
  signal: AbortSignal,
): Promise<number> {
  try {
    return await dial(Port, signal);
  } catch (cause) {
    if (signal.aborted) throw cause;
    const why = (cause as Error).message;
    throw new GuestFault("ERROR_PATH_NOT_FOUND", `share ${ShareName} cannot be reached: ${why}`, { cause });
  }
}

/** The host's server has one identity for all users of a share, as Hyper-V's has, and this kernel checks their rights. */
function optionsOf({ ShareName, ReadOnly }: LinuxMappedDirectory): string {
  if (ShareName.includes(",")) {
    const given = JSON.stringify(ShareName);
    throw new GuestFault("E_INVALIDARG", `Request.Settings.ShareName must be a name without commas, got ${given}`);
  }
  return [
    ReadOnly ? "ro" : "rw",
    `trans=fd,rfdno=${connectionOfTool},wfdno=${connectionOfTool}`,
    `version=9p2000.L,msize=${messageBytes},access=any,uname=root,aname=${ShareName}`,
  ].join();
}
