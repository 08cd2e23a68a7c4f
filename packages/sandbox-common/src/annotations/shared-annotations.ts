import {
  boolean,
  guid,
  guidAsWritten,
  integer,
  integers,
  type Reader,
  signedInteger,
  startsWith,
  text,
} from "./values.ts";

/** The beginning of the keys about a VM. */
export const vm = "io.microsoft.virtualmachine.";
/** The beginning of the keys about a VM's processors and memory. */
export const topology = `${vm}computetopology.`;
/** Prefix of annotations that microsoft/hcsshim does not have. */
export const own = "io.uvm-shim.";
/** Numbers that a parser of signed 32 bits takes, for keys that are read so elsewhere too. */
export const int32 = signedInteger(0, 2 ** 31 - 1);
/** Numbers that a parser of unsigned 32 bits takes. */
export const uint32 = integer(0, 2 ** 32 - 1);
/** Lists of `uint32`. */
export const uint32s = integers(0, 2 ** 32 - 1);
// More than any machine has, and exact as a number in JSON.
/** Sizes in MB, up to 2^40: beyond any machine, and exact in bytes. */
export const megabytes = integer(0, 2 ** 40);

/** Keys by a name, each with its reader. */
export type AnnotationRows = { readonly [name: string]: readonly [key: string, read: Reader<unknown>] };

/** Annotations with the same meaning for every guest. */
export const sharedAnnotations = {
  bootFilesRootPath: [`${vm}bootfilesrootpath`, text],
  processDumpLocation: ["io.microsoft.container.processdumplocation", text],
  noWritableFileShares: [`${vm}fileshares.disablewritable`, boolean],
  processorCount: [`${topology}processor.count`, int32],
  // In thousandths of a percent of the host's time; 0 means no limit.
  processorLimit: [`${topology}processor.limit`, signedInteger(0, 100_000)],
  processorWeight: [`${topology}processor.weight`, signedInteger(0, 10_000)],
  memorySize: [`${topology}memory.sizeinmb`, megabytes],
  // For VMs whose size follows their containers' limits.
  guestMemory: [`${own}guest-memory-in-mb`, megabytes],
  memoryWithoutLimits: [`${own}memory-without-limits-in-mb`, megabytes],
  processorsWithoutLimits: [`${own}processors-without-limits`, int32],
  allowOvercommit: [`${topology}memory.allowovercommit`, boolean],
  deferredCommit: [`${topology}memory.enabledeferredcommit`, boolean],
  fullyPhysicallyBacked: [`${vm}fullyphysicallybacked`, boolean],
  lowMmioGap: [`${topology}memory.lowmmiogapinmb`, megabytes],
  highMmioBase: [`${topology}memory.highmmiobaseinmb`, megabytes],
  highMmioGap: [`${topology}memory.highmmiogapinmb`, megabytes],
  storageBandwidth: [`${vm}storageqos.bandwidthmaximum`, int32],
  storageIops: [`${vm}storageqos.iopsmaximum`, int32],
  consolePipe: [`${vm}console.pipe`, startsWith("\\\\.\\pipe\\")],
  noSecurityHardware: [`${vm}no_security_hardware`, boolean],
  cpuGroup: [`${vm}cpugroup.id`, guidAsWritten],
  resourcePartition: [`${vm}resource-partition-id`, guid],
  numaProcessorsPerNode: [`${topology}processor.numa.max-processors-per-node`, uint32],
  numaMemoryPerNode: [`${topology}processor.numa.max-size-per-node`, megabytes],
  numaPreferredNodes: [`${topology}numa.preferred-physical-nodes`, uint32s],
  numaMappedNodes: [`${topology}numa.mapped-physical-nodes`, uint32s],
  numaProcessors: [`${topology}numa.count-of-processors`, uint32s],
  numaMemoryBlocks: [`${topology}numa.count-of-memory-blocks`, integers(0, 2 ** 40)],
  disableUnsafeOperations: ["io.microsoft.disable-unsafe-operations", boolean],
  disableHostProcess: ["microsoft.com/disable-hostprocess-container", boolean],
  hostProcess: ["microsoft.com/hostprocess-container", boolean],
  disableGmsa: ["io.microsoft.container.wcow.gmsa.disable", boolean],
  vsmbNoDirectMap: [`${vm}wcow.virtualSMB.nodirectmap`, boolean],
} as const satisfies AnnotationRows;

/** The name of a row of `sharedAnnotations`. */
export type SharedName = keyof typeof sharedAnnotations;
/** What a table's rows read; each value is absent where its annotation is. */
export type ValuesOf<Rows extends AnnotationRows> = { readonly [Name in keyof Rows]?: ReturnType<Rows[Name][1]> };
/** What `sharedAnnotations` read. */
export type SharedValues = ValuesOf<typeof sharedAnnotations>;

/** The key of an annotation, for errors that name it. */
export function keyOf(name: SharedName): string {
  return sharedAnnotations[name][0];
}

/** What disabling unsafe operations sets. */
export const unsafeOperations = [
  "noWritableFileShares",
  "disableHostProcess",
  "disableGmsa",
  "vsmbNoDirectMap",
] as const satisfies readonly SharedName[];
