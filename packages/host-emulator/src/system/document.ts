import {
  type ComputeSystemDocument,
  checkComputeSystemDocument,
  checkMemorySize,
  checkProcessorLimits,
  type HvSocketDevice,
  type Plan9Share,
  plan9ShareFlags,
  scsiControllerGuids,
  type VirtualPciDevice,
  type VirtualSmbDevice,
} from "@uvm-shim/hcs-schema";
import type { DiskSlot, GuestBoot, ProcessorShare } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { bootOf } from "./boot.ts";
import { type DiskFile, openDiskFile, realPath } from "./disk-file.ts";
import { checkRegistryChanges } from "./registry-changes.ts";
import { checkNuma, refuseUnemulated } from "./virtual-hardware.ts";
import { checkVsmbDevice } from "./vsmb.ts";

/** A checked document, converted for the emulated host. */
export interface SystemPlan {
  readonly owner: string;
  readonly endsWithLastHandle: boolean;
  readonly boot: GuestBoot;
  readonly memoryMb: number;
  readonly processors: number;
  readonly limits: ProcessorShare;
  readonly cpuGroupId: string | undefined;
  /** Whether the memory is reserved at the start instead of at first use. */
  readonly physicallyBacked: boolean;
  /** Numbers of the SCSI controllers. */
  readonly controllers: ReadonlySet<number>;
  readonly hasPlan9: boolean;
  readonly disks: readonly { readonly slot: DiskSlot; readonly disk: DiskFile }[];
  readonly shares: readonly Plan9Share[];
  readonly vsmb: VirtualSmbDevice | undefined;
  readonly hvsockets: HvSocketDevice | undefined;
  /** Name of the pipe at which the first serial port is served; undefined for a machine without one. */
  readonly serialPipe: string | undefined;
  /** Devices by VMBus GUID. */
  readonly devices: ReadonlyMap<string, VirtualPciDevice>;
}

/** Reads a document as strictly as the compute service does. Throws HcsFailure or SchemaError. */
export function readDocument(document: unknown): SystemPlan {
  const checked = checkComputeSystemDocument(document);
  const { Major: major, Minor: minor } = checked.SchemaVersion;
  if (major !== 2) {
    throw new HcsFailure(
      "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
      `SchemaVersion: expected version 2, got ${major}.${minor}`,
    );
  }
  const { ComputeTopology: topology, Devices: devices } = checked.VirtualMachine;
  refuseUnemulated(checked.VirtualMachine);
  checkNuma(topology);
  const { Memory: memory, Processor: processor } = topology;
  const { Limit: limit, Weight: weight } = processor;
  const processorAt = "VirtualMachine.ComputeTopology.Processor";
  checkProcessorLimits({ Limit: limit, Weight: weight }, processorAt);
  const shares = devices?.Plan9?.Shares ?? [];
  const names = new Set<string>();
  for (const [index, share] of shares.entries()) {
    checkShare(share, `VirtualMachine.Devices.Plan9.Shares[${index}]`);
    if (names.has(share.AccessName)) {
      throw new HcsFailure(
        "HCS_E_INVALID_JSON",
        `VirtualMachine.Devices.Plan9.Shares: duplicate access name ${share.AccessName}`,
      );
    }
    names.add(share.AccessName);
  }
  checkVsmbDevice(devices?.VirtualSmb);
  checkRegistryChanges(checked.VirtualMachine.RegistryChanges);
  return {
    owner: checked.Owner,
    endsWithLastHandle: checked.ShouldTerminateOnLastHandleClosed ?? false,
    boot: bootOf(checked.VirtualMachine),
    memoryMb: checkMemorySize(memory.SizeInMB, "VirtualMachine.ComputeTopology.Memory.SizeInMB"),
    processors: processor.Count,
    limits: { ...(limit && { limit }), ...(weight && { weight }) },
    cpuGroupId: processor.CpuGroup?.Id,
    physicallyBacked: memory.AllowOvercommit !== true,
    ...readScsi(checked),
    hasPlan9: devices?.Plan9 !== undefined,
    shares,
    vsmb: devices?.VirtualSmb,
    hvsockets: devices?.HvSocket,
    serialPipe: devices?.ComPorts?.["0"]?.NamedPipe,
    devices: new Map(Object.entries(devices?.VirtualPci ?? {})),
  };
}

function readScsi(document: ComputeSystemDocument): Pick<SystemPlan, "controllers" | "disks"> {
  const at = "VirtualMachine.Devices.Scsi";
  const controllers = new Set<number>();
  const disks: { slot: DiskSlot; disk: DiskFile }[] = [];
  for (const [name, { Attachments: attachments = {} }] of Object.entries(document.VirtualMachine.Devices?.Scsi ?? {})) {
    const controller = controllerNumber(name);
    if (controller === undefined || controllers.has(controller)) {
      const problem = controller === undefined ? "not a SCSI controller of a utility VM" : "duplicate controller";
      throw new HcsFailure("E_INVALIDARG", `${at}.${name}: ${problem}`);
    }
    controllers.add(controller);
    for (const [lun, attachment] of Object.entries(attachments)) {
      const disk = openDiskFile(attachment, `${at}.${name}.Attachments.${lun}`);
      disks.push({ slot: { controller, lun: Number(lun) }, disk });
    }
  }
  return { controllers, disks };
}

/** The number of a controller, given by number or well-known GUID. */
export function controllerNumber(name: string): number | undefined {
  const lower = name.toLowerCase();
  const index = scsiControllerGuids.findIndex((guid, number) => guid === lower || String(number) === name);
  return index === -1 ? undefined : index;
}

/** Checks the values of a share. `field` names it in errors. */
export function checkShare(share: Plan9Share, field: string): void {
  realPath(share.Path, `${field}.Path`);
  const restricted = (share.Flags & plan9ShareFlags.restrictFileAccess) !== 0;
  if (restricted !== (share.AllowedFiles !== undefined)) {
    throw new HcsFailure(
      "E_INVALIDARG",
      `${field}.AllowedFiles: expected if and only if the flag restrictFileAccess is set`,
    );
  }
  for (const name of share.AllowedFiles ?? []) {
    if (name.startsWith("/") || name.split("/").some((part) => part === "" || part === "." || part === "..")) {
      throw new HcsFailure(
        "E_INVALIDARG",
        `${field}.AllowedFiles: expected paths below the shared directory, got ${JSON.stringify(name)}`,
      );
    }
    realPath(`${share.Path}/${name}`, `${field}.AllowedFiles`);
  }
}
