import {
  type AnnotationRows,
  AnnotationTable,
  boolean,
  guid,
  type ReadAnnotations,
  type Reader,
  refuse,
  sharedAnnotations,
  text,
  topology,
  unsafeOperations,
  type ValuesOf,
  vm,
} from "@uvm-shim/sandbox-common";
import { registryValues } from "./registry-values.ts";

const wcow = `${vm}wcow.`;

// The empty text is a mistake here, as it is to the hcsshim.
const filledGuid: Reader<string> = (key, value) =>
  value === "" ? refuse(key, value, "a GUID without braces") : guid(key, value);

/** Line breaks in base64 mean nothing to Go, whose clients write them. */
const unbrokenText: Reader<string> = (key, value) => text(key, value.replace(/[\r\n]/g, ""));

/** Every annotation with an effect: its key and its reader. */
const effective = {
  ...sharedAnnotations,
  resourcePartition: [sharedAnnotations.resourcePartition[0], filledGuid],
  disableCompartmentNamespace: [`${vm}disablecompartmentnamespace`, boolean],
  noInheritTimeZone: [`${wcow}timezone.noinherit`, boolean],
  registryValues: [`${wcow}additional-reg-keys`, registryValues],
  dumpFolder: [`${vm}dump-directory-path`, text],
  logForwarding: [`${vm}forwardlogs.enable`, boolean],
  logSources: [`${vm}forwardlogs.sources`, unbrokenText],
  defaultLogSources: [`${vm}forwardlogs.defaultsources.enable`, boolean],
  securityPolicy: [`${wcow}securitypolicy`, unbrokenText],
  securityPolicyEnforcer: [`${wcow}enforcer`, text],
  isolationType: [`${wcow}isolation_type`, text],
  noSecureBoot: [`${wcow}no_secure_boot`, boolean],
  writableEfi: [`${wcow}writable_efi`, boolean],
  guestStateFile: [`${wcow}gueststatefile`, text],
  referenceInfoFile: [`${wcow}uvm-reference-info-file`, text],
  hashEnvelopeReferenceInfoFile: [`${vm}uvm-hash-envelope-reference-info-file`, text],
  debug: ["io.microsoft.wcow.debug", boolean],
  debugFolder: ["io.microsoft.wcow.debug_data_path", text],
} as const satisfies AnnotationRows;

/** The name of a row of the table of annotations. */
export type AnnotationName = keyof typeof effective;
/** What the table's rows read; each value is absent where its annotation is. */
export type AnnotationValues = ValuesOf<typeof effective>;

/** The key of an annotation, for errors that name it. */
export function keyOf(name: AnnotationName): string {
  return effective[name][0];
}

const unsupported = ["io.microsoft.network.ncproxy"];

/** Known keys without effect on Windows guests. */
const withoutEffect = [
  "io.microsoft.cri.tenant-sandbox-id",
  "io.microsoft.cri.virtual-pod-id",
  "io.microsoft.migration.support-enabled",
  `${topology}memory.enablecolddiscardhint`,
  `${vm}devices.virtualpmem.maximumcount`,
  `${vm}devices.virtualpmem.maximumsizebytes`,
  `${vm}storage.scratch.encrypted`,
];

/** Keys of containers, which controller-container-wcow reads. */
const knownElsewhere = [
  `${wcow}amd-certificate`,
  `${wcow}securitypolicy.env`,
  `${vm}kerneldrivers`,
  "io.microsoft.cri.skip-pod-networking",
  "io.microsoft.container.wcow.deviceextensions",
  "io.microsoft.container.wcow.test-registry-annotation",
  "io.microsoft.container.gpu.capabilities",
  "io.microsoft.container.memory.sizeinmb",
  "io.microsoft.container.processor.count",
  "io.microsoft.container.processor.limit",
  "io.microsoft.container.processor.weight",
  "io.microsoft.container.storage.qos.bandwidthmaximum",
  "io.microsoft.container.storage.qos.iopsmaximum",
  "io.microsoft.wcow.processdumpcount",
  "io.microsoft.wcow.processdumptype",
  "io.microsoft.network.ncproxy.containerid",
  "io.microsoft.migration.source-container-id",
];

/** For docs/reference.md. */
export const annotationTables = { effective, unsupported, withoutEffect } as const;

const table = new AnnotationTable({
  guests: "Windows",
  effective,
  unsupported,
  withoutEffect,
  knownElsewhere,
  foreignPrefixes: [`${vm}lcow.`, "io.microsoft.lcow.", "io.microsoft.container.lcow."],
});

/** Every known key of sandboxes, except those that end with the GUID of a service. */
export const sandboxAnnotationKeys: readonly string[] = table.sandboxKeys;

/** Known keys of containers. */
export const containerAnnotationKeys: readonly string[] = knownElsewhere;

/** Reads the annotations that concern the VM. Throws SandboxError. */
export function readAnnotations(
  annotations: { readonly [key: string]: string },
  warn: (sentence: string) => void,
): ReadAnnotations<typeof effective> {
  refuseOtherSpelling(annotations);
  return table.read(annotations, warn);
}

/** Containers take these over as texts, so that they must say the same in the same way. */
function refuseOtherSpelling(annotations: { readonly [key: string]: string }): void {
  const all = annotations[keyOf("disableUnsafeOperations")];
  if (all === undefined) return;
  for (const name of unsafeOperations) {
    const value = annotations[keyOf(name)];
    if (value !== undefined && value !== all) {
      refuse(keyOf(name), value, `${JSON.stringify(all.slice(0, 8))}, as ${keyOf("disableUnsafeOperations")} says`);
    }
  }
}
