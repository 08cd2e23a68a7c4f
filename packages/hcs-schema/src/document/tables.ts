/**
 * Both references in full: `@uvm-shim/hcs-schema/tables`. They have an entry of their own because a bundler would keep
 * all of them for a program that needs a part. The types of a virtual machine's document are available without them.
 */

import { endpointTypes } from "../hcn/endpoint.ts";
import { guestNetworkTypes } from "../hcn/guest-network.ts";
import { networkTypes } from "../hcn/network.ts";
import { containerTypes } from "./container.ts";
import { layerTypes } from "./layers.ts";
import { namespaceTypes } from "./namespaces.ts";
import { processTypes } from "./process.ts";
import { propertyTypes } from "./properties.ts";
import { requestTypes } from "./requests.ts";
import { resultTypes } from "./results.ts";
import type { SchemaType } from "./schema.ts";
import { serviceTypes } from "./service.ts";
import { virtualMachineTypes } from "./virtual-machine.ts";

/** Every type of the HCS reference, and those that microsoft/hcsshim sends beyond it. */
export const hcsTypes = {
  ...virtualMachineTypes,
  ...containerTypes,
  ...namespaceTypes,
  ...processTypes,
  ...propertyTypes,
  ...resultTypes,
  ...serviceTypes,
  ...layerTypes,
  ...requestTypes,
} as const;

/** Every type of the HCN reference. */
export const hcnTypes = { ...guestNetworkTypes, ...endpointTypes, ...networkTypes } as const;

/** The TypeScript type of a type in the HCS reference, by its name there: `HcsType<"Attachment">`. */
export type HcsType<Name extends keyof typeof hcsTypes> = SchemaType<typeof hcsTypes, Name>;
/** The TypeScript type of a type in the HCN reference, by its name there: `HcnType<"HostComputeNetwork">`. */
export type HcnType<Name extends keyof typeof hcnTypes> = SchemaType<typeof hcnTypes, Name>;
