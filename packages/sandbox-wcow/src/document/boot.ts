import type { ScsiAttachment, VirtualMachine, VirtualSmbShare } from "@uvm-shim/hcs-schema";
import { isAbsolute, joinPath, refuse, refusePath, SandboxError } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import type { WindowsLayers } from "../layers.ts";
import type { HostPreparation } from "../settings.ts";

/** What the guest boots from, and what its host must do for that. */
export interface Boot {
  readonly machine: Pick<VirtualMachine, "Chipset" | "GuestState" | "SecuritySettings" | "Version">;
  /** By LUN of the only SCSI controller. */
  readonly disks: readonly ScsiAttachment[];
  readonly shares: readonly VirtualSmbShare[];
  readonly preparation: Omit<HostPreparation, "vmGroupAccess">;
}

/** In the guest's own form, whatever the host. */
const bootManager = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi";
/** The name of a scratch disk, in whichever folder. */
export const scratchFile = "sandbox.vhdx";
const vmFolder = "UtilityVM";

/** Boots the utility VM that is part of a layer, from a share of its files, on a scratch disk of its own. */
export function layerBoot(context: Context, layers: WindowsLayers | undefined, bundle: string): Boot {
  const { host, values } = context;
  const { pathGrammar, hasFile } = host;
  const join = (...parts: readonly string[]): string =>
    parts.reduce((folder, name) => joinPath(pathGrammar, folder, name));
  const { folder, scratchLayer } = layers === undefined ? withoutLayers(context, bundle) : utilityVm(context, layers);
  // A container may use the same scratch layer.
  const scratchFolder = join(scratchLayer, "vm");
  const scratch = join(scratchFolder, scratchFile);
  const template = join(folder, vmFolder, "SystemTemplate.vhdx");
  const isThere = hasFile(scratch);
  if (!isThere && !hasFile(template)) {
    refusePath("rootfs", folder, `a layer with the scratch disk of a VM: there is no file ${template}`);
  }
  const noDirectMap = values.vsmbNoDirectMap || values.fullyPhysicallyBacked;
  return {
    machine: { Chipset: { Uefi: { BootThis: { DeviceType: "VmbFs", DevicePath: bootManager } } } },
    disks: [{ Type: "VirtualDisk", Path: scratch }],
    shares: [
      {
        Name: "os",
        Path: join(folder, vmFolder, "Files"),
        Options: {
          ReadOnly: true,
          ShareRead: true,
          CacheIo: true,
          TakeBackupPrivilege: true,
          ...(noDirectMap && { NoDirectmap: true }),
          PseudoOplocks: true,
        },
      },
    ],
    preparation: {
      folders: [scratchFolder],
      copies: isThere ? [] : [{ from: template, to: scratch, existing: "keep" }],
      vmAccess: [scratch],
      diskIdentifiers: [],
    },
  };
}

interface UtilityVm {
  /** The layer that has the utility VM's files. */
  readonly folder: string;
  readonly scratchLayer: string;
}

function utilityVm({ host }: Context, layers: WindowsLayers): UtilityVm {
  const { pathGrammar, hasFile, hasFolder } = host;
  switch (layers.kind) {
    case "folders": {
      const hasVm = (layer: string): boolean => {
        const path = joinPath(pathGrammar, layer, vmFolder);
        return hasFolder(path) || hasFile(path);
      };
      const folder = layers.parents.find(hasVm);
      if (folder !== undefined) return { folder, scratchLayer: layers.scratch };
      const [base = ""] = layers.parents.slice(-1);
      return refusePath("rootfs", base, `layers with a utility VM: none of them has a folder ${vmFolder}`);
    }
    case "forked CIMs":
      return refuse("rootfs[0].type", "CimFS", "windows-layer: no VM boots from CimFS layers");
    case "block CIMs":
      return refuse(
        "rootfs[0].type",
        "BlockCIM",
        `windows-layer: VMs boot from BlockCIM layers only with ${keyOf("securityPolicy")}`,
      );
  }
}

/** The caller of the Sandbox API has no layers for a sandbox. */
function withoutLayers({ values, host: { pathGrammar } }: Context, bundle: string): UtilityVm {
  const { bootFilesRootPath: folder } = values;
  const key = keyOf("bootFilesRootPath");
  if (!folder) {
    const accepted = `layers of a Windows image with a utility VM, or its folder by option boot_files_root_path or ${key}`;
    throw new SandboxError("InvalidArgument", "rootfs", `got nothing, expected ${accepted}`);
  }
  if (!isAbsolute(pathGrammar, folder)) refusePath(key, folder, "an absolute path");
  return { folder, scratchLayer: bundle };
}
