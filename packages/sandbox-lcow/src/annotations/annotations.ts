import { readServiceTable, type ServiceTable, serviceTablePrefix } from "../document/service-table.ts";
import { SandboxError } from "../error.ts";
import { nearest } from "./nearest.ts";
import {
  boolean,
  fileName,
  guid,
  guidAsWritten,
  integer,
  integers,
  oneOf,
  optional,
  type Reader,
  refuse,
  startsWith,
  text,
} from "./values.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
/** Prefix of annotations that microsoft/hcsshim does not have. */
const own = "io.uvm-shim.";
const int32 = integer(0, 2 ** 31 - 1);
const uint32 = integer(0, 2 ** 32 - 1);
const uint32s = integers(0, 2 ** 32 - 1);
// More than any machine has, and exact as a number in JSON.
const megabytes = integer(0, 2 ** 40);

/** Every annotation with an effect: its key and its reader. */
const effective = {
  bootFilesRootPath: [`${vm}bootfilesrootpath`, text],
  kernelDirectBoot: [`${vm}lcow.kerneldirectboot`, boolean],
  preferredRootFs: [`${vm}lcow.preferredrootfstype`, optional(oneOf("initrd", "vhd"))],
  kernelBootOptions: [`${vm}lcow.kernelbootoptions`, text],
  vpciEnabled: [`${vm}lcow.vpcienabled`, boolean],
  disableTimeSync: [`${vm}lcow.timesync.disable`, boolean],
  writableOverlays: [`${vm}lcow.writable-overlay-directories`, boolean],
  extraExecArguments: [`${vm}lcow.extra-exec-command-args`, text],
  processDumpLocation: ["io.microsoft.container.processdumplocation", text],
  noWritableFileShares: [`${vm}fileshares.disablewritable`, boolean],
  processorCount: [`${topology}processor.count`, int32],
  // In thousandths of a percent of the host's time; 0 means no limit.
  processorLimit: [`${topology}processor.limit`, integer(0, 100_000)],
  processorWeight: [`${topology}processor.weight`, integer(0, 10_000)],
  memorySize: [`${topology}memory.sizeinmb`, megabytes],
  // For VMs whose size follows the pod's limits.
  guestMemory: [`${own}guest-memory-in-mb`, megabytes],
  memoryWithoutLimits: [`${own}memory-without-limits-in-mb`, megabytes],
  processorsWithoutLimits: [`${own}processors-without-limits`, int32],
  allowOvercommit: [`${topology}memory.allowovercommit`, boolean],
  deferredCommit: [`${topology}memory.enabledeferredcommit`, boolean],
  coldDiscardHint: [`${topology}memory.enablecolddiscardhint`, boolean],
  fullyPhysicallyBacked: [`${vm}fullyphysicallybacked`, boolean],
  lowMmioGap: [`${topology}memory.lowmmiogapinmb`, megabytes],
  highMmioBase: [`${topology}memory.highmmiobaseinmb`, megabytes],
  highMmioGap: [`${topology}memory.highmmiogapinmb`, megabytes],
  storageBandwidth: [`${vm}storageqos.bandwidthmaximum`, int32],
  storageIops: [`${vm}storageqos.iopsmaximum`, int32],
  vpmemCount: [`${vm}devices.virtualpmem.maximumcount`, uint32],
  consolePipe: [`${vm}console.pipe`, startsWith("\\\\.\\pipe\\")],
  dmVerityMode: [`${vm}lcow.dmverity-mode`, boolean],
  dmVerityCreateArgs: [`${vm}lcow.dmverity-create-args`, text],
  dmVerityRootFsVhd: [`${vm}lcow.dmverity-rootfs-vhd`, fileName],
  guestStateFile: [`${vm}lcow.gueststatefile`, fileName],
  hclEnabled: [`${vm}lcow.hcl-enabled`, boolean],
  extraVsockPorts: [`${vm}lcow.extra-vsock-ports`, uint32s],
  securityPolicy: [`${vm}lcow.securitypolicy`, text],
  securityPolicyEnforcer: [`${vm}lcow.enforcer`, text],
  referenceInfoFile: [`${vm}lcow.uvm-reference-info-file`, fileName],
  hashEnvelopeReferenceInfoFile: [`${vm}uvm-hash-envelope-reference-info-file`, fileName],
  noSecurityHardware: [`${vm}no_security_hardware`, boolean],
  encryptScratch: [`${vm}storage.scratch.encrypted`, boolean],
  policyBasedRouting: [`${vm}lcow.network.policybasedrouting`, boolean],
  liveMigration: ["io.microsoft.migration.support-enabled", boolean],
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
  // For Windows guests; read because disable-unsafe-operations sets them too.
  disableGmsa: ["io.microsoft.container.wcow.gmsa.disable", boolean],
  vsmbNoDirectMap: [`${vm}wcow.virtualSMB.nodirectmap`, boolean],
} as const satisfies { readonly [name: string]: readonly [string, Reader<unknown>] };

