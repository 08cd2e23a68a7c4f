/** The cases of `--short`: what a VM has to show, in ten minutes of two processors without KVM. */
export const SHORT_CASES: readonly string[] = [
  // Through containerd's own client, a VM for each.
  "exit code 42",
  "a VM has a kernel of its own",
  "a panic of a VM's kernel ends its containers, and is told as what it is",
  "kill -9 of the serving shim",
  "kill -9 of a VM",
  "kill -9 of the emulated host, whose next start removes what is left",
  "an update of a sandbox's task changes the VM's memory and processors",
  // Kubernetes' runtime interface.
  "CRI: a pod and its containers, from run to remove",
  "CRI: ten containers of a pod at once",
  "CRI: exec with a terminal, attach",
  "CRI: figures of containers and pods, changed limits",
  // The shim's own protocol.
  "two pods in one network reach each other",
  "layers with hash trees are read in a pod with a policy, and none without",
  "a layer's block that does not fit its hash tree is not read",
];
