import { existsSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  type LinuxCombinedLayers,
  type LinuxHostedContainerSettings,
  type LinuxMappedDirectory,
  type LinuxMappedVirtualDisk,
  linuxGuestPaths,
} from "@uvm-shim/hcs-schema";
import { MountsOfHost } from "./mounts-of-host.ts";
import { type HashTree, readHashTree } from "./verity.ts";

const root = linuxGuestPaths.policyContainerRoot;
const idDigits = "[0-9a-fA-F]{64}";
const containerTypeKey = "io.kubernetes.cri.container-type";
const sandboxIdKey = "io.kubernetes.cri.sandbox-id";

/** What the guard needs to know of a container. */
export interface GuardedContainer {
  readonly state: string;
  readonly rootPath: string;
}

/**
 * What the real guest requires as soon as it has a policy, whatever the policy allows (internal/guest/runtime/hcsv2
 * of microsoft/hcsshim): otherwise a host could substitute other files under the names that the policy covers.
 */
export class PolicyGuard {
  readonly #mounts = new MountsOfHost();
  /** The failed unmount after which the mounts are unknown. */
  #inconsistency: string | undefined;

  /** Called before a container is created or deleted. */
  checkChange(id: string): void {
    this.checkConsistent();
    this.checkId(id, "container");
  }

  checkId(id: string, whose: "container" | "sandbox"): void {
    if (new RegExp(`^${idDigits}$`).test(id)) return;
    throw denied(`invalid ${whose} id ${JSON.stringify(id)}: expected 64 hexadecimal digits`);
  }

