/** Specifications, layers and options of Windows pods, as containerd for Windows has them. */
import { containerd } from "@uvm-shim/shim/protocol";
import type { Mount } from "./pod.ts";
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

/** Further fields of a specification, and others in place of the usual ones. */
export interface WindowsFields {
  /** Added to the usual ones, as the annotations are. */
  readonly windows?: object;
  readonly annotations?: object;
  readonly [field: string]: unknown;
}

export function withWindowsFields(fields: WindowsFields): (usual: Specification) => object {
  return (usual) => ({
    ...usual,
    ...fields,
    annotations: { ...(usual.annotations as object), ...fields.annotations },
    windows: { ...(usual.windows as object), ...fields.windows },
  });
}

/** The root of a container, or of a pod's own task: the shim makes its scratch disk in that folder. */
export function windowsLayers(scratch: string, layers: readonly string[]): Mount {
  return { type: "windows-layer", source: scratch, options: [`parentLayerPaths=${JSON.stringify(layers)}`] };
}

/** The annotation that has the same folder as `utilityVmOptions`. */
export const utilityVmAnnotation = "io.microsoft.virtualmachine.bootfilesrootpath";

/** `containerd.runhcs.v1.Options`, encoded, of pods that have no layers of their own: the folder has the VM's files. */
export function utilityVmOptions(bootFilesRootPath: string): Uint8Array {
  return Options.encode({ bootFilesRootPath, sandboxIsolation: hypervisorIsolation }).finish();
}
