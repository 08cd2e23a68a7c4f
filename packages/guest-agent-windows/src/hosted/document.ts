/** A container as the host describes it, checked for what this guest can do. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { checkHostedSystem, parseWithin, SchemaError } from "@uvm-shim/hcs-schema";

export type ContainerDocument = NonNullable<ReturnType<typeof checkHostedSystem>["Container"]>;

const path = "ContainerConfig";
/** A document may carry a credential specification, and values of the registry. */
const bounds = { length: 4 * 1024 * 1024, depth: 32, keys: 65_536, elements: 65_536 };
const hostProcessFolder = "C:\\hpc";

/** Throws a SchemaError for fields that the guest does not know, and a GuestFault for what it cannot do. */
export function readContainerDocument(text: string): ContainerDocument {
  const system = checkHostedSystem(parseWithin(text, bounds, path), path);
  const { Major, Minor } = system.SchemaVersion ?? {};
  if (Major !== 2)
    throw new SchemaError(`${path}.SchemaVersion`, `expected version 2.1 or later, got ${Major}.${Minor}`);
  const container = system.Container;
  if (container === undefined) throw new SchemaError(`${path}.Container`, "expected a container");
  if ((container.Storage?.Path ?? "") === "")
    throw new SchemaError(`${path}.Container.Storage.Path`, "expected a path");
  if ((container.AssignedDevices ?? []).length > 0) {
    throw new GuestFault(
      "ERROR_NOT_SUPPORTED",
      `${path}.Container.AssignedDevices: Wine has no drivers for devices, so this guest hands none to containers`,
    );
  }
  return container;
}

export function isHostProcess({ IsolationType }: ContainerDocument): boolean {
  return IsolationType === "HostProcess";
}

/** Where a host process container finds its own layers in the file system of the virtual machine. */
export function hostProcessRoot({ Storage }: ContainerDocument): string {
  const given = Storage?.PrivilegedContainerRootPath ?? "";
  return given === "" ? hostProcessFolder : given;
}
