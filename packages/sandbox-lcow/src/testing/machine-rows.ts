/** Annotations about the VM and its host. */
import { machineRows as common, even, refused } from "@uvm-shim/sandbox-common/testing";
import type { AnnotationName } from "../annotations/annotations.ts";
import { vm } from "./sandbox.ts";
import { kinds, type SettingRows } from "./setting-rows.ts";

const { flag, number } = kinds;
const uint32 = 2 ** 32 - 1;
const megabytes = 2 ** 40;
const physical = { [`${vm}fullyphysicallybacked`]: "true" };

/** A pod with a limit of 64 MiB; the VM's size is rounded up to a multiple of 2 MiB. */
const limited = { pod: { linux: { resources: { memory: { limit: 64 * 2 ** 20 } } } } };

const withNothing = flag(({ warnings }) => warnings, { on: [], off: [] });

/** Rows of the annotations about the VM and its host. */
export const machineRows = {
  ...common,
  guestMemory: number(({ Memory }) => Memory.SizeInMB, {
    most: megabytes,
    more: limited,
    byDefault: 256 + 66,
    find: (asked) => even(asked + 66),
  }),
  coldDiscardHint: flag(({ Memory }) => Memory.EnableColdDiscardHint ?? false),
  vpmemCount: number(({ warnings }) => warnings.length, { given: physical, most: uint32, byDefault: 0, find: () => 1 }),
  encryptScratch: flag(({ settings }) => settings.encryptScratch),
  policyBasedRouting: flag(({ settings }) => settings.policyBasedRouting),
  liveMigration: flag(({ Devices }) => Devices?.Plan9 === undefined),
  disableUnsafeOperations: flag(({ settings }) => settings.noWritableFileShares),
  disableHostProcess: withNothing,
  disableGmsa: withNothing,
  vsmbNoDirectMap: withNothing,
  hostProcess: flag(({ warnings }) => warnings, {
    on: refused("Linux pods have no host processes", "Unimplemented"),
    off: [],
  }),
} satisfies { readonly [Name in AnnotationName]?: SettingRows };
