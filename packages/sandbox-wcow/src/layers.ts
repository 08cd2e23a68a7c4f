import { baseOf, isAbsolute, type PathGrammar, parentOf, refuse, refusePath } from "@uvm-shim/sandbox-common";

/** A mount of a task's request that makes its root file system. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options?: readonly string[];
}

/** Where the layers of a Windows container or sandbox are: parents topmost first, and the scratch layer's folder. */
export type WindowsLayers =
  | { readonly kind: "folders"; readonly scratch: string; readonly parents: readonly string[] }
  | { readonly kind: "forked CIMs"; readonly scratch: string; readonly parents: readonly ForkedCim[] }
  | BlockCims;

/** A layer whose files are in an image, except for some in its folder. */
export interface ForkedCim {
  readonly layer: string;
  readonly cim: string;
}

/** Layers that are images (CimFS) in block devices or files. */
export interface BlockCims {
  readonly kind: "block CIMs";
  readonly scratch: string;
  /** Whether each image is in a block device or in a file. */
  readonly blockType: "device" | "file";
  readonly parents: readonly BlockCim[];
  /** Of several parents. */
  readonly merged?: BlockCim;
}

/** One image. */
export interface BlockCim {
  readonly block: string;
  /** Of the image in the block device or file. */
  readonly name: string;
}

/** Where layers are named. */
export interface LayersRequest {
  /** `windows.layerFolders` of the specification: parents topmost first, then the scratch layer. */
  readonly layerFolders?: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly grammar: PathGrammar;
}

const foldersField = "windows.layerFolders";
const parentLayers = "parentLayerPaths";
const parentCims = "parentCimPaths";
const blockCimType = "blockCIMType";
const mergedCim = "mergedCIMPath";

/** Whether a request names layers, in one form or the other. */
export function hasLayers({ layerFolders, rootfs }: Omit<LayersRequest, "grammar">): boolean {
  return rootfs.length > 0 || !isNone(layerFolders);
}

/** The layers of a request, which names them in exactly one of two forms. Throws SandboxError. */
export function parseWindowsLayers({ layerFolders, rootfs, grammar }: LayersRequest): WindowsLayers {
  if (!isNone(layerFolders)) {
    if (rootfs.length > 0) refuse("rootfs", rootfs.length, `no mounts, as ${foldersField} is given`);
    return ofFolders(layerFolders, grammar);
  }
  const [mount] = rootfs;
  if (mount === undefined || rootfs.length > 1) {
    return refuse("rootfs", rootfs.length, `exactly one mount, or ${foldersField}`);
  }
  return ofMount(mount, grammar);
}

function isNone(layerFolders: unknown): boolean {
  return layerFolders === undefined || layerFolders === null || (Array.isArray(layerFolders) && !layerFolders.length);
}

function ofFolders(layerFolders: unknown, grammar: PathGrammar): WindowsLayers {
  const folders = pathsOf(foldersField, layerFolders, grammar);
  const scratch = folders.at(-1);
  if (scratch === undefined || folders.length < 2) {
    return refuse(foldersField, folders.length, "at least two folders: a base layer and a scratch layer");
  }
  return { kind: "folders", scratch, parents: folders.slice(0, -1) };
}

function ofMount({ type, source, target = "", options = [] }: RootfsMount, grammar: PathGrammar): WindowsLayers {
  if (target !== "") refusePath("rootfs[0].target", target, "none: layers are mounted as one file system");
  const scratch = pathOf("rootfs[0].source", source, grammar);
  const paths = (name: string): readonly string[] => listOption(options.find(isOption(name)), name, grammar);
  switch (type) {
    case "windows-layer": {
      const parents = paths(parentLayers);
      if (parents.length === 0) refuseOption(parentLayers, "a JSON list of at least one path");
      return { kind: "folders", scratch, parents };
    }
    case "CimFS": {
      const [layers, cims] = [paths(parentLayers), paths(parentCims)];
      if (layers.length !== cims.length || layers.length === 0) {
        refuseOption(parentCims, `a JSON list of as many paths as ${parentLayers} has, and at least one`);
      }
      const parents = layers.map((layer, index) => ({ layer, cim: cims[index] ?? "" }));
      return { kind: "forked CIMs", scratch, parents };
    }
    case "BlockCIM":
      return ofBlockCims(scratch, options, grammar);
    default:
      return refuse("rootfs[0].type", type, "one of windows-layer, CimFS, BlockCIM");
  }
}

function ofBlockCims(scratch: string, options: readonly string[], grammar: PathGrammar): BlockCims {
  const cimOf = (path: string): BlockCim => ({ block: parentOf(grammar, path), name: baseOf(grammar, path) });
  const parents = listOption(options.findLast(isOption(parentCims)), parentCims, grammar).map(cimOf);
  if (parents.length === 0) refuseOption(parentCims, "a JSON list of at least one path");
  const blockType = blockTypeOf(options);
  const blocks = { kind: "block CIMs", scratch, blockType, parents } as const;
  if (parents.length === 1) return blocks;
  const merged = pathOf(
    `rootfs[0].options: ${mergedCim}`,
    textOf(options.findLast(isOption(mergedCim)) ?? "="),
    grammar,
  );
  return { ...blocks, merged: cimOf(merged) };
}

function blockTypeOf(options: readonly string[]): BlockCims["blockType"] {
  const types = options.filter(isOption(blockCimType)).map(textOf);
  const wrong = types.length === 0 ? "" : types.find((type) => type !== "device" && type !== "file");
  if (wrong !== undefined) refuse(`rootfs[0].options: ${blockCimType}`, wrong, "device or file");
  return types.at(-1) === "device" ? "device" : "file";
}

/**
 * Of options that are given more than once, the first counts for folders and the last for block CIMs: that is how
 * clients have known each of the two.
 */
function isOption(name: string): (option: string) => boolean {
  return (option) => option.startsWith(`${name}=`);
}

function textOf(option: string): string {
  return option.slice(option.indexOf("=") + 1);
}

/** Paths in a JSON list; none without the option. */
function listOption(option: string | undefined, name: string, grammar: PathGrammar): readonly string[] {
  if (option === undefined) return [];
  const text = textOf(option);
  const field = `rootfs[0].options: ${name}`;
  try {
    return pathsOf(field, JSON.parse(text) ?? [], grammar);
  } catch (error) {
    if (error instanceof SyntaxError) refuse(field, text, "a JSON list of absolute paths");
    throw error;
  }
}

function refuseOption(name: string, accepted: string): never {
  return refuse(`rootfs[0].options: ${name}`, undefined, accepted);
}

function pathsOf(field: string, value: unknown, grammar: PathGrammar): readonly string[] {
  if (!Array.isArray(value)) return refuse(field, value, "a list of absolute paths");
  return value.map((path: unknown, index) => pathOf(`${field}[${index}]`, path, grammar));
}

function pathOf(field: string, value: unknown, grammar: PathGrammar): string {
  if (typeof value !== "string") return refuse(field, value, "an absolute path");
  if (!isAbsolute(grammar, value) || /\p{Cc}/u.test(value)) return refusePath(field, value, "an absolute path");
  return value;
}
