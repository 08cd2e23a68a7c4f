import {
  type LinuxMappedDirectory,
  linuxGuestPaths,
  linuxVsockPorts,
  type Plan9Share,
  plan9ShareFlags,
} from "@uvm-shim/hcs-schema";
import { Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import {
  type MountOperation,
  type MountState,
  type MountStateKind,
  mountTable,
  type ShareOperation,
  type ShareState,
  type ShareStateKind,
  shareTable,
} from "./lifecycle.ts";
import type { Plan9Guest, Plan9Host, ShareConfig } from "./types.ts";

/**
 * One share under its name, and its mount. It is never reused: after a failure it can only be removed, and the next one
 * has another name, so that a late answer cannot be confused with the answer to a later request.
 */
export class Share {
  readonly #share: Plan9Share;
  readonly #directory: LinuxMappedDirectory;
  readonly #life: Lifecycle<ShareState, ShareStateKind, ShareOperation>;
  readonly #mountLife: Lifecycle<MountState, MountStateKind, MountOperation>;

  constructor(vmId: string, name: string, config: ShareConfig) {
    this.#share = {
      Name: name,
      AccessName: name,
      Path: config.hostPath,
      Port: linuxVsockPorts.plan9,
      Flags: flagsOf(config),
      ...(config.allowedFiles !== undefined && { AllowedFiles: config.allowedFiles }),
    };
    this.#directory = {
      MountPath: config.guestPath ?? `${linuxGuestPaths.plan9Mounts}/${name}`,
      Port: linuxVsockPorts.plan9,
      ShareName: name,
      ReadOnly: config.readOnly,
    };
    this.#life = new Lifecycle(shareTable, `${vmId} ${name}`, { kind: "Reserved" });
    this.#mountLife = new Lifecycle(mountTable, `${vmId} ${this.#directory.MountPath}`, { kind: "Reserved" });
  }

  get name(): string {
    return this.#share.Name;
  }

  get state(): ShareState {
    return this.#life.state;
  }

  get mountState(): MountState {
    return this.#mountLife.state;
  }

  /** Whether it is mounted or can still be mounted. */
  get isUsable(): boolean {
    const { kind: share } = this.state;
    const { kind: mount } = this.mountState;
    return (share === "Reserved" || share === "Added") && (mount === "Reserved" || mount === "Mounted");
  }

  /** Adds and mounts where that is not done yet, and returns the path in the guest. */
  async ensureMounted(host: Plan9Host, guest: () => Plan9Guest, signal?: AbortSignal): Promise<string> {
    if (this.state.kind !== "Added") {
      this.#life.require("add");
      try {
        await host.addShare(this.#share, signal);
      } catch (error) {
        this.#life.fail("add", { kind: "Invalid" });
        throw error;
      }
      this.#life.succeed("add", { kind: "Added" });
    }
    if (this.mountState.kind !== "Mounted") {
      this.#mountLife.require("mount");
      try {
        await guest().mountShare(this.#directory, signal);
      } catch (error) {
        this.#mountLife.fail("mount", { kind: "Invalid" });
        throw error;
      }
      this.#mountLife.succeed("mount", { kind: "Mounted" });
    }
    return this.#directory.MountPath;
  }

  /** Unmounts and removes, continuing where an earlier attempt stopped. */
  async ensureRemoved(host: Plan9Host, guest: () => Plan9Guest, signal?: AbortSignal): Promise<void> {
    const { kind: mount } = this.mountState;
    if (mount === "Mounted" || mount === "Invalid") {
      await unlessGone(() => guest().unmountShare(this.#directory, signal));
    }
    if (mount !== "Unmounted") this.#mountLife.succeed("unmount", { kind: "Unmounted" });
    const { kind: share } = this.state;
    const { Name, AccessName, Port } = this.#share;
    if (share === "Added" || share === "Invalid") {
      await unlessGone(() => host.removeShare({ Name, AccessName, Port }, signal));
    }
    if (share !== "Removed") this.#life.succeed("remove", { kind: "Removed" });
  }
}

function flagsOf(config: ShareConfig): number {
  let flags: number = plan9ShareFlags.linuxMetadata;
  if (config.readOnly) flags |= plan9ShareFlags.readOnly;
  if (config.allowedFiles !== undefined) flags |= plan9ShareFlags.restrictFileAccess;
  return flags;
}
