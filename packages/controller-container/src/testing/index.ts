import { type FakeGuestProcess, FakeProcess, type StdioCount } from "@uvm-shim/container-common/testing";
import type { StdioPaths } from "@uvm-shim/controller-process";
import type { LinuxProcessParameters, OciProcess } from "@uvm-shim/hcs-schema";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { LinuxContainerController } from "../controller.ts";
import type { LinuxContainerOptions } from "../plan/options.ts";
import type { ContainerLayout, RootfsMount } from "../types.ts";
import { FakeGuest, type FakeGuestContainer } from "./guest.ts";
import { FakeAssignedDevices, FakeDisks, FakeFiles, FakeShares } from "./host.ts";

export { FakeGuestProcess } from "@uvm-shim/container-common/testing";
export { FakeGuest, FakeGuestContainer } from "./guest.ts";
export { FakeAssignedDevices, FakeDisks, FakeFiles, FakeShares } from "./host.ts";

/** A client that wants none of the streams. */
export const noStdio: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A root of two layers and a scratch disk, which the bench's host has. */
export const layersMount: RootfsMount = {
  type: "lcow-layer",
  source: "/snapshots/3",
  options: ["rw", 'parentLayerPaths=["/snapshots/2","/snapshots/1"]'],
};
/** A root that the host mounts by itself. */
export const overlayMount: RootfsMount = {
  type: "overlay",
  source: "overlay",
  options: ["lowerdir=/a:/b", "upperdir=/c", "workdir=/d"],
};
/** A root in a block image, which the bench's host has. */
export const imageMount: RootfsMount = { type: "ext4", source: "/images/7.img", options: ["loop", "noatime"] };

/** The layout without a security policy: containers in folders below their pod's, disks and shares elsewhere. */
export const podLayout: ContainerLayout = {
  placesOf: ({ id, podId }) => ({
    id,
    podId,
    bundle: `/run/gcs/pods/${podId}/${id}`,
    scratchOn: (diskPath) => `${diskPath}/scratch/${podId}/${id}`,
  }),
};

/** The layout with a security policy: everything in the container's folder, and another id in the guest. */
export const ownLayout: ContainerLayout = {
  placesOf: ({ id, podId }) => ({
    id: `guest-${id}`,
    podId: `guest-${podId}`,
    bundle: `/own/guest-${id}`,
    own: {
      scratchDisk: `/own/guest-${id}`,
      scratch: `/own/guest-${id}/scratch/guest-${id}`,
      root: `/own/guest-${id}/rootfs`,
      share: (index) => `/own/guest-${id}/mounts/m${index}`,
    },
    scratchOn: (diskPath) => `${diskPath}/scratch/guest-${id}`,
  }),
};

/** A shortened specification of `ctr`. */
export function specification(changes: { readonly [field: string]: unknown } = {}): { [field: string]: unknown } {
  return {
    ociVersion: "1.2.0",
    hostname: "box",
    process: { args: ["sleep", "9"], cwd: "/", user: { uid: 0, gid: 0 } },
    root: { path: "rootfs" },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: {
      namespaces: [{ type: "pid" }, { type: "uts" }, { type: "network", path: "/var/run/netns/x" }],
      cgroupsPath: "/default/c1",
    },
    ...changes,
  };
}

/** A container controller with fakes of host, guest and processes. */
export class ContainerBench {
  readonly files: FakeFiles;
  readonly disks: FakeDisks;
  readonly shares: FakeShares;
  readonly devices: FakeAssignedDevices;
  readonly guest: FakeGuest;
  readonly controller: LinuxContainerController;
  readonly warnings: string[] = [];
  readonly #stdio: StdioCount = { open: 0 };

  constructor(script = new ScriptedCalls(), options: Partial<LinuxContainerOptions> = {}) {
    this.files = new FakeFiles(script);
    this.disks = new FakeDisks(script);
    this.shares = new FakeShares(script);
    this.devices = new FakeAssignedDevices(script);
    this.guest = new FakeGuest(script);
    for (const disk of ["/snapshots/1/layer.vhd", "/snapshots/2/layer.vhd", "/snapshots/3/sandbox.vhdx"]) {
      this.files.kinds.set(disk, "file");
    }
    this.files.kinds.set("/images/7.img", "file");
    this.files.kinds.set("/bundle/rootfs", "directory");
    this.files.kinds.set("/data", "directory");
    this.files.kinds.set("/run/resolved/stub.conf", "file");
    this.files.links.set("/etc/resolv.conf", "/run/resolved/stub.conf");
    const { files, disks, shares, devices, guest } = this;
    this.controller = new LinuxContainerController({
      id: "c1",
      podId: "p1",
      bundle: "/bundle",
      guest,
      disks,
      shares,
      devices,
      files,
      layout: podLayout,
      warn: (sentence) => void this.warnings.push(sentence),
      clock: { now: () => new Date(0) },
      createProcess: (process) =>
        new FakeProcess<OciProcess, LinuxProcessParameters>(process, script, this.#stdio, (OCIProcess, pipes) => ({
          ...(OCIProcess !== undefined && { OCIProcess }),
          ...pipes,
        })),
      ...options,
    });
  }

  get guestContainer(): FakeGuestContainer {
    const container = this.guest.containers.at(-1);
    if (container === undefined) throw new Error("the guest has no container");
    return container;
  }

  get initProcess(): FakeGuestProcess {
    const process = this.guestContainer.processes[0];
    if (process === undefined) throw new Error("the guest's container has no process");
    return process;
  }

  async created(rootfs: readonly RootfsMount[] = [overlayMount], spec: unknown = specification()): Promise<this> {
    await this.controller.create({ spec, rootfs, stdio: noStdio });
    return this;
  }

  async running(): Promise<this> {
    await this.created();
    await this.controller.init.start();
    return this;
  }

  /** What would be left on the host after the VM's end. */
  get hostLeftovers(): readonly string[] {
    return [
      ...[...this.files.mounted].map((path) => `mount ${path}`),
      ...(this.#stdio.open === 0 ? [] : [`${this.#stdio.open} open stdio`]),
    ];
  }

  /** Everything on host and in guest that is not released. */
  get leftovers(): readonly string[] {
    const { disks, shares, devices, guest } = this;
    return [
      ...this.hostLeftovers,
      ...[...disks.reserved, ...shares.reserved, ...devices.reserved].map(([id, path]) => `${id} ${path}`),
      ...[...disks.mapped, ...shares.mapped, ...devices.mapped].map((id) => `mapped ${id}`),
      ...[...guest.combined].map((path) => `combined ${path}`),
      ...[...guest.bound].map((path) => `bound ${path}`),
      ...[...guest.emptied].map((path) => `emptied ${path}`),
      ...[...guest.running].map((id) => `running ${id}`),
      ...[...guest.known].map((id) => `known ${id}`),
    ];
  }
}
