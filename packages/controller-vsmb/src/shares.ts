import { type HostPaths, refusing } from "@uvm-shim/lifecycle";
import type { ShareStateKind } from "./lifecycle.ts";
import { Reservations } from "./reservations.ts";
import { directoryOf, Share } from "./share.ts";
import type { ShareConfig, VsmbHost } from "./types.ts";

/** What a `VsmbController` is made from. */
export interface VsmbControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: VsmbHost;
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** Path rules of the host that serves the shares. */
  readonly paths: HostPaths;
  /** Names of the shares in the VM's document, such as `os`. */
  readonly names?: readonly string[];
  /** Refuses writable shares. */
  readonly noWritableFileShares?: boolean;
  /** Keeps the guest from mapping files directly: where its memory is physically backed, or as annotated. */
  readonly noDirectMap?: boolean;
  /**
   * Whether direct mapping fails for a directory, whose file system does not know FileIdInfo. To be given on builds
   * 18362 to 19042 alone, which ask for it.
   */
  readonly refusesDirectMap?: (directory: string, signal?: AbortSignal) => Promise<boolean>;
}

/** One share, for diagnostics. */
export interface ShareView {
  /** The shared directory. */
  readonly hostPath: string;
  readonly name: string;
  /** Files that the VM is known to allow, where the share is restricted to files. */
  readonly allowedFiles: readonly string[];
  readonly holders: number;
  readonly state: ShareStateKind;
}

/**
 * VSMB shares of one Windows VM. A caller reserves a directory or a file, maps it, and finally unmaps it, even if
 * mapping failed; a failed unmap is repeated until it succeeds. Reservations of one directory with the same options use
 * one share, and so do those of single files in it.
 */
export class VsmbController {
  readonly #options: VsmbControllerOptions;
  readonly #reservations: Reservations<ShareConfig, Share>;
  readonly #takenNames: ReadonlySet<string>;
  #names = 0;

  constructor(options: VsmbControllerOptions) {
    this.#options = options;
    this.#takenNames = new Set(options.names?.map((name) => name.toLowerCase()));
    this.#reservations = new Reservations({
      id: options.id,
      subject: "share",
      newId: options.newId,
      newItem: (config) => new Share(options, this.#newName(), config),
    });
  }

  /** Also those that the VM keeps without holders. */
  get shares(): readonly ShareView[] {
    return this.#reservations.all.map(({ holders, item }) => ({
      hostPath: item.directory,
      name: item.name,
      allowedFiles: item.allowedFiles,
      holders: holders.size,
      state: item.state.kind,
    }));
  }

  /**
   * Reserves a share. Returns the reservation's id; after an error there is nothing to undo. InvalidArgument: no such
   * share can exist; FailedPrecondition: the share is writable, and the VM allows only read-only shares.
   */
  async reserve(config: ShareConfig): Promise<string> {
    this.#check(config);
    const { paths } = this.#options;
    const { kind, readOnly, takeBackupPrivilege = false } = config;
    const key = [kind, paths.key(directoryOf(config, paths)), readOnly, takeBackupPrivilege];
    return this.#reservations.reserve(JSON.stringify(key), config);
  }

  /**
   * Adds the share where the VM does not have it yet, or allows the file in it, and returns the path in the guest.
   * Repeatable. After a failure the reservation remains: map again, or unmap. NotFound: no such reservation.
   */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    return this.#reservations.map(reservation, signal);
  }

  /**
   * Releases the reservation; the last one removes the share, unless the guest may have mapped it directly: then it
   * stays, for the next user. What is gone counts as done, as does an unknown reservation, so repeating is harmless. A
   * failed unmap keeps the reservation; the next attempt continues where it stopped.
   */
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    return this.#reservations.unmap(reservation, signal);
  }

  /** A name is never reused in this VM. */
  #newName(): string {
    for (;;) {
      this.#names += 1;
      const name = `s${this.#names.toString(16)}`;
      if (!this.#takenNames.has(name)) return name;
    }
  }

  #check({ hostPath, kind, readOnly }: ShareConfig): void {
    const { id, paths, noWritableFileShares = false } = this.#options;
    const refuse = refusing("reserve share", `${id} ${hostPath}`);
    if (!paths.isAbsolute(hostPath)) {
      throw refuse("InvalidArgument", `hostPath is ${JSON.stringify(hostPath)}, expected ${paths.expected}`);
    }
    if (kind === "file" && paths.split(hostPath).name === "") {
      throw refuse("InvalidArgument", `hostPath is ${JSON.stringify(hostPath)}, expected a file in a directory`);
    }
    if (!readOnly && noWritableFileShares) {
      throw refuse(
        "FailedPrecondition",
        "the share is writable, but this VM allows only read-only shares: expected option ro",
      );
    }
  }
}
