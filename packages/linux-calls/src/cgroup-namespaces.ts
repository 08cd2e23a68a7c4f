import { invoke } from "./libc.ts";

const CLONE_NEWCGROUP = 0x02000000;

/** Makes the groups that this thread is in the roots of what it, and all that it starts, sees of cgroups. */
export function enterNewCgroupNamespace(): void {
  invoke("unshare", "CLONE_NEWCGROUP", CLONE_NEWCGROUP);
}
