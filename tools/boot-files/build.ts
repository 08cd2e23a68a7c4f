/** Makes the boot files of a virtual machine: kernel, initial RAM disk and root. */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { appendVhdFooter } from "@uvm-shim/test-support/disk";
import type { Run } from "./debian-tree.ts";
import { initialRamDisk } from "./initial-root.ts";
import { KernelModules } from "./kernel-modules.ts";
import { erofsArguments, layOutRoot, rootId } from "./root-image.ts";

/** The names of the boot files in their folder. A shim finds kernel and root by theirs; the host finds the other by the kernel's. */
export const bootFiles = { kernel: "kernel", initialRamDisk: "kernel.initrd", root: "rootfs.vhd" } as const;

/** What boot files are made from. */
export interface Ingredients {
  /** A tree with the kernel, its modules, and the guest's programs. */
  readonly tree: string;
  /** The runtime of the agent. */
  readonly node: string;
  /** The folder of the agent's bundle. */
  readonly agent: string;
  /** Starts mkfs.erofs. */
  readonly makeImage: (args: readonly string[]) => Promise<unknown>;
}

/** Makes the boot files in a folder, and returns the size of each in bytes. */
export async function buildBootFiles(
  folder: string,
  { tree, node, agent, makeImage }: Ingredients,
): Promise<Readonly<Record<string, number>>> {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, ".new-"));
  try {
    const modules = new KernelModules(modulesFolder(tree));
    copyFileSync(kernelOf(tree, modules.release), join(work, bootFiles.kernel));
    const busybox = join(tree, "usr", "bin", "busybox");
    if (!existsSync(busybox)) throw new Error(`no package in ${tree} has busybox`);
    writeFileSync(join(work, bootFiles.initialRamDisk), initialRamDisk(readFileSync(busybox), modules));
    const root = join(work, "root");
    mkdirSync(root);
    layOutRoot(root, { tree, modules, node, agent });
    await makeImage(erofsArguments(join(work, bootFiles.root), root));
    // Of the same content it is the same disk.
    appendVhdFooter(join(work, bootFiles.root), rootId);
    const names = Object.values(bootFiles);
    for (const name of names) renameSync(join(work, name), join(folder, name));
    return Object.fromEntries(names.map((name) => [name, statSync(join(folder, name)).size]));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function modulesFolder(tree: string): string {
  const above = join(tree, "usr", "lib", "modules");
  const [release, ...others] = existsSync(above) ? readdirSync(above) : [];
  if (release === undefined) throw new Error(`no package in ${tree} has a kernel's modules`);
  if (others.length > 0)
    throw new Error(`the packages in ${tree} have several kernels: ${[release, ...others].join(", ")}`);
  return join(above, release);
}

function kernelOf(tree: string, release: string): string {
  const path = join(tree, "boot", `vmlinuz-${release}`);
  if (!existsSync(path)) throw new Error(`no package in ${tree} has the kernel ${release}`);
  return path;
}

/** Starts a program out of a tree of packages, with the libraries of the tree. The C library is this machine's. */
export function runFromTree(tree: string, name: string, run: Run): (args: readonly string[]) => Promise<string> {
  const libraries = join(tree, "usr", "lib", "x86_64-linux-gnu");
  return (args) => run("env", [`LD_LIBRARY_PATH=${libraries}`, join(tree, "usr", "bin", name), ...args]);
}

/** Changes with everything that the boot files are made from. */
export function digestOf(packages: readonly string[], files: readonly string[]): string {
  const hash = createHash("sha256").update(packages.join("\n"));
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(file));
  return hash.digest("hex");
}
