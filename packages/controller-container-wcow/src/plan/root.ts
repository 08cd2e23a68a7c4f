import type { RootfsMount } from "@uvm-shim/container-common";
import type { OciWindowsSpec } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { type BlockCims, parseWindowsLayers, type WindowsLayers } from "@uvm-shim/sandbox-wcow";
import { refusingAs } from "../specification/annotations.ts";
import type { WindowsPlanOptions } from "./options.ts";
import type { BlockCimPlan, MountedRoot, RootPlan, ScratchPlan } from "./root-plan.ts";

const scratchName = "sandbox.vhdx";

/** How the guest gets a container's root. Refuses layers that are not there. */
export async function planRoot(
  spec: OciWindowsSpec,
  rootfs: readonly RootfsMount[],
  options: WindowsPlanOptions,
  refuse: Refuse,
): Promise<RootPlan> {
  const request = { layerFolders: spec.windows?.layerFolders, rootfs, grammar: options.pathGrammar };
  const layers = refusingAs("", () => parseWindowsLayers(request), refuse);
  const mounted = spec.root?.path ?? "";
  if (/^([A-Za-z]:[\\/]|[\\/]{2})/.test(mounted)) {
    return mountedRoot(mounted, layers, options, refuse);
  }
  switch (layers.kind) {
    case "folders": {
      const parents: string[] = [];
      for (const layer of layers.parents) {
        parents.push(await existing(layer, "directory", `layer ${layer}`, options, refuse));
      }
      return { kind: "folders", layers: parents, scratch: await scratchOf(layers.scratch, parents, options) };
    }
    case "forked CIMs":
      throw refuse(
        "InvalidArgument",
        "rootfs: type is CimFS, expected windows-layer or BlockCIM: virtual machines cannot have forked CIMs",
      );
    case "block CIMs":
      return {
        kind: "block-cims",
        cims: await cimsOf(layers, options, refuse),
        scratch: await cimScratch(layers.scratch, options, refuse),
      };
  }
}

/** A path of the guest. Other paths mean nothing there: clients on Linux write one for every container. */
function mountedRoot(path: string, layers: WindowsLayers, { paths }: WindowsPlanOptions, refuse: Refuse): MountedRoot {
  if (layers.kind === "folders") {
    return { kind: "mounted", path, layers: layers.parents.map((layer) => ({ path: paths.clean(layer) })) };
  }
  const [, id] = /^\\\\\?\\Volume\{([0-9a-f-]{36})\}\\$/i.exec(path) ?? [];
  if (id !== undefined) return { kind: "mounted", path, layers: [{ path, id }] };
  const expected = "\\\\?\\Volume{<GUID>}\\: the layers are CIMs";
  throw refuse("InvalidArgument", `config.json: root.path is ${JSON.stringify(path)}, expected ${expected}`);
}

async function scratchOf(
  folder: string,
  parents: readonly string[],
  { paths, files }: WindowsPlanOptions,
): Promise<ScratchPlan> {
  const hostPath = inFolder(folder, paths);
  if ((await files.kind(hostPath)) !== undefined) return { hostPath, format: false };
  return { hostPath, missing: { folder: paths.clean(folder), parents }, format: false };
}

async function cimScratch(folder: string, options: WindowsPlanOptions, refuse: Refuse): Promise<ScratchPlan> {
  const hostPath = inFolder(folder, options.paths);
  await existing(hostPath, "file", `scratch disk ${hostPath}`, options, refuse);
  return { hostPath, format: options.vm.isConfidential };
}

function inFolder(folder: string, paths: WindowsPlanOptions["paths"]): string {
  return paths.clean(`${folder}/${scratchName}`);
}

async function cimsOf(
  { merged, parents, blockType }: BlockCims,
  options: WindowsPlanOptions,
  refuse: Refuse,
): Promise<readonly BlockCimPlan[]> {
  const cims: BlockCimPlan[] = [];
  for (const { block, name } of merged === undefined ? parents : [merged, ...parents]) {
    if (blockType === "file") {
      const hostPath = await existing(block, "file", `block CIM ${block}`, options, refuse);
      cims.push({ hostPath, type: "VirtualDisk", cimName: name });
    } else {
      // A device's name, without what would make a folder of it.
      cims.push({ hostPath: block.replace(/[\\/]+$/, ""), type: "PassThru", cimName: name });
    }
  }
  return cims;
}

async function existing(
  path: string,
  expected: "file" | "directory",
  what: string,
  { files, paths }: WindowsPlanOptions,
  refuse: Refuse,
): Promise<string> {
  const kind = await files.kind(path);
  if (kind === expected) return paths.clean(path);
  const found = kind === undefined ? "does not exist" : `is a ${kind}`;
  throw refuse("InvalidArgument", `rootfs: ${what} ${found}, expected a ${expected}`);
}
