import { createHash } from "node:crypto";
import type {
  CredentialGuardState,
  MountPlan,
  ResolvedContainer,
  RootPlan,
  WindowsContainerPlan,
} from "@uvm-shim/controller-container-wcow";
import {
  type DiskConfig,
  type GuestDisks,
  ScsiController,
  type WindowsScsiGuest,
  windowsGuestDisks,
} from "@uvm-shim/controller-scsi";
import { PipeController, VsmbController } from "@uvm-shim/controller-vsmb";
import type { WindowsLayer } from "@uvm-shim/hcs-schema";
import { windowsPaths } from "@uvm-shim/lifecycle";
import type { WindowsSandbox } from "@uvm-shim/sandbox-wcow";

interface CaseDiskMount {
  readonly readOnly: boolean;
  /** The guest mounts no path for it, but CIMs together as a volume. */
  readonly isCim: boolean;
}

const done = async (): Promise<void> => {};

/** The children that the guest's tool finds of every assigned device. */
const locationPaths = ["PCIROOT(0)#PCI(0100)", "PCIROOT(0)#PCI(0200)"];
const madeNamespace = "0badf00d-0000-4000-8000-000000000001";

/**
 * A VM whose host does everything that it is asked for: the controllers are the production ones, so that names and
 * numbers are theirs. The guest's paths of disks are those of the shim that made the expected documents.
 */
export class CaseVm {
  readonly #shares: VsmbController;
  readonly #pipes: PipeController;
  readonly #disks: ScsiController<WindowsScsiGuest, CaseDiskMount>;
  readonly #diskPaths = new Map<string, string>();
  readonly #volumes = new Map<string, string>();
  #ids = 0;

  constructor({ document, settings }: WindowsSandbox) {
    const { Devices: { Scsi: controllers = {}, VirtualSmb: vsmb = {} } = {} } = document.VirtualMachine ?? {};
    const [attachments = {}] = Object.values(controllers).map(({ Attachments }) => Attachments);
    const newId = (): string => {
      this.#ids += 1;
      return `${this.#ids}`;
    };
    this.#shares = new VsmbController({
      id: "vm",
      host: { addVsmbShare: done, updateVsmbShare: done, removeVsmbShare: done },
      newId,
      paths: windowsPaths,
      names: vsmb.Shares?.flatMap(({ Name }) => (Name === undefined ? [] : [Name])) ?? [],
      noWritableFileShares: settings.noWritableFileShares,
      noDirectMap: settings.noDirectMap,
    });
    this.#pipes = new PipeController({ id: "vm", host: { mapPipe: done, unmapPipe: done }, newId });
    this.#disks = new ScsiController({
      id: "vm",
      host: { attachDisk: done, detachDisk: done },
      guest: () => ({ mountDisk: done, mountScratchDisk: done, unmountDisk: done }),
      guestDisks: {
        ...(windowsGuestDisks as GuestDisks<WindowsScsiGuest, CaseDiskMount>),
        guestPath: ({ lun }, { isCim }) => (isCim ? `CIM on LUN ${lun}` : this.#diskPath(lun)),
      },
      controllers: 1,
      reserved: Object.keys(attachments).map((lun) => ({ controller: 0, lun: Number(lun) })),
      paths: windowsPaths,
      newId,
    });
  }

  /** Acquires everything that a plan names, in its order. */
  async acquire(plan: WindowsContainerPlan): Promise<ResolvedContainer> {
    for (const hostPath of plan.drivers) await this.#share({ hostPath, kind: "directory", readOnly: true });
    const root = await this.#root(plan.root);
    const mounts: (string | undefined)[] = [];
    for (const mount of plan.mounts) mounts.push(await this.#mount(mount));
    if (plan.deviceUtilPath !== undefined) {
      await this.#share({ hostPath: plan.deviceUtilPath, kind: "file", readOnly: true });
    }
    return {
      root,
      mounts,
      devices: plan.devices.map(() => locationPaths),
      ...(plan.credential !== undefined && { credentialGuard: credentialGuard(plan.credential) }),
      ...(plan.network.kind === "new" && { networkNamespace: madeNamespace }),
    };
  }

  async #root(root: RootPlan): Promise<ResolvedContainer["root"]> {
    switch (root.kind) {
      case "folders": {
        const layers: WindowsLayer[] = [];
        for (const hostPath of root.layers) {
          const config = { hostPath, kind: "directory", readOnly: true, takeBackupPrivilege: true } as const;
          layers.push({ Id: layerId(hostPath), Path: await this.#share(config) });
        }
        return {
          path: await this.#disk({ hostPath: root.scratch.hostPath, type: "VirtualDisk", readOnly: false }),
          layers,
        };
      }
      case "block-cims": {
        const [first] = root.cims;
        if (first === undefined) throw new Error("a root of block CIMs has none");
        const volume = this.#volumeOf(first.hostPath);
        for (const { hostPath, type } of root.cims) {
          await this.#disks.reserve({ hostPath, type, readOnly: true }, { readOnly: true, isCim: true });
        }
        const layers = [{ Id: volume, Path: `\\\\?\\Volume{${volume}}\\` }];
        return {
          path: await this.#disk({ hostPath: root.scratch.hostPath, type: "VirtualDisk", readOnly: false }),
          layers,
        };
      }
      case "mounted":
        return {
          path: root.path,
          layers: root.layers.map(({ path, id }) => ({ Id: id ?? layerId(path), Path: path })),
        };
    }
  }

  async #mount(mount: MountPlan): Promise<string | undefined> {
    switch (mount.kind) {
      case "share":
        return await this.#share({ hostPath: mount.hostPath, kind: mount.what, readOnly: mount.readOnly });
      case "disk":
        return await this.#disk(mount.disk);
      case "host-pipe":
        return await this.#pipes.mapToGuest(await this.#pipes.reserve(mount.hostPath));
      case "guest-folder":
      case "guest-pipe":
        return undefined;
    }
  }

  async #share(config: Parameters<VsmbController["reserve"]>[0]): Promise<string> {
    return await this.#shares.mapToGuest(await this.#shares.reserve(config));
  }

  async #disk(disk: DiskConfig): Promise<string> {
    return await this.#disks.mapToGuest(await this.#disks.reserve(disk, { readOnly: disk.readOnly, isCim: false }));
  }

  #diskPath(lun: number): string {
    const key = `${lun}`;
    const path = this.#diskPaths.get(key) ?? `c:\\mounts\\scsi\\m${this.#diskPaths.size}`;
    this.#diskPaths.set(key, path);
    return path;
  }

  #volumeOf(hostPath: string): string {
    const volume = this.#volumes.get(hostPath) ?? madeGuid(`volume ${this.#volumes.size}`);
    this.#volumes.set(hostPath, volume);
    return volume;
  }
}

/** As HCS does, of the last part of the path alone. */
function layerId(path: string): string {
  return madeGuid(windowsPaths.split(path).name.toLowerCase());
}

function madeGuid(name: string): string {
  const hex = createHash("sha1").update(name).digest("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `5${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}

function credentialGuard(specification: string): CredentialGuardState {
  return {
    Cookie: "golden-cookie",
    RpcEndpoint: "golden-endpoint",
    Transport: "HvSocket",
    ...(specification !== "" && { CredentialSpec: specification }),
  };
}
