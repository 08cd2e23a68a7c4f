import {
  type ComputeSystemProperties,
  type CrashReport,
  checkComputeSystemProperties,
  checkCrashReport,
  checkSystemExitStatus,
  type SystemExitStatus,
} from "@uvm-shim/hcs-schema";

type Fields = { readonly [name: string]: unknown };

/** Fields of a system's properties that the driver's contract has; services of other builds tell more. */
const known = ["Id", "SystemType", "Owner", "RuntimeId", "RuntimeOsType", "State", "Memory", "Statistics"];

/** What a query of a compute system was answered with. */
export function readProperties(value: unknown): ComputeSystemProperties {
  const fields: Fields = typeof value === "object" && value !== null ? { ...value } : {};
  // The service leaves out what is empty.
  const told = { Owner: "", ...Object.fromEntries(Object.entries(fields).filter(([name]) => known.includes(name))) };
  return checkComputeSystemProperties(told, "properties");
}

/** Those of an enumeration; containers of the host are none of ours. */
export function readEnumeration(value: unknown): readonly ComputeSystemProperties[] {
  const systems: readonly unknown[] = Array.isArray(value) ? value : [];
  return systems
    .filter((system) => (system as Fields | null)?.SystemType === "VirtualMachine")
    .map((system) => readProperties(system));
}

/** What the event of an exit tells. It is an exit also where it does not tell how. */
export function readExit(data: string | undefined): SystemExitStatus {
  try {
    return checkSystemExitStatus(JSON.parse(data ?? ""));
  } catch {
    return { Status: 0, ExitType: "Unknown" };
  }
}

/** What the event of a crash tells; its own words where those are no report. */
export function readCrash(data: string | undefined): CrashReport {
  try {
    return checkCrashReport(JSON.parse(data ?? ""));
  } catch {
    return data === undefined ? {} : { CrashLog: data };
  }
}
