import {
  type ComputeSystemDocument,
  checkCpuGroup,
  type ModifySettingRequest,
  processorLimit,
  resourcePaths,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import type { VmComputeSystem, VmFlavour, VmGuest, VmUpdate } from "./types.ts";

const mebibyte = 2 ** 20;
/** Annotation of a task's update: the CPU group that the VM is to join. */
export const cpuGroupAnnotation = "io.microsoft.virtualmachine.cpugroup.id";

/** HCS takes memory in steps of 2 MiB; the limit is rounded up. */
export function memoryInMb(bytes: number): number {
  return Math.ceil(bytes / (2 * mebibyte)) * 2;
}

/** A share of the VM's processors in the unit of HCS; more than all of them counts as all. */
export function limitOf(share: number): number {
  return clamp(Math.round(share * processorLimit.unlimited), processorLimit.unlimited);
}

/** A weight of processors in HCS's range. */
export function weightOf(weight: number): number {
  return clamp(Math.round(weight), processorLimit.heaviest);
}

function clamp(value: number, most: number): number {
  return Math.min(most, Math.max(1, value));
}

/** What exists once the compute system does. */
export interface Machine<Devices = unknown> {
  readonly system: VmComputeSystem;
  /** By which it was made, or to which it has been changed since. */
  document: ComputeSystemDocument;
  readonly devices: Devices;
  /** The size last set on the host and in the guest. */
  memoryInMb: number;
}

/** Another document for a running VM, and what the host has to change for it. */
export interface Refit {
  readonly document: ComputeSystemDocument;
  readonly changes: readonly ModifySettingRequest[];
}

/** What an update of a running VM is made from. */
export interface UpdateParts<Guest extends VmGuest> {
  readonly id: string;
  readonly flavour: VmFlavour<Guest>;
  readonly guest: Guest;
  readonly machine: Machine;
  readonly signal: AbortSignal;
}

/**
 * Updates a running VM. The whole request is checked before any of it is applied. The order is memory, the guest's
 * memory limits, processors, CPU group, policy; after a failure the earlier changes stay, and the update can be
 * repeated.
 */
export async function updateVm<Guest extends VmGuest>(update: VmUpdate, parts: UpdateParts<Guest>): Promise<void> {
  const { flavour, guest, machine, signal } = parts;
  const { memoryInMb: memory, limits, cpuGroup } = readUpdate(update, parts);
  const set = (ResourcePath: string, Settings: unknown): Promise<void> =>
    machine.system.modify({ ResourcePath, RequestType: "Update", Settings }, signal);
  if (memory !== undefined) {
    await set(resourcePaths.memorySize, memory);
    await flavour.memoryResized?.(guest, signal);
    machine.memoryInMb = memory;
  }
  if (limits !== undefined) await set(resourcePaths.processorLimits, limits);
  if (cpuGroup !== undefined) await set(resourcePaths.cpuGroup, cpuGroup);
  if (update.policyFragment !== undefined) {
    const { fragment: Fragment, mediaType: MediaType } = update.policyFragment;
    await guest.injectPolicyFragment({ Fragment, ...(MediaType && { MediaType }) }, signal);
  }
}

/**
 * Changes a running VM into that of another document: the host in the given order, and the guest after its memory. After
 * a failure the earlier changes stay, and the VM is still that of its earlier document.
 */
export async function refitVm<Guest extends VmGuest>(
  { document, changes }: Refit,
  { flavour, guest, machine, signal }: UpdateParts<Guest>,
): Promise<void> {
  const { SizeInMB: memory } = document.VirtualMachine.ComputeTopology.Memory;
  for (const change of changes) {
    await machine.system.modify(change, signal);
    if (change.ResourcePath !== resourcePaths.memorySize) continue;
    await flavour.memoryResized?.(guest, signal);
    machine.memoryInMb = memory;
  }
  machine.document = document;
}

function readUpdate<Guest extends VmGuest>(update: VmUpdate, { id, flavour, machine }: UpdateParts<Guest>) {
  const processors = machine.document.VirtualMachine.ComputeTopology.Processor.Count;
  try {
    const resources = update.resources === undefined ? {} : flavour.readResources(update.resources, processors);
    const group = update.annotations?.[cpuGroupAnnotation];
    const at = `annotations["${cpuGroupAnnotation}"]`;
    const cpuGroup = group === undefined ? undefined : checkCpuGroup({ Id: group }, at);
    return { ...resources, cpuGroup };
  } catch (cause) {
    if (!(cause instanceof SchemaError)) throw cause;
    throw new ControllerError("InvalidArgument", cause.message, { operation: "update VM", id, cause });
  }
}
