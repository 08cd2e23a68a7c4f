/** What a Windows guest is sent as JSON in strings: a container's document and a process's parameters. */
import type { Check } from "../check.ts";
import { hcsReleases, schemaCheck } from "../document/schema.ts";
import { type HcsType, hcsTypes } from "../document/tables.ts";

// A Windows guest refuses unknown fields. A host needs none of these tables: they are named in calls alone, so that
// bundles leave them out.
export const checkHostedSystem: Check<HcsType<"HostedSystem">> = (value, path) =>
  schemaCheck(hcsTypes, "HostedSystem", { releases: hcsReleases })(value, path);

export const checkWindowsProcessParameters: Check<HcsType<"ProcessParameters">> = (value, path) =>
  schemaCheck(hcsTypes, "ProcessParameters", { releases: hcsReleases })(value, path);