type Effective = typeof effective;
export type AnnotationName = keyof Effective;
export type AnnotationValues = { readonly [Name in AnnotationName]?: ReturnType<Effective[Name][1]> };

export function keyOf(name: AnnotationName): string {
  return effective[name][0];
}

const namesByKey: ReadonlyMap<string, AnnotationName> = new Map(
  Object.entries(effective).map(([name, [key]]) => [key, name as AnnotationName]),
);

/** Annotations of earlier shims that are not supported: only the empty text is accepted. */
const unsupported: ReadonlySet<string> = new Set([
  "io.microsoft.cri.tenant-sandbox-id",
  "io.microsoft.cri.virtual-pod-id",
  "io.microsoft.network.ncproxy",
  `${vm}lcow.vpmem.nomultimapping`,
  `${vm}kerneldrivers`,
]);

/** Known keys without effect on Linux guests. */
const withoutEffect: ReadonlySet<string> = new Set([
  `${vm}lcow.amd-certificate`,
  `${vm}devices.virtualpmem.maximumsizebytes`,
  `${vm}disablecompartmentnamespace`,
  `${vm}dump-directory-path`,
  `${vm}forwardlogs.defaultsources.enable`,
  `${vm}forwardlogs.enable`,
  `${vm}forwardlogs.sources`,
]);

/** Keys of containers, which controller-container reads. */
const knownElsewhere: ReadonlySet<string> = new Set([
  `${vm}lcow.privileged`,
  `${vm}lcow.hostnetwork`,
  `${vm}lcow.securitypolicy.env`,
  // Linux guests look for it under the Windows name too.
  `${vm}wcow.amd-certificate`,
  "io.microsoft.cri.skip-pod-networking",
  "io.microsoft.container.gpu.capabilities",
  "io.microsoft.container.lcow.tee-log-dir-mount",
  "io.microsoft.container.lcow.tee-log-path",
  "io.microsoft.container.memory.sizeinmb",
  "io.microsoft.container.processor.count",
  "io.microsoft.container.processor.limit",
  "io.microsoft.container.processor.weight",
  "io.microsoft.container.storage.qos.bandwidthmaximum",
  "io.microsoft.container.storage.qos.iopsmaximum",
  "io.microsoft.lcow.gpuvhdpath",
  "io.microsoft.lcow.rlimitcore",
  "io.microsoft.lcow.shm.size-kb",
  "io.microsoft.network.ncproxy.containerid",
  "io.microsoft.migration.source-container-id",
]);

/** Names the sandbox of a container; read by the shim. */
const readByShim = `${own}sandbox-id`;

