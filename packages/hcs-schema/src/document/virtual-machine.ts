/** The types of a virtual machine's document: enough to check one, without the rest of the reference. */

import type { Check } from "../check.ts";
import { deviceTypes } from "./devices.ts";
import { machineTypes } from "./machine.ts";
import { migrationTypes } from "./migration.ts";
import { hcsReleases, type SchemaType, schemaCheck } from "./schema.ts";

export const virtualMachineTypes = { ...machineTypes, ...deviceTypes, ...migrationTypes } as const;

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
