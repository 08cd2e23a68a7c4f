/** Requests of which the reference's agent dies, and its VM with it, so that they must not be sent: those about the VM. */
import { GcsError, type Procedure, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { type LinuxGuestRequest, type LinuxProcessParameters, scsiControllerGuids } from "@uvm-shim/hcs-schema";

/** Throws InvalidArgument for a process of the VM itself that has no program. */
export function checkVmProgram({ CommandArgs: [program = ""] = [] }: LinuxProcessParameters): void {
  if (program !== "") return;
  throw refusing("executeProcess", uvmContainerId)("CommandArgs", "no program", "a program of the guest");
}

/** Throws InvalidArgument for a disk at a controller that no VM has. */
export function checkController(request: LinuxGuestRequest): void {
  if (request.ResourceType !== "MappedVirtualDisk" && request.ResourceType !== "SCSIDevice") return;
  const { Controller: number } = request.Settings;
  const most = scsiControllerGuids.length - 1;
  if (Number.isInteger(number) && number >= 0 && number <= most) return;
  throw refusing("modifySettings", uvmContainerId)(`${request.ResourceType}.Controller`, number, `0 to ${most}`);
}

function refusing(procedure: Procedure, containerId: string) {
  return (field: string, given: unknown, expected: string): GcsError =>
    new GcsError("InvalidArgument", `${field}: ${given} given, expected ${expected}`, { procedure, containerId });
}
