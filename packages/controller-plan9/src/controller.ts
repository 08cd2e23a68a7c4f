import { ControllerError, type HostPaths, OperationQueue, refusing, wrapError } from "@uvm-shim/lifecycle";
import type { MountStateKind, ShareStateKind } from "./lifecycle.ts";
import { Share } from "./share.ts";
import type { Plan9Guest, Plan9Host, ShareConfig } from "./types.ts";

/** What a `Plan9Controller` is made from. */
export interface Plan9ControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: Plan9Host;
  /** Returns the guest; throws while there is none. Called at each use. */
  readonly guest: () => Plan9Guest;
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** Refuses writable shares. */
  readonly noWritableFileShares?: boolean;
  /** Path rules of the host that serves the shares. */
  readonly paths: HostPaths;
}

/** One shared directory, for diagnostics. */
export interface ShareView {
  readonly hostPath: string;
  readonly name: string;
  readonly holders: number;
  readonly state: ShareStateKind;
  readonly mount: MountStateKind;
}

/** What the holders of a directory have in common: its settings and its current share. */
interface SharedDirectory {
  /** The same for all reservations that use this share. */
  readonly key: string;
  readonly config: ShareConfig;
  readonly holders: Set<string>;
  readonly queue: OperationQueue;
  share: Share;
}

/**
 * Plan9 shares of one Linux VM. A caller reserves a directory, maps it, and finally unmaps it, even if mapping failed;
 * a failed unmap is repeated until it succeeds. Reservations of the same directory with the same flags and guest path
 * use one share; others get a share of their own.
 */
export class Plan9Controller {
  readonly #options: Plan9ControllerOptions;
  readonly #directories = new Map<string, SharedDirectory>();
  readonly #reservations = new Map<string, SharedDirectory>();
  #names = 0;

  constructor(options: Plan9ControllerOptions) {
    this.#options = options;
  }

  get shares(): readonly ShareView[] {
    return [...this.#directories.values()].map(({ config, holders, share }) => ({
      hostPath: config.hostPath,
      name: share.name,
      holders: holders.size,
      state: share.state.kind,
      mount: share.mountState.kind,
    }));
  }

  /**
   * Reserves a share. Returns the reservation's id; after an error there is nothing to undo. InvalidArgument: no such
   * share can exist; FailedPrecondition: the share is writable, and the VM allows only read-only shares.
   */
  async reserve(config: ShareConfig): Promise<string> {
    this.#check(config);
    const key = this.#keyOf(config);
    this.#refuseTakenPath(key, config);
    const directory = this.#directories.get(key) ?? {
      key,
      config,
      holders: new Set<string>(),
      queue: new OperationQueue(),
      share: this.#newShare(config),
    };
    const reservation = this.#options.newId();
    directory.holders.add(reservation);
    this.#directories.set(key, directory);
    this.#reservations.set(reservation, directory);
    return reservation;
  }

  /**
   * Adds and mounts the share where that is not done yet, and returns the path in the guest. Repeatable. After a
   * failure the reservation remains: map again, or unmap. NotFound: no such reservation.
   */
  async mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    const operation = "map share";
    const directory = this.#require(reservation, operation);
    const { id, host, guest } = this.#options;
    try {
      return await directory.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        this.#require(reservation, operation);
        if (!directory.share.isUsable) {
          await directory.share.ensureRemoved(host, guest, signal);
          directory.share = this.#newShare(directory.config);
        }
        return await directory.share.ensureMounted(host, guest, signal);
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, `${id} ${directory.config.hostPath} as ${directory.share.name}`);
    }
  }

  /**
   * Releases the reservation; the last one unmounts and removes the share. What is gone counts as done, as does an
   * unknown reservation, so repeating is harmless. A failed unmap keeps the reservation; the next attempt continues
   * where it stopped.
   */
  async unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    const directory = this.#reservations.get(reservation);
    if (directory === undefined) return;
    const { id, host, guest } = this.#options;
    try {
      await directory.queue.run(async () => {
        if (!this.#reservations.has(reservation)) return;
        if (directory.holders.size === 1) await directory.share.ensureRemoved(host, guest, signal);
        directory.holders.delete(reservation);
        this.#reservations.delete(reservation);
        // Checked only now: others may have reserved it while the host removed the share; they map a new one.
        if (directory.holders.size === 0) this.#directories.delete(directory.key);
      }, signal);
    } catch (error) {
      throw wrapError(error, "unmap share", `${id} ${directory.config.hostPath} as ${directory.share.name}`);
    }
  }

  /** A name is never reused in this VM. */
  #newShare(config: ShareConfig): Share {
    const name = String(this.#names);
    this.#names += 1;
    return new Share(this.#options.id, name, config);
  }

  #keyOf({ hostPath, readOnly, allowedFiles, guestPath }: ShareConfig): string {
    const { paths } = this.#options;
    const names = allowedFiles && [...new Set(allowedFiles.map((name) => paths.key(name)))].sort();
    return JSON.stringify([paths.key(hostPath), readOnly, names, guestPath]);
  }

  /** A second share mounted at the same path would hide the first one from its users. */
  #refuseTakenPath(key: string, { hostPath, guestPath }: ShareConfig): void {
    if (guestPath === undefined) return;
    const holder = [...this.#directories.values()].find(
      (held) => held.key !== key && held.config.guestPath === guestPath,
    );
    if (holder === undefined) return;
    const message = `guest path ${guestPath} is in use by the share of ${holder.config.hostPath}`;
    throw new ControllerError("FailedPrecondition", message, {
      operation: "reserve share",
      id: `${this.#options.id} ${hostPath}`,
    });
  }

  #check({ hostPath, readOnly, allowedFiles, guestPath }: ShareConfig): void {
    const { id, paths, noWritableFileShares = false } = this.#options;
    const refuse = refusing("reserve share", `${id} ${hostPath}`);
    if (!paths.isAbsolute(hostPath)) {
      throw refuse("InvalidArgument", `hostPath is ${JSON.stringify(hostPath)}, expected ${paths.expected}`);
    }
    if (!readOnly && noWritableFileShares) {
      throw refuse(
        "FailedPrecondition",
        "the share is writable, but this VM allows only read-only shares: expected option ro",
      );
    }
    if (guestPath !== undefined && !guestPath.startsWith("/")) {
      throw refuse("InvalidArgument", `guestPath is ${JSON.stringify(guestPath)}, expected an absolute path`);
    }
    if (allowedFiles?.length === 0) {
      throw refuse(
        "InvalidArgument",
        "allowedFiles is empty, expected at least one name; omit the list to allow all files",
      );
    }
    for (const name of allowedFiles ?? []) {
      if (paths.isName(name)) continue;
      const accepted = "the name of a file directly below hostPath";
      throw refuse("InvalidArgument", `allowedFiles holds ${JSON.stringify(name)}, expected ${accepted}`);
    }
  }

  #require(reservation: string, operation: string): SharedDirectory {
    const directory = this.#reservations.get(reservation);
    if (directory !== undefined) return directory;
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}
