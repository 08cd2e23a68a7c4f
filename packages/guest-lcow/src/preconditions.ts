/** Requests about the VM that crash the real agent, and with it the VM, so that they must not be sent. */
import { GcsError, type Procedure, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { type LinuxGuestRequest, type LinuxProcessParameters, scsiControllerGuids } from "@uvm-shim/hcs-schema";

/** Throws InvalidArgument for a process of the VM itself without a program. */
export function checkVmProgram({ CommandArgs: [program = ""] = [] }: LinuxProcessParameters): void {
  if (program !== "") return;
  throw invalidArgument("executeProcess", "CommandArgs is empty: expected a program of the guest");
}

/** Throws InvalidArgument for a disk at a controller that VMs do not have. */
export function checkController(request: LinuxGuestRequest): void {
  if (request.ResourceType !== "MappedVirtualDisk" && request.ResourceType !== "SCSIDevice") return;
  const { Controller: number } = request.Settings;
  const most = scsiControllerGuids.length - 1;
  if (Number.isInteger(number) && number >= 0 && number <= most) return;
  throw invalidArgument(
    "modifySettings",
    `invalid ${request.ResourceType}.Controller ${number}: expected 0 to ${most}`,
  );
}

function invalidArgument(procedure: Procedure, message: string): GcsError {
  return new GcsError("InvalidArgument", message, { procedure, containerId: uvmContainerId });
}
