import { SandboxError } from "./error.ts";
import { boolean, integer, oneOf, type Reader, text } from "./values.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
const int32 = integer(0, 2 ** 31 - 1);
const megabytes = integer(0, 2 ** 40);

/** Every annotation that takes effect, with how its text is read. */
export const annotationReaders = {
  [`${vm}bootfilesrootpath`]: text,
  [`${vm}lcow.kerneldirectboot`]: boolean,
  [`${vm}lcow.preferredrootfstype`]: oneOf("initrd", "vhd"),
  [`${vm}lcow.kernelbootoptions`]: text,
  [`${vm}fileshares.disablewritable`]: boolean,
  [`${vm}storageqos.bandwidthmaximum`]: int32,
  [`${vm}storageqos.iopsmaximum`]: int32,
  [`${topology}processor.count`]: int32,
  [`${topology}processor.limit`]: int32,
  [`${topology}processor.weight`]: int32,
  [`${topology}memory.sizeinmb`]: megabytes,
  [`${topology}memory.allowovercommit`]: boolean,
  [`${topology}memory.enabledeferredcommit`]: boolean,
  [`${topology}memory.enablecolddiscardhint`]: boolean,
  [`${topology}memory.lowmmiogapinmb`]: megabytes,
  [`${topology}memory.highmmiobaseinmb`]: megabytes,
  [`${topology}memory.highmmiogapinmb`]: megabytes,
} as const satisfies { readonly [key: string]: Reader<unknown> };

type Readers = typeof annotationReaders;
export type AnnotationKey = keyof Readers;
export type AnnotationValues = { readonly [Key in AnnotationKey]?: ReturnType<Readers[Key]> };

/** Known annotations without effect yet: their defaults pass, any other value is refused rather than ignored. */
const defaultsOnly: { readonly [key: string]: readonly [Reader<unknown>, unknown] } = {
  [`${vm}lcow.vpcienabled`]: [boolean, false],
  [`${vm}lcow.timesync.disable`]: [boolean, false],
  [`${vm}lcow.writable-overlay-directories`]: [boolean, false],
  [`${vm}lcow.extra-exec-command-args`]: [text, ""],
  "io.microsoft.container.processdumplocation": [text, ""],
  [`${vm}console.pipe`]: [text, ""],
  [`${vm}lcow.dmverity-mode`]: [boolean, false],
  [`${vm}lcow.dmverity-create-args`]: [text, ""],
  [`${vm}lcow.dmverity-rootfs-vhd`]: [text, "rootfs.vhd"],
  [`${vm}lcow.gueststatefile`]: [text, "kernel.vmgs"],
  [`${vm}lcow.hcl-enabled`]: [boolean, false],
  [`${vm}lcow.extra-vsock-ports`]: [text, ""],
  [`${vm}lcow.securitypolicy`]: [text, ""],
  [`${vm}lcow.enforcer`]: [text, "rego"],
  [`${vm}lcow.uvm-reference-info-file`]: [text, "reference_info.cose"],
  [`${vm}uvm-hash-envelope-reference-info-file`]: [text, "reference_info_hash_envelope.cose"],
  [`${vm}no_security_hardware`]: [boolean, false],
  [`${vm}storage.scratch.encrypted`]: [boolean, false],
  [`${vm}lcow.network.policybasedrouting`]: [boolean, false],
  "io.microsoft.migration.support-enabled": [boolean, false],
  [`${vm}cpugroup.id`]: [text, ""],
  [`${vm}resource-partition-id`]: [text, ""],
  [`${vm}fullyphysicallybacked`]: [boolean, false],
  [`${topology}processor.numa.max-processors-per-node`]: [int32, 0],
  [`${topology}processor.numa.max-size-per-node`]: [megabytes, 0],
  [`${topology}numa.preferred-physical-nodes`]: [text, ""],
  [`${topology}numa.mapped-physical-nodes`]: [text, ""],
  [`${topology}numa.count-of-processors`]: [text, ""],
  [`${topology}numa.count-of-memory-blocks`]: [text, ""],
  [`${vm}devices.virtualpmem.maximumcount`]: [int32, 0],
  "io.microsoft.network.ncproxy": [text, ""],
  [`${vm}lcow.vpmem.nomultimapping`]: [text, ""],
  [`${vm}kerneldrivers`]: [text, ""],
  "io.microsoft.disable-unsafe-operations": [boolean, false],
  "microsoft.com/hostprocess-container": [boolean, false],
  "microsoft.com/disable-hostprocess-container": [boolean, false],
};

const ownPrefixes = [vm, "io.microsoft.container.", "io.microsoft.network.", "io.microsoft.migration."];

export interface ReadAnnotations {
  readonly values: AnnotationValues;
  /** One sentence for each key that looks like one of ours and is none. */
  readonly warnings: readonly string[];
}

/** Reads the annotations that concern the VM; the caller's object is left as it is. */
export function readAnnotations(annotations: { readonly [key: string]: string }): ReadAnnotations {
  const values: { [key: string]: unknown } = {};
  const warnings: string[] = [];
  for (const [key, value] of Object.entries(annotations)) {
    const reader = Object.hasOwn(annotationReaders, key) ? annotationReaders[key as AnnotationKey] : undefined;
    const restricted = Object.hasOwn(defaultsOnly, key) ? defaultsOnly[key] : undefined;
    if (reader !== undefined) values[key] = reader(key, value);
    else if (restricted !== undefined) {
      const [read, accepted] = restricted;
      if (read(key, value) !== accepted) {
        const message = `got ${JSON.stringify(value)}, only ${JSON.stringify(accepted)} is supported`;
        throw new SandboxError("Unimplemented", key, message);
      }
    } else if (ownPrefixes.some((prefix) => key.startsWith(prefix))) {
      warnings.push(`annotation ${key} is not known; the nearest known one is ${nearest(key)}`);
    }
  }
  return { values, warnings };
}

function nearest(key: string): string {
  const known = [...Object.keys(annotationReaders), ...Object.keys(defaultsOnly)];
  return known.reduce((best, candidate) => (distance(key, candidate) < distance(key, best) ? candidate : best));
}

/** Levenshtein distance. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
