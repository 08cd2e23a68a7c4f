import type { RootfsMount } from "@uvm-shim/container-common";
import { type JsonBounds, list, parseWithin, text } from "@uvm-shim/hcs-schema";
import type { HostPaths, Refuse } from "@uvm-shim/lifecycle";

/** Where the layers of a Windows root file system are, and the folder of its scratch disk. Topmost first. */
export type WindowsLayers =
  | { readonly kind: "folders"; readonly scratch: string; readonly parents: readonly string[] }
  | {
      readonly kind: "forked CIMs";
      readonly scratch: string;
      readonly parents: readonly { readonly layer: string; readonly cim: string }[];
    }
  | {
      readonly kind: "block CIMs";
      readonly scratch: string;
      readonly blockType: "device" | "file";
      readonly parents: readonly BlockCim[];
      readonly merged?: BlockCim;
    };

export interface BlockCim {
  readonly block: string;
  readonly name: string;
}

interface LayerSource {
  readonly layerFolders: readonly string[];
  readonly rootfs: readonly RootfsMount[];
  readonly paths: HostPaths;
}

/** Reads the layers from either `windows.layerFolders` or the one mount of the root file system. */
export function parseWindowsLayers({ layerFolders, rootfs, paths }: LayerSource, refuse: Refuse): WindowsLayers {
  const [mount, ...more] = rootfs;
  if ((mount === undefined) === (layerFolders.length === 0) || more.length > 0) {
    const given = `${rootfs.length} mounts and ${layerFolders.length} folders`;
    const message = `rootfs: expected either one mount or config.json: windows.layerFolders, got ${given}`;
    throw refuse("InvalidArgument", message);
  }
  if (mount !== undefined) return new LayersMount(mount, paths, refuse).layers();
  const scratch = layerFolders.at(-1) ?? "";
  if (layerFolders.length < 2 || !layerFolders.every((folder) => paths.isAbsolute(folder))) {
    const accepted = "the absolute paths of at least one layer and of the scratch disk's folder";
    const given = JSON.stringify(layerFolders).slice(0, 200);
    throw refuse("InvalidArgument", `config.json: windows.layerFolders is ${given}, expected ${accepted}`);
  }
  return { kind: "folders", scratch, parents: layerFolders.slice(0, -1) };
}

const bounds: JsonBounds = { length: 2 ** 20, depth: 2, keys: 0, elements: 1000 };

/** A mount that one of the snapshotters for Windows made. */
class LayersMount {
  readonly #mount: RootfsMount;
  readonly #paths: HostPaths;
  readonly #refuse: Refuse;

  constructor(mount: RootfsMount, paths: HostPaths, refuse: Refuse) {
    this.#mount = mount;
    this.#paths = paths;
    this.#refuse = refuse;
  }

  layers(): WindowsLayers {
    const { type, source: scratch, target = "" } = this.#mount;
    if (target !== "") throw this.#wrong(`target is ${JSON.stringify(target.slice(0, 200))}, expected none`);
    if (!this.#paths.isAbsolute(scratch)) throw this.#wrong(`source is no path, expected ${this.#paths.expected}`);
    switch (type) {
      case "windows-layer":
        return { kind: "folders", scratch, parents: this.#list("parentLayerPaths=") };
      case "CimFS":
        return { kind: "forked CIMs", scratch, parents: this.#forked() };
      case "BlockCIM":
        return this.#blockCims(scratch);
      default:
        throw this.#wrong("expected type windows-layer or BlockCIM");
    }
  }

  #forked(): readonly { readonly layer: string; readonly cim: string }[] {
    const cims = this.#list("parentCimPaths=");
    const folders = this.#list("parentLayerPaths=");
    if (cims.length !== folders.length) {
      throw this.#wrong(`expected as many CIMs as layers, got ${cims.length} and ${folders.length}`);
    }
    return folders.map((layer, index) => ({ layer, cim: cims[index] ?? "" }));
  }

  #blockCims(scratch: string): WindowsLayers {
    const parents = this.#list("parentCimPaths=").map((path) => this.#blockCim(path, "parentCimPaths="));
    const blockType = this.#option("blockCIMType=");
    if (blockType !== "device" && blockType !== "file") {
      throw this.#wrong(`option blockCIMType= is ${JSON.stringify(blockType ?? "")}, expected device or file`);
    }
    if (parents.length === 1) return { kind: "block CIMs", scratch, blockType, parents };
    const merged = this.#blockCim(this.#option("mergedCIMPath=") ?? "", "mergedCIMPath=");
    return { kind: "block CIMs", scratch, blockType, parents, merged };
  }

  /** The last part of the path is the name in the block device or file. */
  #blockCim(path: string, option: string): BlockCim {
    const { folder, name } = this.#paths.isAbsolute(path) ? this.#paths.split(path) : { folder: "", name: "" };
    if (name !== "") return { block: folder, name };
    const given = JSON.stringify(path.slice(0, 200));
    throw this.#wrong(`option ${option} is ${given}, expected the path of a block device or file, with a CIM's name`);
  }

  #list(option: string): readonly string[] {
    const given = this.#option(option);
    const wrong = (cause?: unknown) => {
      const shown = given === undefined ? "missing" : given.slice(0, 200);
      return this.#wrong(`option ${option} is ${shown}, expected a JSON list of absolute paths, at least one`, cause);
    };
    try {
      const paths = list(text)(parseWithin(given ?? "", bounds));
      if (paths.length > 0 && paths.every((path) => this.#paths.isAbsolute(path))) return paths;
    } catch (error) {
      throw wrong(error);
    }
    throw wrong();
  }

  #option(prefix: string): string | undefined {
    return this.#mount.options.find((option) => option.startsWith(prefix))?.slice(prefix.length);
  }

  #wrong(problem: string, cause?: unknown): Error {
    const where = `rootfs: ${this.#mount.type} mount of ${this.#mount.source}`.slice(0, 300);
    return this.#refuse("InvalidArgument", `${where}: ${problem}`, cause);
  }
}
