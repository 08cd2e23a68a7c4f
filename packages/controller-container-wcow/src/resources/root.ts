import { reservedStep } from "@uvm-shim/container-common";
import type { WindowsCombinedLayers, WindowsLayer } from "@uvm-shim/hcs-schema";
import { codeOf, type HostPaths, type Step } from "@uvm-shim/lifecycle";
import type { ResolvedContainer } from "../document/resolved.ts";
import type { BlockCimRoot, FolderRoot, MountedRoot, RootPlan, ScratchPlan } from "../plan/root-plan.ts";
import type {
  ContainerCims,
  ContainerDisks,
  ContainerGuest,
  ContainerHostServices,
  ContainerShares,
  ContainerVm,
} from "../types.ts";

/** The boundaries at which the root of a container is acquired, and what decides how. */
export interface RootSurroundings {
  readonly id: string;
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly cims: ContainerCims;
  readonly vm: ContainerVm;
  readonly services: ContainerHostServices;
  readonly paths: HostPaths;
  /** Whether the VM's guest has a security policy. */
  readonly isConfidential: boolean;
}

/** The steps that make a container's root in the guest. */
export interface RootSteps {
  /** In the order of acquisition. They are released in reverse: the combination, the scratch disk, the layers. */
  readonly steps: readonly Step[];
  /** Once all steps have been acquired. */
  readonly resolved: () => ResolvedContainer["root"];
}

/** What the guest combines, filled in as the steps run. */
interface Combination {
  root: string;
  /** As the guest combines them, and as the container's document names them. */
  readonly layers: WindowsLayer[];
  readonly inDocument: WindowsLayer[];
}

/** The steps of a root, by what it is made of. */
export function rootSteps(plan: RootPlan, surroundings: RootSurroundings): RootSteps {
  switch (plan.kind) {
    case "folders":
      return folderSteps(plan, surroundings);
    case "block-cims":
      return cimSteps(plan, surroundings);
    case "mounted":
      return mountedSteps(plan, surroundings);
  }
}

function folderSteps({ layers, scratch }: FolderRoot, surroundings: RootSurroundings): RootSteps {
  const { shares } = surroundings;
  const found: Combination = { root: "", layers: [], inDocument: [] };
  const layerSteps = layers.map((hostPath, index): Step => {
    let id = "";
    const share = reservedStep(
      `layer ${hostPath}`,
      shares,
      () => shares.reserve({ hostPath, kind: "directory", readOnly: true, takeBackupPrivilege: true }),
      (path) => {
        found.layers[index] = { Id: id, Path: path };
        found.inDocument[index] = { Id: id, Path: path };
      },
    );
    return {
      name: share.name,
      async acquire(signal) {
        id = await layerId(hostPath, surroundings, signal);
        await share.acquire(signal);
      },
      release: (signal) => share.release(signal),
    };
  });
  return {
    steps: [
      ...missingScratch(scratch, surroundings),
      ...layerSteps,
      scratchStep(scratch, surroundings, found),
      combineStep(found, undefined, surroundings),
    ],
    resolved: () => ({ path: found.root, layers: found.inDocument }),
  };
}

function cimSteps({ cims, scratch }: BlockCimRoot, surroundings: RootSurroundings): RootSteps {
  const found: Combination = { root: "", layers: [], inDocument: [] };
  const volume = reservedStep(
    `block CIMs of ${cims[0]?.hostPath ?? "no layer"}`,
    surroundings.cims,
    () => surroundings.cims.reserve({ cims, containerId: surroundings.id }),
    (guid) => {
      const path = `\\\\?\\Volume{${guid}}\\`;
      found.layers[0] = { Id: guid, Path: `${path}Files` };
      found.inDocument[0] = { Id: guid, Path: path };
    },
  );
  return {
    steps: [
      ...missingScratch(scratch, surroundings),
      volume,
      scratchStep(scratch, surroundings, found),
      combineStep(found, "UnionFS", surroundings),
    ],
    resolved: () => ({ path: found.root, layers: found.inDocument }),
  };
}

function mountedSteps({ path, layers }: MountedRoot, surroundings: RootSurroundings): RootSteps {
  const known: WindowsLayer[] = [];
  const lookUp: Step = {
    name: `ids of the layers of ${path}`,
    async acquire(signal) {
      for (const { path: Path, id } of layers) {
        known.push({ Id: id ?? (await layerId(Path, surroundings, signal)), Path });
      }
    },
    release: async () => {},
  };
  return { steps: [lookUp], resolved: () => ({ path, layers: known }) };
}

function layerId(hostPath: string, { services, paths }: RootSurroundings, signal?: AbortSignal): Promise<string> {
  return services.layerId(paths.split(hostPath).name, signal);
}

/** The disk is the client's, in its folder: it stays. */
function missingScratch({ missing, hostPath }: ScratchPlan, { services }: RootSurroundings): readonly Step[] {
  if (missing === undefined) return [];
  return [
    {
      name: `file of scratch disk ${hostPath}`,
      async acquire(signal) {
        try {
          await services.createScratchLayer(missing.folder, missing.parents, signal);
        } catch (error) {
          // The client has made it meanwhile.
          if (codeOf(error) !== "AlreadyExists") throw error;
        }
      },
      release: async () => {},
    },
  ];
}

function scratchStep({ hostPath, format }: ScratchPlan, { disks, vm }: RootSurroundings, found: Combination): Step {
  return reservedStep(
    `scratch disk ${hostPath}`,
    disks,
    async (signal) => {
      await vm.grantVmAccess(hostPath, signal);
      const mount = { readOnly: false, ...(format && { formatScratch: true }) };
      return await disks.reserve({ hostPath, readOnly: false, type: "VirtualDisk" }, mount);
    },
    (path) => {
      found.root = path;
    },
  );
}

/** The scratch disk's mount becomes the root. */
function combineStep(
  found: Combination,
  filter: "UnionFS" | undefined,
  { id, guest, isConfidential }: RootSurroundings,
): Step {
  const combination = (): WindowsCombinedLayers => ({
    ContainerRootPath: found.root,
    Layers: found.layers,
    ...(filter !== undefined && { FilterType: filter }),
  });
  const confidential = () => ({ ContainerID: id, CombinedLayers: combination() });
  return {
    name: "combined layers",
    acquire: (signal) =>
      isConfidential
        ? guest.addConfidentialLayers(confidential(), signal)
        : guest.addCombinedLayers(combination(), signal),
    release: (signal) =>
      isConfidential
        ? guest.removeConfidentialLayers(confidential(), signal)
        : guest.removeCombinedLayers({ ContainerRootPath: found.root }, signal),
  };
}
