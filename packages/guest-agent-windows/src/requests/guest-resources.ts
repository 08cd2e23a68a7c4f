/** What a Windows guest has been given, which says what may come next. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { GuestChange } from "./guest-requests.ts";

type Adapter = { readonly state: "announced" } | { readonly state: "added" };

/** Refuses what comes in a wrong order; the caller does the change between `check` and `record`. */
export class GuestResources {
  /** LUNs by the path that they are mounted at. */
  readonly #disks = new Map<string, number>();
  readonly #directories = new Set<string>();
  /** The roots of combined layers. */
  readonly #roots = new Set<string>();
  readonly #namespaces = new Set<string>();
  readonly #adapters = new Map<string, Adapter>();

  /** The disk over which layers are combined at a root. Throws when none are. */
  combinedDisk(root: string): number {
    if (!this.#roots.has(folded(root))) throw fault("ERROR_PATH_NOT_FOUND", `${root}: no layers are combined there`);
    return this.diskAt(root);
  }

  /** The LUN of the disk that is mounted at a path. Throws when none is. */
  diskAt(path: string): number {
    const lun = this.#disks.get(folded(path));
    if (lun === undefined) throw fault("ERROR_PATH_NOT_FOUND", `${path}: no disk is mounted there`);
    return lun;
  }

  requireNamespace(id: string): void {
    if (!this.#namespaces.has(id.toLowerCase()))
      throw fault("ERROR_NOT_FOUND", `network namespace ${id} does not exist`);
  }

  check(change: GuestChange): void {
    switch (change.type) {
      case "MappedVirtualDisk":
        this.#checkDisk(change.verb, change.settings.ContainerPath, change.settings.Lun);
        return;
      case "MappedDirectory":
        if (this.#directories.has(folded(change.settings.ContainerPath)))
          throw fault("ERROR_ALREADY_EXISTS", `${change.settings.ContainerPath}: a directory is mapped there`);
        return;
      case "CombinedLayers":
        this.#checkLayers(change.verb, change.settings.ContainerRootPath);
        return;
      case "NetworkNamespace":
        this.#checkNamespace(change.verb, change.settings.ID ?? "");
        return;
      case "Network":
        this.#checkAdapter(change.settings.RequestType, change.settings.AdapterId);
        return;
      case "HvSocket":
        return;
    }
  }

  record(change: GuestChange): void {
    switch (change.type) {
      case "MappedVirtualDisk": {
        const { ContainerPath, Lun } = change.settings;
        if (change.verb === "Add") this.#disks.set(folded(ContainerPath), Lun);
        else this.#disks.delete(folded(ContainerPath));
        return;
      }
      case "MappedDirectory":
        this.#directories.add(folded(change.settings.ContainerPath));
        return;
      case "CombinedLayers": {
        const root = folded(change.settings.ContainerRootPath);
        if (change.verb === "Add") this.#roots.add(root);
        else this.#roots.delete(root);
        return;
      }
      case "NetworkNamespace": {
        const id = (change.settings.ID ?? "").toLowerCase();
        if (change.verb === "Add") this.#namespaces.add(id);
        else this.#namespaces.delete(id);
        return;
      }
      case "Network": {
        const id = change.settings.AdapterId.toLowerCase();
        if (change.settings.RequestType === "Remove") this.#adapters.delete(id);
        else this.#adapters.set(id, { state: change.settings.RequestType === "PreAdd" ? "announced" : "added" });
        return;
      }
      case "HvSocket":
        return;
    }
  }

  #checkDisk(verb: "Add" | "Remove", path: string, lun: number): void {
    const mounted = this.#disks.get(folded(path));
    if (verb === "Add") {
      if (mounted !== undefined) throw fault("ERROR_ALREADY_EXISTS", `${path}: disk ${mounted} is mounted there`);
      return;
    }
    if (mounted !== lun) throw fault("ERROR_NOT_FOUND", `${path}: disk ${lun} is not mounted there`);
    if (this.#roots.has(folded(path)))
      throw fault("ERROR_SHARING_VIOLATION", `${path}: the layers that are combined there need disk ${lun}`);
  }

  #checkLayers(verb: "Add" | "Remove", root: string): void {
    const isCombined = this.#roots.has(folded(root));
    if (verb === "Remove") {
      if (!isCombined) throw fault("ERROR_NOT_FOUND", `${root}: no layers are combined there`);
      return;
    }
    if (isCombined) throw fault("ERROR_ALREADY_EXISTS", `${root}: layers are combined there`);
    // The scratch is what is mounted at the root: there is no other place for it in the request.
    if (!this.#disks.has(folded(root))) throw fault("ERROR_PATH_NOT_FOUND", `${root}: no disk is mounted there`);
  }

  #checkNamespace(verb: "Add" | "Remove", id: string): void {
    const exists = this.#namespaces.has(id.toLowerCase());
    if (verb === "Add" && exists) throw fault("ERROR_ALREADY_EXISTS", `network namespace ${id} exists`);
    if (verb === "Remove" && !exists) throw fault("ERROR_NOT_FOUND", `network namespace ${id} does not exist`);
  }

  #checkAdapter(step: "PreAdd" | "Add" | "Remove", id: string): void {
    const state = this.#adapters.get(id.toLowerCase())?.state;
    if (step === "PreAdd" && state !== undefined) throw fault("ERROR_ALREADY_EXISTS", `adapter ${id} is ${state}`);
    if (step === "Add" && state !== "announced")
      throw fault("ERROR_NOT_FOUND", `adapter ${id} is ${state ?? "not announced"}: expected an announced one`);
    if (step === "Remove" && state === undefined) throw fault("ERROR_NOT_FOUND", `adapter ${id} does not exist`);
  }
}

/** Windows compares paths without regard to case. */
function folded(path: string): string {
  return path.toLowerCase().replaceAll("/", "\\").replace(/\\+$/, "");
}

function fault(result: ConstructorParameters<typeof GuestFault>[0], message: string): GuestFault {
  return new GuestFault(result, message);
}
