/** Sandboxes on imaginary hosts, for the tests of this package. */
import { createHash } from "node:crypto";
import { checkComputeSystemDocument } from "@uvm-shim/hcs-schema";
import { buildLinuxSandbox, type HostFacts, type LinuxSandboxRequest } from "../index.ts";

/** The beginning of the keys about a VM. */
export const vm = "io.microsoft.virtualmachine.";
/** The beginning of the keys about a VM's processors and memory. */
export const topology = `${vm}computetopology.`;

/** Where `host` has its boot files. */
export const bootFolder = "/opt/shim/LinuxBootFiles";

/** A POSIX host with these files; names without a folder are boot files beside the shim. */
export function host(more: Partial<HostFacts> = {}, files: readonly string[] = ["kernel", "initrd.img"]): HostFacts {
  const paths = files.map((name) => (/[\\/]/.test(name) ? name : `${bootFolder}/${name}`));
  let ids = 0;
  return {
    processors: 8,
    pathGrammar: "posix",
    hasFile: (path) => paths.includes(path),
    hasFolder: (path) => paths.some((file) => file.startsWith(path)),
    executableFolder: "/opt/shim",
    newId: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`,
    sha256: (data) => createHash("sha256").update(data).digest(),
    ...more,
  };
}

/** A Windows host with these files. */
export function windowsHost(more: Partial<HostFacts> = {}, files: readonly string[] = []): HostFacts {
  return host(
    {
      pathGrammar: "windows",
      executableFolder: "C:\\ContainerPlat",
      programFiles: "C:\\Program Files",
      build: 26_100,
      ...more,
    },
    files,
  );
}

/** Annotations by key. */
export interface Annotations {
  readonly [key: string]: string;
}

/** A sandbox with these annotations, whose document a compute service would accept, with its parts at hand. */
export function build(annotations: Annotations = {}, more: Partial<LinuxSandboxRequest> = {}) {
  const request = { owner: "test", bundle: "/run/bundle", annotations, host: host(), ...more };
  const built = buildLinuxSandbox(request);
  // A compute service must accept every document.
  checkComputeSystemDocument(built.document);
  const { Chipset, ComputeTopology, Devices, StorageQoS } = built.document.VirtualMachine;
  return { ...built, boot: Chipset.LinuxKernelDirect, ...ComputeTopology, Devices, StorageQoS };
}

/** Matches a refusal. */
export function refusal(key: string, code = "InvalidArgument"): { readonly code: string; readonly key: string } {
  return { code, key };
}
