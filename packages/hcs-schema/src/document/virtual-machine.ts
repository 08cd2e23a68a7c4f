/** The types of a virtual machine's document: enough to check one, without the rest of the reference. */

import type { Check } from "../check.ts";
import { deviceTypes } from "./devices.ts";
import { machineTypes } from "./machine.ts";
import { migrationTypes } from "./migration.ts";
import { hcsReleases, type SchemaType, schemaCheck } from "./schema.ts";

/** The tables of the HCS reference that describe a virtual machine, its devices and its migration. */
export const virtualMachineTypes = { ...machineTypes, ...deviceTypes, ...migrationTypes } as const;

/** The TypeScript type of a type in these tables, by its name in the HCS reference. */
export type VirtualMachineType<Name extends keyof typeof virtualMachineTypes> = SchemaType<
  typeof virtualMachineTypes,
  Name
>;

/** Checks a part of a VM's document. With `build`, also that a host of that build supports every field and value. */
export function virtualMachineCheck<Name extends keyof typeof virtualMachineTypes>(
  name: Name,
  build?: number,
): Check<VirtualMachineType<Name>> {
  return schemaCheck(virtualMachineTypes, name, { releases: hcsReleases, ...(build !== undefined && { build }) });
}
