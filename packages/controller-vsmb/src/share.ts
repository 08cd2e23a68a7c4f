import { type VirtualSmbShare, type VirtualSmbShareOptions, windowsGuestPaths } from "@uvm-shim/hcs-schema";
import { type HostPaths, Lifecycle, unlessGone } from "@uvm-shim/lifecycle";
import { type ShareOperation, type ShareState, type ShareStateKind, shareTable } from "./lifecycle.ts";
import type { SharedItem } from "./reservations.ts";
import type { ShareConfig, VsmbHost } from "./types.ts";

/** What all shares of a VM have in common. */
export interface ShareSurroundings {
  readonly id: string;
  readonly host: VsmbHost;
  readonly paths: HostPaths;
  readonly noDirectMap?: boolean;
  readonly refusesDirectMap?: (directory: string, signal?: AbortSignal) => Promise<boolean>;
}

/**
 * One share under its name. It is never reused after a failed addition or removal: it can only be removed then, and the
 * next one has another name, so that a late answer cannot be confused with the answer to a later request.
 */
export class Share implements SharedItem<ShareConfig> {
  readonly name: string;
  /** The shared directory: for a single file, the one it is in. */
  readonly directory: string;
  readonly #surroundings: ShareSurroundings;
  readonly #config: ShareConfig;
  readonly #life: Lifecycle<ShareState, ShareStateKind, ShareOperation>;
  /** Files that the VM is known to allow, by key. */
  #files: ReadonlyMap<string, string> = new Map();
  #options: VirtualSmbShareOptions = {};

  constructor(surroundings: ShareSurroundings, name: string, config: ShareConfig) {
    this.#surroundings = surroundings;
    this.#config = config;
    this.name = name;
    this.directory = directoryOf(config, surroundings.paths);
    this.#life = new Lifecycle(shareTable, `${surroundings.id} ${name}`, { kind: "Reserved" });
  }

  get title(): string {
    return `${this.directory} as ${this.name}`;
  }

  get state(): ShareState {
    return this.#life.state;
  }

  get allowedFiles(): readonly string[] {
    return [...this.#files.values()];
  }

  get isUsable(): boolean {
    return this.state.kind === "Reserved" || this.isKept;
  }

  get isKept(): boolean {
    return this.state.kind === "Added" || this.state.kind === "Stale";
  }

  async ensureUsable(config: ShareConfig, signal?: AbortSignal): Promise<string> {
    const { paths } = this.#surroundings;
    const inGuest = `${windowsGuestPaths.vsmbShares}\\${this.name}`;
    if (config.kind === "directory") {
      if (!this.isKept) await this.#add(new Map(), signal);
      return inGuest;
    }
    const { name } = paths.split(config.hostPath);
    // Spelled like the directory, which another user may have spelled otherwise.
    const file = paths.clean(`${this.directory}/${name}`);
    const key = paths.key(file);
    if (!this.isKept) await this.#add(new Map([[key, file]]), signal);
    else if (!this.#files.has(key)) await this.#update(new Map([...this.#files, [key, file]]), signal);
    return `${inGuest}\\${name}`;
  }

  /**
   * A share that may be mapped directly stays: its removal would take files away that the guest still has open. One
   * that was never in use has no such files.
   */
  async ensureReleased(signal?: AbortSignal): Promise<void> {
    switch (this.state.kind) {
      case "Removed":
        return;
      case "Reserved":
        this.#life.succeed("remove", { kind: "Removed" });
        return;
      case "Added":
      case "Stale":
        if (this.#options.NoDirectmap === true) await this.#remove(signal);
        return;
      case "Invalid":
        await this.#remove(signal);
    }
  }

  async #add(files: ReadonlyMap<string, string>, signal?: AbortSignal): Promise<void> {
    this.#life.require("add");
    this.#options = await this.#decideOptions(signal);
    try {
      await this.#surroundings.host.addVsmbShare(this.#document(files), signal);
    } catch (error) {
      this.#life.fail("add", { kind: "Invalid" });
      throw error;
    }
    this.#life.succeed("add", { kind: "Added" });
    this.#files = files;
  }

  async #update(files: ReadonlyMap<string, string>, signal?: AbortSignal): Promise<void> {
    this.#life.require("update");
    try {
      await this.#surroundings.host.updateVsmbShare(this.#document(files), signal);
    } catch (error) {
      this.#life.fail("update", { kind: "Stale" });
      throw error;
    }
    this.#life.succeed("update", { kind: "Added" });
    this.#files = files;
  }

  async #remove(signal?: AbortSignal): Promise<void> {
    this.#life.require("remove");
    try {
      await unlessGone(() => this.#surroundings.host.removeVsmbShare({ Name: this.name }, signal));
    } catch (error) {
      this.#life.fail("remove", { kind: "Invalid" });
      throw error;
    }
    this.#life.succeed("remove", { kind: "Removed" });
  }

  #document(files: ReadonlyMap<string, string>): VirtualSmbShare {
    return {
      Name: this.name,
      Path: this.directory,
      ...(files.size > 0 && { AllowedFiles: [...files.values()] }),
      Options: this.#options,
    };
  }

  async #decideOptions(signal?: AbortSignal): Promise<VirtualSmbShareOptions> {
    const { noDirectMap = false, refusesDirectMap } = this.#surroundings;
    const { kind, readOnly, takeBackupPrivilege = false } = this.#config;
    const isIndirect = noDirectMap || (await refusesDirectMap?.(this.directory, signal)) === true;
    return {
      ...(readOnly && { ReadOnly: true, ShareRead: true, CacheIo: true, PseudoOplocks: true }),
      ...(takeBackupPrivilege && { TakeBackupPrivilege: true }),
      ...(isIndirect && { NoDirectmap: true }),
      ...(kind === "file" && { RestrictFileAccess: true, SingleFileMapping: true }),
    };
  }
}

/** The directory that is shared: a file's own folder. Cleaned, but not compared. */
export function directoryOf({ hostPath, kind }: ShareConfig, paths: HostPaths): string {
  return kind === "file" ? paths.split(hostPath).folder : paths.clean(hostPath);
}
