/** A security policy that allows everything, which is the only one that guests without an enforcer accept. */
const decisions = [
  ...["mount_device", "rw_mount_device", "mount_blockdev", "mount_overlay", "create_container"],
  ...["unmount_device", "rw_unmount_device", "unmount_blockdev", "unmount_overlay", "exec_in_container"],
  ...["exec_external", "shutdown_container", "signal_container_process", "plan9_mount", "plan9_unmount"],
  ...["get_properties", "dump_stacks", "runtime_logging", "load_fragment", "scratch_mount", "scratch_unmount"],
  "host_network",
];

export const openPolicy = [
  'package policy\napi_version := "0.12.0"',
  ...decisions.map((name) => `${name} := {"allowed": true}`),
].join("\n");

/** The annotations of a pod with a policy, on a host that isolates no VMs. */
export function policyAnnotations(policy: string): { readonly [key: string]: string } {
  return {
    "io.microsoft.virtualmachine.lcow.securitypolicy": Buffer.from(policy).toString("base64"),
    "io.microsoft.virtualmachine.no_security_hardware": "true",
    // Without layers there is no scratch disk that could be encrypted.
    "io.microsoft.virtualmachine.storage.scratch.encrypted": "false",
  };
}
