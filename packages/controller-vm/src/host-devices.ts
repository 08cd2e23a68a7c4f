import {
  type ComputeSystemDocument,
  lunsPerScsiController,
  type ModifySettingRequest,
  resourcePaths,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import { ControllerError, codeOf, refusing } from "@uvm-shim/lifecycle";
import type { ScsiWiring, VmGuest, VmHostDevices } from "./types.ts";

type Modify = (request: ModifySettingRequest, signal: AbortSignal | undefined) => Promise<void>;

/**
 * The device controllers' requests as modifications of the compute system. A system that is about to end refuses
 * removals. Its devices count as removed when it has ended, and no sooner, since its disks are in use until then.
 */
export function hostDevices(modify: Modify, endsSoon: () => Promise<boolean>): VmHostDevices {
  const remove: Modify = async (request, signal) => {
    try {
      await modify(request, signal);
    } catch (error) {
      const id = request.ResourcePath;
      // Errors of this process say themselves whether the VM is gone.
      const isOfHost = codeOf(error) === "FailedPrecondition" && !(error instanceof ControllerError);
      if (!isOfHost || !(await endsSoon())) throw error;
      const details = { operation: "remove from VM", id, gone: true, cause: error };
      throw new ControllerError("FailedPrecondition", "the VM has ended", details);
    }
  };
  const scsiPath = (controller: number, lun: number): string => {
    const guid = scsiControllerGuids[controller];
    if (guid !== undefined) return resourcePaths.scsi(guid, lun);
    throw new ControllerError(
      "InvalidArgument",
      `invalid SCSI controller ${controller}: expected 0 to ${scsiControllerGuids.length - 1}`,
      {
        operation: "name SCSI controller",
        id: String(controller),
      },
    );
  };
  return {
    attachDisk: async (controller, lun, attachment, signal) =>
      modify({ ResourcePath: scsiPath(controller, lun), RequestType: "Add", Settings: attachment }, signal),
    detachDisk: async (controller, lun, signal) =>
      remove({ ResourcePath: scsiPath(controller, lun), RequestType: "Remove" }, signal),
    addShare: (share, signal) =>
      modify({ ResourcePath: resourcePaths.plan9Shares, RequestType: "Add", Settings: share }, signal),
    removeShare: (share, signal) =>
      remove({ ResourcePath: resourcePaths.plan9Shares, RequestType: "Remove", Settings: share }, signal),
    addVsmbShare: (share, signal) =>
      modify({ ResourcePath: resourcePaths.virtualSmbShares, RequestType: "Add", Settings: share }, signal),
    updateVsmbShare: (share, signal) =>
      modify({ ResourcePath: resourcePaths.virtualSmbShares, RequestType: "Update", Settings: share }, signal),
    removeVsmbShare: (share, signal) =>
      remove({ ResourcePath: resourcePaths.virtualSmbShares, RequestType: "Remove", Settings: share }, signal),
    mapPipe: (path, signal) => modify({ ResourcePath: resourcePaths.mappedPipe(path), RequestType: "Add" }, signal),
    unmapPipe: (path, signal) =>
      remove({ ResourcePath: resourcePaths.mappedPipe(path), RequestType: "Remove" }, signal),
    assignDevice: (vmBusGuid, device, signal) =>
      modify({ ResourcePath: resourcePaths.virtualPci(vmBusGuid), RequestType: "Add", Settings: device }, signal),
    unassignDevice: (vmBusGuid, signal) =>
      remove({ ResourcePath: resourcePaths.virtualPci(vmBusGuid), RequestType: "Remove" }, signal),
    updateHvSocketService: (service, config, signal) =>
      modify({ ResourcePath: resourcePaths.hvSocketService(service), RequestType: "Update", Settings: config }, signal),
    addNic: (nicId, adapter, signal) =>
      modify({ ResourcePath: resourcePaths.networkAdapter(nicId), RequestType: "Add", Settings: adapter }, signal),
    removeNic: (nicId, adapter, signal) =>
      remove({ ResourcePath: resourcePaths.networkAdapter(nicId), RequestType: "Remove", Settings: adapter }, signal),
  };
}

/** The SCSI controllers of a VM's document, and the disks in them. */
export interface DocumentDisks {
  readonly controllers: number;
  readonly reserved: ScsiWiring<VmGuest>["reserved"];
}

/**
 * The number of SCSI controllers in the document, and the slots that it uses. Controllers are named by well-known GUID
 * or by number; other names and gaps are InvalidArgument, since slots on them cannot be addressed.
 */
export function documentDisks(id: string, document: ComputeSystemDocument): DocumentDisks {
  const refuse = refusing("create VM", id);
  const scsi = document.VirtualMachine.Devices?.Scsi ?? {};
  const controllers = Object.keys(scsi).length;
  const numbers = new Set<number>();
  const reserved = Object.entries(scsi).flatMap(([name, { Attachments = {} }]) => {
    const controller = scsiControllerGuids.findIndex((guid, number) =>
      [guid, String(number)].includes(name.toLowerCase()),
    );
    const field = `VirtualMachine.Devices.Scsi.${name}`;
    if (controller === -1 || controller >= controllers || numbers.has(controller)) {
      const expected = `each of ${scsiControllerGuids.slice(0, controllers).join(", ")} once`;
      throw refuse("InvalidArgument", `${field}: expected ${expected}`);
    }
    numbers.add(controller);
    return Object.entries(Attachments).map(([key, attachment]) => {
      const lun = Number(key);
      if (!/^\d{1,2}$/.test(key) || lun >= lunsPerScsiController) {
        const expected = `a LUN from 0 to ${lunsPerScsiController - 1}`;
        throw refuse("InvalidArgument", `${field}.Attachments.${key}: expected ${expected}`);
      }
      return { controller, lun, attachment };
    });
  });
  return { controllers, reserved };
}

/** Whether the kernel command line turns PCI off, so that the guest would never see an assigned device. */
export function isPciOff({ VirtualMachine: machine }: ComputeSystemDocument): boolean {
  const line = machine.Chipset.LinuxKernelDirect?.KernelCmdLine ?? "";
  return line.split(/\s+/).includes("pci=off");
}
