/** OCI specifications of Windows pods, as containerd for Windows writes them. */
import { containerd } from "@uvm-shim/shim/protocol";
import type { PodSpecs, ProcessOptions, Specification } from "./spec.ts";

const { Options } = containerd.runhcs.v1;
/** Of the enumeration `SandboxIsolation`. */
const hypervisorIsolation = 1;
const containerType = "io.kubernetes.cri.container-type";
const sandboxId = "io.kubernetes.cri.sandbox-id";

function windowsProcess(options: ProcessOptions): { readonly [field: string]: unknown } {
  return {
    terminal: options.terminal ?? false,
    user: { uid: 0, gid: 0, username: "ContainerUser" },
    args: options.args,
    env: options.environment ?? [],
    cwd: "C:\\",
    ...options.fields,
  };
}

/** Of pods in a Hyper-V utility VM. */
export const windowsSpecs: PodSpecs = {
  process: windowsProcess,
  container: ({ hostname, podId, ...process }): Specification => ({
    ociVersion: "1.1.0",
    hostname,
    process: windowsProcess(process),
    root: { path: "" },
    mounts: [],
    annotations: { [containerType]: "container", [sandboxId]: podId },
    windows: { layerFolders: [], hyperv: {} },
  }),
  sandbox: ({ id, annotations, networkNamespace }) => ({
    ociVersion: "1.1.0",
    hostname: "pod",
    process: windowsProcess({ args: ["c:\\windows\\system32\\cmd.exe"] }),
    root: { path: "" },
    annotations: { [containerType]: "sandbox", [sandboxId]: id, ...annotations },
    windows: {
      layerFolders: [],
      hyperv: {},
      ...(networkNamespace !== undefined && { network: { networkNamespace } }),
    },
  }),
};

/** The annotation that has the same folder as `utilityVmOptions`. */
export const utilityVmAnnotation = "io.microsoft.virtualmachine.bootfilesrootpath";

/** `containerd.runhcs.v1.Options`, encoded, of pods that have no layers of their own: the folder has the VM's files. */
export function utilityVmOptions(bootFilesRootPath: string): Uint8Array {
  return Options.encode({ bootFilesRootPath, sandboxIsolation: hypervisorIsolation }).finish();
}
