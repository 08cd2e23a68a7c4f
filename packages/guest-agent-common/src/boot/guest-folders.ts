/** Folders of the guest that are the agent's own; `@uvm-shim/host-protocol` has those that the host fills. */
export const agentFolders = {
  /** State of the OCI runtime. */
  runtimeState: "/run/oci",
  /** Files that the agent passes to a program that it runs, for one call. */
  scratch: "/run/agent",
  cgroups: "/sys/fs/cgroup",
} as const;
