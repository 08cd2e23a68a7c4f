/** The file that declares which devices an emulated host can assign to its VMs. */
import {
  type Check,
  closedObject,
  filledText,
  highestVirtualFunction,
  integer,
  list,
  optional,
  refine,
  SchemaError,
} from "@uvm-shim/hcs-schema";

/** The file that says which devices the machine pretends to have. */
export interface DeclaredDevices {
  readonly devices: readonly DeclaredDevice[];
}

/** A device that can be assigned to VMs, and what of this machine comes with it. */
export interface DeclaredDevice {
  /** Unique without regard to case. */
  readonly instancePath: string;
  /** Number of virtual functions, each of which can be assigned by itself; 1 by default. */
  readonly functions?: number;
  /** A character device of this machine that the guest gets with each function. */
  readonly characterDevice?: string;
  /** A directory of this machine that the guest gets with each function. */
  readonly directory?: string;
}

const absolutePath = refine(filledText, "an absolute path", (path) => path.startsWith("/"));

const checkForm = closedObject<DeclaredDevices>({
  devices: list(
    closedObject<DeclaredDevice>({
      instancePath: filledText,
      functions: optional(integer(1, highestVirtualFunction + 1)),
      characterDevice: optional(absolutePath),
      directory: optional(absolutePath),
    }),
  ),
});

/** Throws a SchemaError with the path of what is wrong, or with the device that is declared twice. */
export const checkDeclaredDevices: Check<DeclaredDevices> = (value, path = "") => {
  const declared = checkForm(value, path);
  const names = declared.devices.map(({ instancePath }) => instancePath.toLowerCase());
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) {
      throw new SchemaError(
        `devices[${index}].instancePath`,
        `${declared.devices[index]?.instancePath} is declared twice`,
      );
    }
  }
  return declared;
};
