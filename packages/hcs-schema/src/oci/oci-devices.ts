import { type Check, list, oneOf, openObject, optional, refine, text, truth } from "../check.ts";
import { highestVirtualFunction } from "../document/checks.ts";
import type { OciSpec } from "./oci.ts";

/** One rule of `linux.resources.devices`. A number that is absent or -1 matches all. */
export interface OciDeviceRule {
  readonly allow: boolean;
  /** "a", or absent: block and character devices. */
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Any of the letters r, w and m; absent: all of them. */
  readonly access?: string;
}

const deviceNumber: Check<number> = refine(
  (value) => value as number,
  "an integer of at least -1",
  (value) => Number.isInteger(value) && value >= -1,
);

/** `linux.resources.devices` of the OCI runtime specification: which devices a container may use. */
export const checkOciDeviceRules: Check<readonly OciDeviceRule[]> = list(
  openObject<OciDeviceRule>({
    allow: truth,
    type: optional(oneOf("", "a", "b", "c", "u", "p")),
    major: optional(deviceNumber),
    minor: optional(deviceNumber),
    access: optional(refine(text, "a combination of r, w and m", (value) => /^[rwm]{0,3}$/.test(value))),
  }),
);

/** Whether the rules allow every device, as those of a privileged container do. */
export function allowsAllDevices(rules: readonly OciDeviceRule[]): boolean {
  const last = rules.findLastIndex(isForAll);
  return rules[last]?.allow === true && rules.slice(last).every(({ allow }) => allow);
}

function isForAll({ type = "a", major = -1, minor = -1, access = "rwm" }: OciDeviceRule): boolean {
  const letters = access === "" ? "rwm" : access;
  return (
    (type === "a" || type === "") && major === -1 && minor === -1 && [..."rwm"].every((at) => letters.includes(at))
  );
}

/** One device, as rules name it. */
export interface OciDeviceNumber {
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
}

/** What the rules allow for one device: letters of rwm, in this order. Later rules override earlier ones. */
export function allowedAccess(rules: readonly OciDeviceRule[], device: OciDeviceNumber): string {
  const allowed = new Set<string>();
  for (const { allow, type = "a", major = -1, minor = -1, access = "" } of rules) {
    if (type !== "a" && type !== "" && type !== device.type) continue;
    if ((major !== -1 && major !== device.major) || (minor !== -1 && minor !== device.minor)) continue;
    for (const letter of access === "" ? "rwm" : access) {
      if (allow) allowed.add(letter);
      else allowed.delete(letter);
    }
  }
  return [..."rwm"].filter((letter) => allowed.has(letter)).join("");
}

/** The types of device ids in `windows.devices` that name a device of the host to be assigned to the VM. */
export const assignedDeviceIdTypes = ["vpci-instance-id", "vpci", "gpu"] as const;

/** A device that a container asks for in `windows.devices`: an id, and the type that says how to read it. */
export type OciWindowsDevice = NonNullable<NonNullable<OciSpec["windows"]>["devices"]>[number];

/** One function of a device of the host. */
export interface AssignedDeviceFunction {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
}

/** The form that `assignedDeviceFunction` accepts, for errors. */
export const assignedDeviceIdForm = `a device instance path, optionally with /<virtual function, 0 to ${highestVirtualFunction}>`;

/**
 * The function that the id of an assigned device names; undefined if the id is invalid. If the last part is a number,
 * it is the virtual function, and the separators of the path before it become single backslashes. If it is no number,
 * or a number that is too large behind a backslash, the whole id is the path of the device, unchanged.
 */
export function assignedDeviceFunction(id: string): AssignedDeviceFunction | undefined {
  const [, before = "", separator, digits] = /^(.*)([\\/])(\d+)$/s.exec(id) ?? [];
  const whole = id === "" || id.includes("\0") ? undefined : { deviceInstancePath: id, virtualFunction: 0 };
  if (whole === undefined || digits === undefined) return whole;
  const virtualFunction = Number(digits);
  if (virtualFunction > highestVirtualFunction) return separator === "/" ? undefined : whole;
  const deviceInstancePath = before.replaceAll(/[\\/]+/g, "\\").replace(/\\$/, "");
  return deviceInstancePath === "" ? undefined : { deviceInstancePath, virtualFunction };
}