  /** After a failed unmount, nothing may be mounted, created or deleted. */
  checkConsistent(): void {
    if (this.#inconsistency === undefined) return;
    throw denied(`mounts and containers are frozen since a failure: ${this.#inconsistency}`);
  }

  checkContainer(id: string, { OciBundlePath, OciSpecification, ScratchDirPath }: LinuxHostedContainerSettings): void {
    const { annotations = {}, windows } = OciSpecification;
    const isWorkload = annotations[containerTypeKey] === "container";
    const sandboxId = isWorkload ? (annotations[sandboxIdKey] ?? "") : id;
    if (isWorkload) this.checkId(sandboxId, "sandbox");
    const bundle = `${root}/${id}`;
    expectPath("OciBundlePath", OciBundlePath, [bundle]);
    expectPath("OciSpecification.root.path", OciSpecification.root?.path ?? "", [`${bundle}/rootfs`]);
    expectPath("ScratchDirPath", ScratchDirPath, [`${bundle}/scratch/${id}`, `${root}/${sandboxId}/scratch/${id}`]);
    // The guest itself would add a hook for the GPU of a workload.
    const hasGpu = isWorkload && windows?.devices?.some(({ idType }) => idType === "gpu") === true;
    const { hooks } = OciSpecification as { readonly hooks?: unknown };
    if (hasGpu || (hooks ?? undefined) !== undefined)
      throw denied("OciSpecification.hooks: expected no hooks and no GPU");
  }

  checkDeletion({ state, rootPath }: GuardedContainer): void {
    if (state === "Running") throw denied("cannot delete the state of a running container");
    if (this.#mounts.hasLayersAt(rootPath)) throw denied(`the layers at ${rootPath} are still combined`);
  }

  /** `mount` gets the hash tree of a read-only disk. */
  async addDisk(
    disk: LinuxMappedVirtualDisk,
    device: string,
    mount: (tree: HashTree | undefined) => Promise<void>,
  ): Promise<void> {
    this.checkConsistent();
    const tree = hashTreeOf(disk, device);
    const { Options = [], ReadOnly, MountPath, BlockDev = false, Encrypted = false } = disk;
    const expected = ReadOnly ? ["ro"] : [];
    if (Options.length !== expected.length || Options[0] !== expected[0]) {
      const given = JSON.stringify(Options);
      throw denied(
        `invalid Request.Settings.Options ${given}: expected ${JSON.stringify(expected)} with ReadOnly ${ReadOnly}`,
      );
    }
    const undo = BlockDev ? () => {} : this.#mounts.addDisk(MountPath, device, !ReadOnly, Encrypted);
    try {
      await mount(tree);
    } catch (error) {
      undo();
      throw error;
    }
  }

  /** `unmount` gets the hash tree of a read-only disk. */
  removeDisk(disk: LinuxMappedVirtualDisk, device: string, unmount: (tree: HashTree | undefined) => void): void {
    this.checkConsistent();
    const tree = hashTreeOf(disk, device);
    const { ReadOnly, MountPath, BlockDev = false, Encrypted = false } = disk;
    const undo = BlockDev ? () => {} : this.#mounts.removeDisk(MountPath, device, !ReadOnly, Encrypted);
    if (!existsSync(MountPath)) {
      undo();
      throw denied(`cannot unmount ${MountPath}: it does not exist`);
    }
    this.#unmount(MountPath, () => unmount(tree), undo);
  }

  /** Called before a share is mounted. */
  checkShare({ ShareName }: LinuxMappedDirectory): void {
    this.checkConsistent();
    if (!/^[0-9]+$/.test(ShareName)) {
      throw denied(`invalid Request.Settings.ShareName ${JSON.stringify(ShareName)}: expected digits`);
    }
  }

  removeShare({ MountPath }: LinuxMappedDirectory, unmount: () => void): void {
    this.checkConsistent();
    this.#unmount(MountPath, unmount, () => {});
  }

  addLayers(layers: LinuxCombinedLayers, combine: () => void): void {
    this.checkConsistent();
    const { ContainerID: id = "", ContainerRootPath, Layers, ScratchPath } = layers;
    this.checkId(id, "container");
    expectPath("Request.Settings.ContainerRootPath", ContainerRootPath, [`${root}/${id}/rootfs`]);
    if (ScratchPath !== "" && !new RegExp(`^${root}/${idDigits}/scratch/${id}$`).test(ScratchPath)) {
      const expected = `${root}/<64 hexadecimal digits>/scratch/${id}`;
      throw denied(`invalid Request.Settings.ScratchPath ${JSON.stringify(ScratchPath)}: expected ${expected}`);
    }
    const paths = Layers.map(({ Path }) => Path);
    const undo = this.#mounts.addLayers(ContainerRootPath, paths, ScratchPath);
    try {
      combine();
    } catch (error) {
      undo();
      throw error;
    }
  }

  removeLayers(
    { ContainerRootPath }: LinuxCombinedLayers,
    containers: readonly GuardedContainer[],
    unmount: () => void,
  ): void {
    this.checkConsistent();
    if (containers.some(({ state, rootPath }) => state === "Running" && rootPath === ContainerRootPath))
      throw denied(`cannot unmount ${ContainerRootPath}: it is the root file system of a running container`);
    this.#unmount(ContainerRootPath, unmount, this.#mounts.removeLayers(ContainerRootPath));
  }

  #unmount(path: string, unmount: () => void, undo: () => void): void {
    try {
      unmount();
    } catch (error) {
      undo();
      this.#inconsistency ??= `cannot unmount ${path}: ${(error as Error).message}`;
      throw error;
    }
  }
}

/** Read-only disks need one at their unmount as well. */
function hashTreeOf({ ReadOnly, Filesystem = "" }: LinuxMappedVirtualDisk, device: string): HashTree | undefined {
  if (!ReadOnly) return undefined;
  const tree = readHashTree(device);
  if (Filesystem !== "" && Filesystem !== "ext4") {
    throw denied(`invalid Request.Settings.Filesystem ${Filesystem}: expected ext4 or none for a read-only disk`);
  }
  return tree;
}

function expectPath(field: string, path: string, accepted: readonly string[]): void {
  if (accepted.includes(path)) return;
  throw denied(`invalid ${field} ${JSON.stringify(path)}: expected ${[...new Set(accepted)].join(" or ")}`);
}

/** The real guest answers all of these with the code of errors without one. */
function denied(problem: string): GuestFault {
  return new GuestFault("E_FAIL", `denied because of the guest's security policy: ${problem}`);
}
