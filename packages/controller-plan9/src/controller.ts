import { ControllerError, type HostPaths, OperationQueue, refusing, wrapError } from "@uvm-shim/lifecycle";
import type { MountStateKind, ShareStateKind } from "./lifecycle.ts";
import { Share } from "./share.ts";
import type { Plan9Guest, Plan9Host, ShareConfig } from "./types.ts";

export interface Plan9ControllerOptions {
  /** Id of the VM, for messages. */
  readonly id: string;
  readonly host: Plan9Host;
  /** The guest, asked for at each use; throws while there is none. */
  readonly guest: () => Plan9Guest;
  /** A new id for a reservation. */
  readonly newId: () => string;
  /** Refuses every share that the guest could write to. */
  readonly noWritableFileShares?: boolean;
  /** Paths of the host that serves the shares. */
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

/** What its holders share: the directory as they want it, and the share that now stands for it. */
interface SharedDirectory {
  /** What all who want this share have in common. */
  readonly key: string;
  readonly config: ShareConfig;
  readonly holders: Set<string>;
  readonly queue: OperationQueue;
  share: Share;
}

/**
 * Plan9 shares of one Linux VM. A caller reserves a directory, maps it, and unmaps it in the end, also when mapping
 * failed; an unmap that failed is repeated until it succeeds. Who wants the same directory with the same flags gets
 * the same share; other flags, and another place in the guest, make another share.
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
   * Reserves a share. Answers with the reservation's id; when it throws there is nothing to undo. InvalidArgument: no
   * such share is possible; FailedPrecondition: it is writable, and the VM allows none of these.
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
   * Adds and mounts the share, as far as that is not done, and answers with the path in the guest. Repeatable. When
   * it fails the reservation remains: map again, or unmap. NotFound: no such reservation.
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
   * Gives the reservation back; the last one unmounts and removes the share. What is gone counts as done, and so does
   * an unknown reservation, so that repeating is harmless. A failed unmap keeps the reservation; the next one goes on
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
        // Asked only now: others may have reserved it while the host removed the share; they will map a new one.
        if (directory.holders.size === 0) this.#directories.delete(directory.key);
      }, signal);
    } catch (error) {
      throw wrapError(error, "unmap share", `${id} ${directory.config.hostPath} as ${directory.share.name}`);
    }
  }

  /** Names are never used again in this VM. */
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

  /** A second share at the same place would hide the first from those who have it. */
  #refuseTakenPath(key: string, { hostPath, guestPath }: ShareConfig): void {
    if (guestPath === undefined) return;
    const holder = [...this.#directories.values()].find(
      (held) => held.key !== key && held.config.guestPath === guestPath,
    );
    if (holder === undefined) return;
    const message = `${guestPath} in the guest is in use by the share of ${holder.config.hostPath}`;
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
      throw refuse("InvalidArgument", "allowedFiles is empty, expected at least one name, or no list to allow all");
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
