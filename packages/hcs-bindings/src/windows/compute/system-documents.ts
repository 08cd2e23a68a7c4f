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

/** Reads the properties of a compute system. */
export function readProperties(value: unknown): ComputeSystemProperties {
  // The service omits empty values.
  return checkComputeSystemProperties({ Owner: "", ...(value as object | null) }, "properties");
}

/** Reads an enumeration of systems, without containers of the host. */
export function readEnumeration(value: unknown): readonly ComputeSystemProperties[] {
  const systems: readonly unknown[] = Array.isArray(value) ? value : [];
  return systems.filter(isVirtualMachine).map((system) => readProperties(system));
}

function isVirtualMachine(system: unknown): boolean {
  const isObject = typeof system === "object" && system !== null && !Array.isArray(system);
  return isObject && checkSystemType(system).SystemType === "VirtualMachine";
}

/** Reads the event of an exit. An event without a valid document still is an exit. */
export function readExit(data: string | undefined): SystemExitStatus {
  try {
    return checkSystemExitStatus(parseHostDocument(data));
  } catch {
    return { Status: 0, ExitType: "Unknown" };
  }
}

/** Reads the event of a crash; text that is not a report becomes the log. */
export function readCrash(data: string | undefined): CrashReport {
  try {
    return checkCrashReport(parseHostDocument(data));
  } catch {
    return data === undefined ? {} : checkCrashReport({ CrashLog: data });
  }
}
