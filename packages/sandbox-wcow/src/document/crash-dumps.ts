import type { Devices, VirtualMachine } from "@uvm-shim/hcs-schema";
import { cleanPath, isAbsolute, joinPath, refusePath } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";

/** Where a guest that crashes leaves its dumps, and the parts of the document that say so. */
export interface CrashDumps {
  /** The folder, if there is one. */
  readonly folders: readonly string[];
  readonly machine: Pick<VirtualMachine, "DebugOptions">;
  readonly devices: Pick<Devices, "GuestCrashReporting">;
}

/** Where dumps of a guest that crashes are written. */
export function crashDumps({ values, host: { pathGrammar, hasFolder } }: Context, vmId: string): CrashDumps {
  const { dumpFolder } = values;
  if (!dumpFolder) return { folders: [], machine: {}, devices: {} };
  const folder = cleanPath(pathGrammar, dumpFolder);
  if (!isAbsolute(pathGrammar, dumpFolder) || !hasFolder(folder)) {
    refusePath(keyOf("dumpFolder"), dumpFolder, "the absolute path of a folder that exists");
  }
  const file = (suffix: string): string => joinPath(pathGrammar, folder, `${vmId}-${suffix}`);
  return {
    folders: [folder],
    machine: {
      DebugOptions: {
        BugcheckSavedStateFileName: file("savedstate.vmrs"),
        BugcheckNoCrashdumpSavedStateFileName: file("savedstate_nocrashdump.vmrs"),
      },
    },
    devices: {
      GuestCrashReporting: { WindowsCrashSettings: { DumpFileName: file("windows-crash"), DumpType: "Full" } },
    },
  };
}
