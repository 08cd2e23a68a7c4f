/** The folders of a Windows guest that has booted, and the Windows of the virtual machine itself. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { Children } from "@uvm-shim/guest-agent-common";
import { guestFolders } from "@uvm-shim/host-protocol/guest";
import { mount, mountFlags } from "@uvm-shim/linux-calls";
import { type ContainerParts, type StartProgram, WindowsContainer } from "../container/container.ts";
import type { DiskFolders, GuestDisks } from "../storage/guest-disks.ts";

const { MS_BIND, MS_REC, MS_SHARED } = mountFlags;

/** Where the agent has what it was booted from, and what it makes. */
export const windowsFolders = {
  os: "/run/windows/os",
  wine: "/run/windows/wine",
  containers: "/run/windows/containers",
  drive: "/run/windows/machine/drive",
  disks: "/run/windows/machine/disks",
  combined: "/run/windows/machine/combined",
} as const satisfies DiskFolders & { readonly [name: string]: string };
/** Mounts below these are seen by the Windows of the machine, which has a mount namespace of its own. */
const shared = ["/run/windows/machine", guestFolders.vsmbShares];

const starterFolder = `${windowsFolders.os}/EFI/uvm-shim`;
const scratchLun = 0;
const systemUser = "SYSTEM";
const hostName = "WINUVM";

/** What is the same for all containers of a machine. */
export type CommonParts = Pick<ContainerParts, "folder" | "wineRoot" | "starterFolder" | "start">;

export class WindowsMachine {
  readonly #children: Children;
  #windows: Promise<WindowsContainer> | undefined;
  #files: ((folder: string) => string) | undefined;

  constructor(children: Children) {
    this.#children = children;
    for (const folder of [
      windowsFolders.containers,
      windowsFolders.drive,
      windowsFolders.disks,
      windowsFolders.combined,
    ]) {
      mkdirSync(folder, { recursive: true });
    }
    for (const folder of shared) {
      mount(folder, folder, "", MS_BIND | MS_REC);
      mount("none", folder, "", MS_SHARED);
    }
  }

  /** Makes drive C: of the files that were booted, over the machine's own disk. */
  async mountDrive(disks: GuestDisks, signal: AbortSignal): Promise<void> {
    const scratch = await disks.mountOwn(scratchLun, signal);
    for (const name of ["upper", "work"]) mkdirSync(`${scratch}/${name}`, { recursive: true });
    const options = `lowerdir=${windowsFolders.os},upperdir=${scratch}/upper,workdir=${scratch}/work`;
    mount("overlay", windowsFolders.drive, "overlay", 0, options);
  }

  /** Writes a container's files (see ContainerParts.files) into a folder, and returns it. */
  useFiles(write: (folder: string) => string): void {
    this.#files = write;
  }

  /** A folder of its own and Wine, for a container. The caller removes the folder. */
  commonParts(): CommonParts {
    const start: StartProgram = (command, parameters, options) => this.#children.spawn(command, parameters, options);
    const folder = mkdtempSync(`${windowsFolders.containers}/`);
    return { folder, wineRoot: windowsFolders.wine, starterFolder, start };
  }

  /** The Windows of the machine itself, started when it is needed first. */
  windows(): Promise<WindowsContainer> {
    const forget = (): void => {
      this.#windows = undefined;
    };
    this.#windows ??= this.#startWindows().catch((error: unknown) => {
      forget();
      throw error;
    });
    void this.#windows.then(({ ended }) => ended).then(forget, () => {});
    return this.#windows;
  }

  async #startWindows(): Promise<WindowsContainer> {
    const common = this.commonParts();
    try {
      return await WindowsContainer.start({
        ...common,
        drive: { kind: "folder", folder: windowsFolders.drive },
        hostName,
        userName: systemUser,
        network: { kind: "shared" },
        shares: guestFolders.vsmbShares,
        ...(this.#files !== undefined && { files: this.#files(common.folder) }),
      });
    } catch (error) {
      removeFolder(common.folder);
      throw error;
    }
  }
}

/** Removes what a container that has ended has left of its folder. */
export function removeFolder(folder: string): void {
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
}
