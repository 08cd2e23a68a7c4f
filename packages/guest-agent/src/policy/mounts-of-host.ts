import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** A mount that the host has requested. */
interface HostMount {
  readonly path: string;
  readonly kind: "read-only disk" | "writable disk" | "combined layers";
  /** The device; for combined layers, their own path. */
  readonly source: string;
  readonly encrypted: boolean;
  /** Mounts that it lies on. */
  readonly below: readonly HostMount[];
  /** How many combined layers lie on it. */
  users: number;
}

type Undo = () => void;

/** The record of the host's mounts by which a guest with a policy detects inconsistent requests. */
export class MountsOfHost {
  readonly #mounts = new Map<string, HostMount>();

  addDisk(path: string, source: string, isWritable: boolean, encrypted: boolean): Undo {
    return this.#add({ path, kind: kindOf(isWritable), source, encrypted, below: [] });
  }

  addLayers(path: string, layers: readonly string[], scratch: string): Undo {
    const below = [...layers, ...(scratch === "" ? [] : [scratch])].flatMap((place) => this.#containing(place) ?? []);
    return this.#add({ path, kind: "combined layers", source: path, encrypted: false, below });
  }

  removeDisk(path: string, source: string, isWritable: boolean, encrypted: boolean): Undo {
    return this.#remove(path, kindOf(isWritable), source, encrypted);
  }

  removeLayers(path: string): Undo {
    return this.#remove(path, "combined layers", path, false);
  }

  hasLayersAt(path: string): boolean {
    return this.#mounts.get(path)?.kind === "combined layers";
  }

  #add(mount: Omit<HostMount, "users">): Undo {
    if (this.#mounts.has(mount.path)) throw new GuestFault("E_FAIL", `${mount.path} is already a mount`);
    const added = { ...mount, users: 0 };
    this.#mounts.set(mount.path, added);
    for (const lower of added.below) lower.users += 1;
    return () => this.#forget(added);
  }

  /** An unknown mount counts as removed. */
  #remove(path: string, kind: HostMount["kind"], source: string, encrypted: boolean): Undo {
    const mount = this.#mounts.get(path);
    if (mount === undefined) return () => {};
    if (mount.source !== source) {
      throw new GuestFault(
        "E_FAIL",
        `cannot unmount ${path} as a mount of ${source}: it is a mount of ${mount.source}`,
      );
    }
    if (mount.kind !== kind) {
      throw new GuestFault("E_FAIL", `cannot unmount ${path} as ${kind}: it is mounted as ${mount.kind}`);
    }
    if (mount.users > 0) throw new GuestFault("E_FAIL", `${path} is in use by ${mount.users} combined layers`);
    if (mount.encrypted !== encrypted) {
      throw new GuestFault(
        "E_FAIL",
        `invalid Request.Settings.Encrypted ${encrypted}: expected ${mount.encrypted}, as mounted`,
      );
    }
    this.#forget(mount);
    return () => {
      this.#mounts.set(path, mount);
      for (const lower of mount.below) lower.users += 1;
    };
  }

  #forget(mount: HostMount): void {
    this.#mounts.delete(mount.path);
    for (const lower of mount.below) lower.users -= 1;
  }

  /** The innermost mount that a path lies on. */
  #containing(place: string): HostMount | undefined {
    for (let path = place; ; path = posix.dirname(path)) {
      const found = this.#mounts.get(path);
      if (found !== undefined || path === "/") return found;
    }
  }
}

function kindOf(isWritable: boolean): HostMount["kind"] {
  return isWritable ? "writable disk" : "read-only disk";
}
