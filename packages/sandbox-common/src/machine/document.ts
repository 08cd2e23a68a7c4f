import {
  type ComputeSystemDocument,
  type Devices,
  type HvSocketDevice,
  SchemaError,
  type StorageQoS,
  virtualMachineCheck,
} from "@uvm-shim/hcs-schema";
import { keyOf, type SharedValues } from "../annotations/shared-annotations.ts";
import { refuse } from "../annotations/values.ts";
import { SandboxError } from "../error.ts";
import type { HostFacts } from "../host-facts.ts";

/** Administrators and SYSTEM alone, so that the shim can listen for the guest. */
export const administratorsOnly = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";

/** The template "Microsoft Windows" of UEFI secure boot. */
export const secureBootTemplate = "1734c6e8-3154-4dda-ba5f-a874cc483422";

/** Windows Server 2025. */
export const firstBuildWithNumaAffinity = 26_100;

/** The hvsocket device; a table without services is left out. */
export function hvSocket(config: NonNullable<HvSocketDevice["HvSocketConfig"]>): HvSocketDevice {
  const { ServiceTable: table = {}, ...rest } = config;
  return { HvSocketConfig: { ...rest, ...(Object.keys(table).length > 0 && { ServiceTable: table }) } };
}

/** The serial port whose output a named pipe of the host gets, if an annotation names one. */
export function comPorts({ consolePipe }: SharedValues): Pick<Devices, "ComPorts"> {
  return consolePipe ? { ComPorts: { "0": { NamedPipe: consolePipe } } } : {};
}

/** Limits of storage: operations and bytes a second; 0 is none. */
export function storageQoS(iops: number, bandwidth: number): { readonly StorageQoS?: StorageQoS } {
  if (iops === 0 && bandwidth === 0) return {};
  return {
    StorageQoS: { ...(iops > 0 && { IopsMaximum: iops }), ...(bandwidth > 0 && { BandwidthMaximum: bandwidth }) },
  };
}

/** Refuses a resource partition beside a CPU group: a host can place a VM in one of them only. */
export function refusePartitionOfGroup({ cpuGroup, resourcePartition }: SharedValues): void {
  if (cpuGroup && resourcePartition) {
    refuse(keyOf("resourcePartition"), resourcePartition, `nothing, as ${keyOf("cpuGroup")} is given`);
  }
}

/** Reports here what the host would refuse with a less helpful message. */
export function checkHostHas(document: ComputeSystemDocument, { build }: HostFacts): void {
  try {
    virtualMachineCheck("VirtualMachine", build)(document.VirtualMachine, "VirtualMachine");
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new SandboxError("FailedPrecondition", error.path, error.message.slice(error.path.length + 2));
  }
}

/** The bytes of a security policy. The policy may be long and secret, so no error repeats it. */
export function decodePolicy(key: string, policy: string): Uint8Array {
  const bytes = decodeBase64(policy);
  if (bytes !== undefined) return bytes;
  throw new SandboxError("InvalidArgument", key, `got ${policy.length} characters, expected base64`);
}

/** Undefined for other texts. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Base64 without Node, whose Buffer this package does without. */
export function encodeBase64(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
