import type { Chipset } from "@uvm-shim/hcs-schema";
import {
  cleanPath,
  type HostFacts,
  hasBuild,
  isAbsolute,
  joinPath,
  refuse,
  refusePath,
} from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { kernelLine, type RootFs } from "./kernel-line.ts";

/** The folder with a VM's boot files. */
export interface BootFolder {
  readonly path: string;
  /** Path of the first of these files that exists; InvalidArgument if none does. */
  readonly require: (...names: readonly string[]) => string;
  readonly has: (name: string) => boolean;
}

const localFolder = "LinuxBootFiles";

/** The folder of the boot files: annotation, then option, then the folder beside the shim. Refuses a relative path. */
export function bootFolder({ values, options, host }: Context): BootFolder {
  const { pathGrammar, hasFile } = host;
  const [field, path] = values.bootFilesRootPath
    ? [keyOf("bootFilesRootPath"), values.bootFilesRootPath]
    : options.bootFilesRootPath
      ? ["boot_files_root_path", options.bootFilesRootPath]
      : [keyOf("bootFilesRootPath"), defaultFolder(host)];
  // A relative path would be resolved by the host's service, in another working directory.
  if (!isAbsolute(pathGrammar, path)) refusePath(field, path, "an absolute path");
  const join = (name: string): string => joinPath(pathGrammar, path, name);
  const require = (...names: readonly string[]): string => {
    const paths = names.map(join);
    const found = paths.find(hasFile);
    if (found !== undefined) return found;
    return refusePath(field, path, `a folder with boot files: there is no file ${paths.join(" or ")}`);
  };
  return { path: cleanPath(pathGrammar, path), require, has: (name) => hasFile(join(name)) };
}

function defaultFolder({ pathGrammar, executableFolder, linuxBootFolder, programFiles, hasFolder }: HostFacts): string {
  const local = joinPath(pathGrammar, executableFolder, linuxBootFolder ?? localFolder);
  return hasFolder(local) || programFiles === undefined
    ? local
    : joinPath(pathGrammar, programFiles, "Linux Containers");
}

/** How a VM boots. */
export interface Boot {
  readonly chipset: Chipset;
  /** Path of the root file system, if it is a disk. */
  readonly rootFsVhd: string | undefined;
}

const firstBuildWithKernelDirect = 18_286;

/** Boots a kernel from the boot folder, loaded directly or by UEFI from a file system that the host provides. */
export function standardBoot(context: Context, processors: number): Boot {
  const { values, warn } = context;
  const folder = bootFolder(context);
  const direct = bootsDirectly(context);
  const kernel = direct ? folder.require("vmlinux", "kernel") : folder.require("kernel");
  const rootFs: RootFs = values.preferredRootFs || (folder.has("rootfs.vhd") ? "vhd" : "initrd");
  if (rootFs === "initrd") {
    for (const name of ["writableOverlays", "dmVerityMode"] as const) {
      if (values[name]) warn(`annotation ${keyOf(name)} has no effect on an initrd`);
    }
  }
  const rootFsPath = folder.require(rootFs === "vhd" ? "rootfs.vhd" : "initrd.img");
  const line = kernelLine(context, { rootFs, direct, processors });
  const initrd = rootFs === "initrd" ? { InitRdPath: rootFsPath } : {};
  return {
    chipset: direct
      ? { LinuxKernelDirect: { KernelFilePath: kernel, ...initrd, KernelCmdLine: line } }
      : {
          Uefi: {
            BootThis: { DeviceType: "VmbFs", DevicePath: "\\kernel", VmbFsRootPath: folder.path, OptionalData: line },
          },
        },
    rootFsVhd: rootFs === "vhd" ? rootFsPath : undefined,
  };
}

function bootsDirectly({ values, host }: Context): boolean {
  const problem =
    host.architecture === "arm64"
      ? "false: arm64 hosts cannot boot kernels directly"
      : hasBuild(host, firstBuildWithKernelDirect)
        ? undefined
        : `false: build ${host.build} cannot boot kernels directly, build ${firstBuildWithKernelDirect} and later can`;
  if (values.kernelDirectBoot === true && problem !== undefined) refuse(keyOf("kernelDirectBoot"), "true", problem);
  return values.kernelDirectBoot ?? problem === undefined;
}