const ownPrefixes = [
  vm,
  "io.microsoft.container.",
  "io.microsoft.lcow.",
  "io.microsoft.network.",
  "io.microsoft.migration.",
  "io.microsoft.cri.",
  own,
];
const nearableKeys = [...namesByKey.keys(), ...unsupported, ...knownElsewhere];
const windowsPrefixes = [`${vm}wcow.`, "io.microsoft.container.wcow."];

/** Every known key of sandboxes, except those that end with the GUID of a service. */
export const sandboxAnnotationKeys: readonly string[] = [...namesByKey.keys(), ...unsupported, ...withoutEffect];

/** Known keys of containers. */
export const containerAnnotationKeys: readonly string[] = [...knownElsewhere];

export interface ReadAnnotations {
  readonly values: AnnotationValues;
  readonly serviceTable: ServiceTable;
}

/** Unknown keys that are named in warnings; a pod may have thousands. */
const mostNamed = 32;
const longestKey = 200;

/**
 * Reads the annotations that concern the VM. Warns of the first unknown keys with a known prefix one by one, and of the
 * others by their number. Throws SandboxError.
 */
export function readAnnotations(
  annotations: { readonly [key: string]: string },
  warn: (sentence: string) => void,
): ReadAnnotations {
  const values: { [name: string]: unknown } = {};
  let unknown = 0;
  for (const [key, value] of Object.entries(annotations)) {
    const name = namesByKey.get(key);
    if (name !== undefined) values[name] = effective[name][1](key, value);
    else if (unsupported.has(key)) refuseUnsupported(key, value);
    else if (withoutEffect.has(key)) warn(`annotation ${key} has no effect on Linux sandboxes`);
    else if (isUnknown(key)) {
      unknown += 1;
      if (unknown <= mostNamed) warn(unknownKey(key));
    }
  }
  if (unknown > mostNamed) warn(`${unknown - mostNamed} more unknown annotations`);
  return { values: expand(values), serviceTable: readServiceTable(annotations) };
}

function refuseUnsupported(key: string, value: string): void {
  if (value === "") return;
  throw new SandboxError(
    "Unimplemented",
    key,
    `got ${value.length} characters, expected nothing: this annotation is not supported`,
  );
}

/** disable-unsafe-operations sets several annotations; another value of one of them is a contradiction. */
function expand(values: AnnotationValues): AnnotationValues {
  const { disableUnsafeOperations: all } = values;
  const disabling = ["noWritableFileShares", "disableHostProcess", "disableGmsa", "vsmbNoDirectMap"] as const;
  const expanded: { [Name in (typeof disabling)[number]]?: boolean } = {};
  for (const name of disabling) {
    if (all === undefined) break;
    if (values[name] !== undefined && values[name] !== all) {
      refuse(keyOf(name), String(values[name]), `${all}, as ${keyOf("disableUnsafeOperations")} says`);
    }
    expanded[name] = all;
  }
  const result = { ...values, ...expanded };
  if (result.hostProcess) {
    if (result.disableHostProcess)
      refuse(keyOf("hostProcess"), "true", `false, as ${keyOf("disableHostProcess")} says`);
    throw new SandboxError(
      "Unimplemented",
      keyOf("hostProcess"),
      'got "true", expected false: Linux pods have no host processes',
    );
  }
  return result;
}

function isUnknown(key: string): boolean {
  if (knownElsewhere.has(key) || key === readByShim || key.startsWith(serviceTablePrefix)) return false;
  return ownPrefixes.some((prefix) => key.startsWith(prefix));
}

function unknownKey(key: string): string {
  if (windowsPrefixes.some((prefix) => key.startsWith(prefix)))
    return `annotation ${shortened(key)} concerns Windows guests and has no effect`;
  const near = nearest(key, nearableKeys);
  return `unknown annotation ${shortened(key)}${near === undefined ? "" : `: did you mean ${near}?`}`;
}

function shortened(key: string): string {
  return key.length <= longestKey ? key : `${key.slice(0, longestKey)}… (${key.length} characters)`;
}
