/**
 * The whole of both references: `@uvm-shim/hcs-schema/tables`. It is apart from the rest, since a bundler would keep all
 * of it for whoever needs a part; programs have the types of a virtual machine's document without it.
 */
import { containerTypes } from "./document-container.ts";
import { endpointTypes } from "./document-hcn-endpoint.ts";
import { guestNetworkTypes } from "./document-hcn-guest.ts";
import { networkTypes } from "./document-hcn-network.ts";
import { layerTypes } from "./document-layers.ts";
import { namespaceTypes } from "./document-namespaces.ts";
import { processTypes } from "./document-process.ts";
import { propertyTypes } from "./document-properties.ts";
import { requestTypes } from "./document-requests.ts";
import { resultTypes } from "./document-results.ts";
import type { SchemaType } from "./document-schema.ts";
import { serviceTypes } from "./document-service.ts";
import { virtualMachineTypes } from "./document-virtual-machine.ts";

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

export type HcsType<Name extends keyof typeof hcsTypes> = SchemaType<typeof hcsTypes, Name>;
export type HcnType<Name extends keyof typeof hcnTypes> = SchemaType<typeof hcnTypes, Name>;
