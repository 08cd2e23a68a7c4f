/** Sandboxes on imaginary hosts, for the tests of this package. */
import { createHash } from "node:crypto";
import { checkComputeSystemDocument } from "@uvm-shim/hcs-schema";
import type { Annotations } from "@uvm-shim/sandbox-common/testing";
import { buildWindowsSandbox, type HostFacts, type RootfsMount, type WindowsSandboxRequest } from "../index.ts";

/** The folders of a base layer and of a scratch layer, which `host` has. */
export const layers = { base: "C:\\layers\\base", scratch: "C:\\layers\\pod" };
/** Where `host` has the boot files of confidential VMs. */
export const bootFolder = "C:\\shim\\WindowsBootFiles\\confidential";
/** The folder of a scratch disk, which `host` has. */
export const snapshot = "C:\\snapshots\\7";
const template = `${layers.base}\\UtilityVM\\SystemTemplate.vhdx`;
const bootFiles = ["boot.vhd", "rootfs.vhd", "cwcow.snp.vmgs", "cwcow.vbs.vmgs", "cwcow.gso.vmgs"];

/** What ordinary and confidential sandboxes need. */
export const usualFiles: readonly string[] = [
  template,
  `${snapshot}\\sandbox.vhdx`,
  "C:\\dumps\\any",
  ...bootFiles.map((name) => `${bootFolder}\\${name}`),
];

/** A Windows host with these files. */
export function host(more: Partial<HostFacts> = {}, files: readonly string[] = usualFiles): HostFacts {
  return {
    processors: 8,
    pathGrammar: "windows",
    build: 26_100,
    executableFolder: "C:\\shim",
    hasFile: (path) => files.includes(path),
    hasFolder: (path) => files.some((file) => file.startsWith(`${path}\\`)),
    newId: () => "00000000-0000-4000-8000-000000000001",
    sha256: (data) => createHash("sha256").update(data).digest(),
    ...more,
  };
}

/** A root of layers in folders. */
export const windowsLayer: RootfsMount = {
  type: "windows-layer",
  source: layers.scratch,
  options: [`parentLayerPaths=${JSON.stringify([layers.base])}`],
};

/** A root of an image in a file. */
export const blockCim: RootfsMount = {
  type: "BlockCIM",
  source: snapshot,
  options: [`parentCimPaths=${JSON.stringify(["C:\\snapshots\\1\\layer.bcim\\layer.cim"])}`, "blockCIMType=file"],
};

/** A sandbox with these annotations, whose document a compute service would accept, with its parts at hand. */
export function build(annotations: Annotations = {}, more: Partial<WindowsSandboxRequest> = {}) {
  const request = { owner: "test", vmId: "pod@vm", bundle: "C:\\bundle", rootfs: [windowsLayer], host: host() };
  const built = buildWindowsSandbox({ ...request, annotations, ...more });
  // A compute service must accept every document.
  checkComputeSystemDocument(built.document);
  const { ComputeTopology, Devices, StorageQoS, RegistryChanges } = built.document.VirtualMachine;
  return { ...built, ...ComputeTopology, Devices, StorageQoS, registry: RegistryChanges?.AddValues ?? [] };
}

/** The annotation of the shortest policy. */
export const policy = { "io.microsoft.virtualmachine.wcow.securitypolicy": "e30=" };
/** What a confidential sandbox needs beside its policy. */
export const confidential: Partial<WindowsSandboxRequest> = { rootfs: [blockCim] };
