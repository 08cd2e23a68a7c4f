import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { appendVhdFooter, makeExt4 } from "./disk.ts";

/** A root file system of layers, as containerd's lcow snapshotter hands it over. */
export interface LayersMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/**
 * Makes a directory with the disk of a read-only layer, filled from another directory. `append` adds more after its file
 * system, such as a hash tree.
 */
export async function makeLayer(
  directory: string,
  contents: string,
  mebibytes = 32,
  append: (disk: string) => unknown = () => {},
): Promise<string> {
  return await makeDiskDirectory(directory, "layer.vhd", mebibytes, contents, append);
}

/** Makes a directory with an empty scratch disk. */
export async function makeScratch(directory: string, mebibytes = 32): Promise<string> {
  return await makeDiskDirectory(directory, "sandbox.vhd", mebibytes);
}

/** @param layers the directories of the layers, topmost first. */
export function layersMount(scratch: string, layers: readonly string[]): LayersMount {
  return { type: "lcow-layer", source: scratch, options: [`parentLayerPaths=${JSON.stringify(layers)}`] };
}

async function makeDiskDirectory(
  directory: string,
  name: string,
  mebibytes: number,
  contents?: string,
  append: (disk: string) => unknown = () => {},
) {
  mkdirSync(directory);
  const disk = join(directory, name);
  await makeExt4(disk, mebibytes, contents);
  append(disk);
  appendVhdFooter(disk);
  return directory;
}
