import { ControllerError } from "@uvm-shim/lifecycle";
import { type HostMounts, hostMountsOf } from "../plan/root.ts";
import type { BegunMounts, ContainerHostFiles, RootfsMount } from "../types.ts";

/** The part of a container's request that decides what the host mounts. */
export interface EarlyRequest {
  readonly bundle: string;
  /** config.json as parsed JSON, unchecked. */
  readonly spec?: unknown;
  readonly rootfs?: readonly RootfsMount[];
}

/** What is needed of the host. */
export type MountingFiles = Pick<ContainerHostFiles, "mountAll" | "unmountAll">;

/**
 * The host's mounts of a root file system, made while there is no container for it: it may come with a VM that has to
 * start first. They belong to the container once it has taken them.
 */
export class EarlyMounts implements BegunMounts {
  readonly #root: HostMounts | undefined;
  readonly #files: MountingFiles;
  readonly #giveUp = new AbortController();
  #isOver = false;
  /** While it is nobody else's to release; may reject. */
  #mounted: Promise<void> | undefined;

  constructor({ bundle, spec, rootfs = [] }: EarlyRequest, files: MountingFiles) {
    this.#root = hostMountsOf({ bundle, rootfs, layerFolders: layerFoldersIn(spec) });
    this.#files = files;
  }

  /** Begins to mount. Its failure is told when the container takes the mounts. */
  begin(): void {
    if (this.#isOver || this.#root === undefined) return;
    const { mounts, directory } = this.#root;
    this.#mounted ??= this.#files.mountAll(mounts, directory, this.#giveUp.signal);
    this.#mounted.catch(() => {});
  }

  take(directory: string, signal?: AbortSignal): Promise<void> | undefined {
    const mounted = this.#mounted;
    if (this.#isOver || mounted === undefined || directory !== this.#root?.directory) return undefined;
    this.#isOver = true;
    this.#mounted = undefined;
    const giveUp = (): void => this.#giveUp.abort(signal?.reason);
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    return mounted.finally(() => signal?.removeEventListener("abort", giveUp));
  }

  /** Unmounts what no container has taken. Repeatable after a failure; afterwards nothing more is mounted. */
  async release(): Promise<void> {
    this.#isOver = true;
    if (this.#mounted === undefined || this.#root === undefined) return;
    const { directory: id } = this.#root;
    this.#giveUp.abort(new ControllerError("Cancelled", "there will be no container", { operation: "mount", id }));
    await this.#mounted.catch(() => {});
    await this.#files.unmountAll(id);
    this.#mounted = undefined;
  }
}

function layerFoldersIn(spec: unknown): readonly string[] {
  const { windows } = (spec ?? {}) as { readonly windows?: { readonly layerFolders?: unknown } | null };
  const folders = windows?.layerFolders;
  return Array.isArray(folders) ? folders : [];
}
