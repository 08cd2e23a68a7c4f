import { SandboxError } from "./error.ts";
import { nearest } from "./nearest.ts";
import { readServiceTable, type ServiceTable, serviceTablePrefix } from "./service-table.ts";
import { boolean, guid, integer, integers, oneOf, type Reader, refuse, startsWith, text } from "./values.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
const int32 = integer(0, 2 ** 31 - 1);
const uint32 = integer(0, 2 ** 32 - 1);
// Beyond any machine, and far below where numbers in JSON lose digits.
const megabytes = integer(0, 2 ** 40);

/** Every annotation that takes effect: its key, and how its text is read. */
const effective = {
  bootFilesRootPath: [`${vm}bootfilesrootpath`, text],
  kernelDirectBoot: [`${vm}lcow.kerneldirectboot`, boolean],
  preferredRootFs: [`${vm}lcow.preferredrootfstype`, oneOf("initrd", "vhd")],
  kernelBootOptions: [`${vm}lcow.kernelbootoptions`, text],
  vpciEnabled: [`${vm}lcow.vpcienabled`, boolean],
  disableTimeSync: [`${vm}lcow.timesync.disable`, boolean],
  writableOverlays: [`${vm}lcow.writable-overlay-directories`, boolean],
  extraExecArguments: [`${vm}lcow.extra-exec-command-args`, text],
  processDumpLocation: ["io.microsoft.container.processdumplocation", text],
  policyBasedRouting: [`${vm}lcow.network.policybasedrouting`, boolean],
  noWritableFileShares: [`${vm}fileshares.disablewritable`, boolean],
  processorCount: [`${topology}processor.count`, int32],
  // In thousandths of a percent of the host's time; 0 is no limit.
  processorLimit: [`${topology}processor.limit`, integer(0, 100_000)],
  processorWeight: [`${topology}processor.weight`, integer(0, 10_000)],
  memorySize: [`${topology}memory.sizeinmb`, megabytes],
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
  disableUnsafeOperations: ["io.microsoft.disable-unsafe-operations", boolean],
  disableHostProcess: ["microsoft.com/disable-hostprocess-container", boolean],
  hostProcess: ["microsoft.com/hostprocess-container", boolean],
  // Windows guests only; read because disabling unsafe operations sets them too.
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

/** Known annotations that have no effect yet: their defaults pass, any other value is refused rather than ignored. */
const defaultsOnly: ReadonlyMap<string, readonly [read: Reader<unknown>, ...accepted: readonly unknown[]]> = new Map<
  string,
  readonly [Reader<unknown>, ...(readonly unknown[])]
>([
  [`${vm}console.pipe`, [startsWith("\\\\.\\pipe\\"), ""]],
  [`${vm}lcow.dmverity-mode`, [boolean, false]],
  [`${vm}lcow.dmverity-create-args`, [text, ""]],
  [`${vm}lcow.dmverity-rootfs-vhd`, [text, "rootfs.vhd"]],
  [`${vm}lcow.gueststatefile`, [text, "kernel.vmgs"]],
  [`${vm}lcow.hcl-enabled`, [boolean, false]],
  [`${vm}lcow.extra-vsock-ports`, [integers(0, 2 ** 32 - 1), ""]],
  [`${vm}lcow.securitypolicy`, [text, ""]],
  [`${vm}lcow.enforcer`, [text, "rego"]],
  [`${vm}lcow.uvm-reference-info-file`, [text, "reference_info.cose"]],
  [`${vm}uvm-hash-envelope-reference-info-file`, [text, "reference_info_hash_envelope.cose"]],
  [`${vm}no_security_hardware`, [boolean, false]],
  [`${vm}storage.scratch.encrypted`, [boolean, false]],
  ["io.microsoft.migration.support-enabled", [boolean, false]],
  [`${vm}cpugroup.id`, [text, ""]],
  [`${vm}resource-partition-id`, [guid, ""]],
  [`${topology}processor.numa.max-processors-per-node`, [uint32, 0]],
  [`${topology}processor.numa.max-size-per-node`, [megabytes, 0]],
  [`${topology}numa.preferred-physical-nodes`, [integers(0, 2 ** 32 - 1), ""]],
  [`${topology}numa.mapped-physical-nodes`, [integers(0, 2 ** 32 - 1), ""]],
  [`${topology}numa.count-of-processors`, [integers(0, 2 ** 32 - 1), ""]],
  [`${topology}numa.count-of-memory-blocks`, [integers(0, 2 ** 40), ""]],
  ["io.microsoft.network.ncproxy", [text, ""]],
  [`${vm}lcow.vpmem.nomultimapping`, [text, ""]],
  [`${vm}kerneldrivers`, [text, ""]],
]);

/** Keys under our prefixes that concern containers or other parts of the shim. */
const knownElsewhere: ReadonlySet<string> = new Set([
  `${vm}lcow.privileged`,
  `${vm}lcow.hostnetwork`,
  "io.microsoft.network.ncproxy.containerid",
  "io.microsoft.migration.source-container-id",
]);

const ownPrefixes = [vm, "io.microsoft.network.", "io.microsoft.migration."];

export interface ReadAnnotations {
  readonly values: AnnotationValues;
  readonly serviceTable: ServiceTable;
  /** One sentence for each key that looks like one of ours and is none. */
  readonly warnings: readonly string[];
}

/** Reads the annotations that concern the VM; the caller's object is left as it is. Throws SandboxError. */
export function readAnnotations(annotations: { readonly [key: string]: string }): ReadAnnotations {
  const values: { [name: string]: unknown } = {};
  const warnings: string[] = [];
  for (const [key, value] of Object.entries(annotations)) {
    const name = namesByKey.get(key);
    if (name !== undefined) values[name] = effective[name][1](key, value);
    else if (defaultsOnly.has(key)) acceptDefaultOnly(key, value);
    else if (isUnknown(key)) warnings.push(unknownKey(key));
  }
  return { values: expand(values), serviceTable: readServiceTable(annotations), warnings };
}

function acceptDefaultOnly(key: string, value: string): void {
  const [read, accepted] = defaultsOnly.get(key) ?? [text];
  const given = read(key, value);
  if (given === accepted || (Array.isArray(given) && given.length === 0)) return;
  const message = `got ${JSON.stringify(value)}, only ${JSON.stringify(accepted)} is supported`;
  throw new SandboxError("Unimplemented", key, message);
}

/** What disables unsafe operations disables each of them; saying otherwise of one is a contradiction. */
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
    throw new SandboxError("Unimplemented", keyOf("hostProcess"), 'got "true", Linux pods have no host processes');
  }
  return result;
}

function isUnknown(key: string): boolean {
  if (knownElsewhere.has(key) || key.startsWith(serviceTablePrefix)) return false;
  return ownPrefixes.some((prefix) => key.startsWith(prefix));
}

function unknownKey(key: string): string {
  if (key.startsWith(`${vm}wcow.`)) return `annotation ${key} concerns Windows guests and has no effect`;
  const near = nearest(key, [...namesByKey.keys(), ...defaultsOnly.keys(), ...knownElsewhere]);
  return `annotation ${key} is not known${near === undefined ? "" : `; the nearest known one is ${near}`}`;
}
