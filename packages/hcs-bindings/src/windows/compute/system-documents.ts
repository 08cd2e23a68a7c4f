import {
  type ComputeSystemProperties,
  type CrashReport,
  checkComputeSystemProperties,
  checkCrashReport,
  checkSystemExitStatus,
  checkSystemType,
  type SystemExitStatus,
} from "@uvm-shim/hcs-schema";
import { parseHostDocument } from "../../host-files/host-documents.ts";

/** What a query of a compute system was answered with. */
export function readProperties(value: unknown): ComputeSystemProperties {
  // The service leaves out what is empty.
  return checkComputeSystemProperties({ Owner: "", ...(value as object | null) }, "properties");
}

/** Those of an enumeration; containers of the host are none of ours. */
export function readEnumeration(value: unknown): readonly ComputeSystemProperties[] {
  const systems: readonly unknown[] = Array.isArray(value) ? value : [];
  return systems.filter(isVirtualMachine).map((system) => readProperties(system));
}

function isVirtualMachine(system: unknown): boolean {
  const isObject = typeof system === "object" && system !== null && !Array.isArray(system);
  return isObject && checkSystemType(system).SystemType === "VirtualMachine";
}

/** What the event of an exit tells. It is an exit also where it does not tell how. */
export function readExit(data: string | undefined): SystemExitStatus {
  try {
    return checkSystemExitStatus(parseHostDocument(data));
  } catch {
    return { Status: 0, ExitType: "Unknown" };
  }
}

/** What the event of a crash tells; its own words where those are no report. */
export function readCrash(data: string | undefined): CrashReport {
  try {
    return checkCrashReport(parseHostDocument(data));
  } catch {
    return data === undefined ? {} : checkCrashReport({ CrashLog: data });
  }
}
