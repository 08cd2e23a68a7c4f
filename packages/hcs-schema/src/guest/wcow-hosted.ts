/** What a Windows guest is sent as JSON in strings: a container's document and a process's parameters. */
import type { Check } from "../check.ts";
import { hcsReleases, schemaCheck } from "../document/schema.ts";
import { type HcsType, hcsTypes } from "../document/tables.ts";

// A Windows guest refuses unknown fields.
export const checkHostedSystem: Check<HcsType<"HostedSystem">> = schemaCheck(hcsTypes, "HostedSystem", {
  releases: hcsReleases,
});

export const checkWindowsProcessParameters: Check<HcsType<"ProcessParameters">> = schemaCheck(
  hcsTypes,
  "ProcessParameters",
  { releases: hcsReleases },
);
