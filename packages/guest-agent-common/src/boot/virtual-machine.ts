/** Boot in a virtual machine: its init has mounted everything, and the agent is its child. */
import { becomeSubreaper, bringLoopbackUp } from "@uvm-shim/linux-calls";
import { delegateControllers } from "../cgroups/cgroups.ts";
import { agentFolders } from "./guest-folders.ts";

/** Makes of this process what containers need: the parent of orphans, and the groups that theirs are made in. */
export function enterVirtualMachine(): void {
  becomeSubreaper();
  delegateControllers(agentFolders.cgroups, process.pid);
  bringLoopbackUp();
}
