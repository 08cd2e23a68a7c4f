/** The file that tells an emulated host which devices can be assigned to its VMs. */
import { type Check, closedObject, filledText, integer, list, optional, refine, SchemaError } from "./check.ts";
import { highestVirtualFunction } from "./document/checks.ts";

export interface DeclaredDevices {
  readonly devices: readonly DeclaredDevice[];
}

export interface DeclaredDevice {
  /** Unlike any other, also without regard to case. */
  readonly instancePath: string;
  /** How many virtual functions it has, each of which can be assigned by itself; 1 when absent. */
  readonly functions?: number;
  /** A character device of the machine that the guest gets with each function. */
  readonly characterDevice?: string;
  /** A directory of the machine that the guest gets with each function. */
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

export const checkDeclaredDevices: Check<DeclaredDevices> = (value, path = "") => {
  const declared = checkForm(value, path);
  const names = declared.devices.map(({ instancePath }) => instancePath.toLowerCase());
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) {
      throw new SchemaError(
        `devices[${index}].instancePath`,
        `${declared.devices[index]?.instancePath} is there twice`,
      );
    }
  }
  return declared;
};
