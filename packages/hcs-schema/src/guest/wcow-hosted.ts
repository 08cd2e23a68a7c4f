/** What a Windows guest is sent as JSON in strings: a container's document and a process's parameters. */
import type { Check } from "../check.ts";
import { hcsReleases, schemaCheck } from "../document/schema.ts";
import { type HcsType, hcsTypes } from "../document/tables.ts";

// A host needs none of these tables: they are named in calls alone, so that bundles leave them out.
/**
 * The container's document in a create message to a Windows guest: HostedSystem of the HCS schema. Unknown fields are
 * refused, as the guest refuses them.
 */
export const checkHostedSystem: Check<HcsType<"HostedSystem">> = (value, path) =>
  schemaCheck(hcsTypes, "HostedSystem", { releases: hcsReleases })(value, path);

/** The parameters in an execute message to a Windows guest: ProcessParameters of the HCS schema. */
export const checkWindowsProcessParameters: Check<HcsType<"ProcessParameters">> = (value, path) =>
  schemaCheck(hcsTypes, "ProcessParameters", { releases: hcsReleases })(value, path);
