import { checkGuid, lunsPerScsiController, resourcePaths } from "@uvm-shim/hcs-schema";
import type { DiskSlot } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { controllerNumber } from "./document.ts";
import { type HvsocketResource, hvsocketServiceOf } from "./hvsockets.ts";
import type { VsmbResource } from "./vsmb.ts";

/** What the resource path of a modify request names. */
export type Resource =
  | { readonly kind: "scsi"; readonly slot: DiskSlot }
  | { readonly kind: "plan9" }
  | VsmbResource
  | HvsocketResource
  | { readonly kind: "vpci"; readonly vmBusGuid: string }
  | { readonly kind: "nic"; readonly id: string }
  | { readonly kind: "memorySize" }
  | { readonly kind: "processorLimits" }
  | { readonly kind: "cpuGroup" };

const nicPath = /^VirtualMachine\/Devices\/NetworkAdapters\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;
const pipePath = /^VirtualMachine\/Devices\/MappedPipes\/(\\\\[.?]\\pipe\\.+)$/i;
const scsiPath = /^VirtualMachine\/Devices\/Scsi\/([^/]+)\/Attachments\/(\d{1,2})$/;

/** Resolves the resource path of a modify request. Unknown paths are E_INVALIDARG. */
export function readResourcePath(path: string): Resource {
  if (path === resourcePaths.plan9Shares) return { kind: "plan9" };
  if (path === resourcePaths.virtualSmbShares) return { kind: "vsmb" };
  const pipe = pipePath.exec(path)?.[1];
  if (pipe !== undefined) return { kind: "pipe", path: pipe };
  const hvsocketService = resourcePaths.hvSocketService("");
  if (path.startsWith(hvsocketService)) return hvsocketServiceOf(path.slice(hvsocketService.length));
  const vpci = resourcePaths.virtualPci("");
  if (path.startsWith(vpci)) return { kind: "vpci", vmBusGuid: vmBusGuidOf(path.slice(vpci.length)) };
  const nic = nicPath.exec(path)?.[1];
  if (nic !== undefined) return { kind: "nic", id: nic.toLowerCase() };
  if (path === resourcePaths.memorySize) return { kind: "memorySize" };
  if (path === resourcePaths.processorLimits) return { kind: "processorLimits" };
  if (path === resourcePaths.cpuGroup) return { kind: "cpuGroup" };
  const [, name, number] = scsiPath.exec(path) ?? [];
  if (name === undefined || number === undefined) {
    throw new HcsFailure(
      "E_INVALIDARG",
      `ResourcePath: unknown path ${JSON.stringify(path)}: expected ${resourcePaths.plan9Shares}, ${resourcePaths.virtualSmbShares}, ${resourcePaths.mappedPipe("\\\\.\\pipe\\<name>")}, ${hvsocketService}<GUID>, ${vpci}<VMBus GUID>, ${resourcePaths.networkAdapter("<GUID>")} or VirtualMachine/Devices/Scsi/<controller>/Attachments/<lun>`,
    );
  }
  const controller = controllerNumber(name);
  const lun = Number(number);
  if (controller === undefined) {
    throw new HcsFailure("E_INVALIDARG", `ResourcePath: ${name} is not a SCSI controller of a utility VM`);
  }
  if (lun >= lunsPerScsiController) {
    throw new HcsFailure(
      "E_INVALIDARG",
      `ResourcePath: expected a LUN from 0 to ${lunsPerScsiController - 1}, got ${lun}`,
    );
  }
  return { kind: "scsi", slot: { controller, lun } };
}

function vmBusGuidOf(name: string): string {
  try {
    return checkGuid(name, "VMBus GUID");
  } catch (cause) {
    throw new HcsFailure("E_INVALIDARG", `ResourcePath: ${(cause as Error).message}`, { cause });
  }
}
