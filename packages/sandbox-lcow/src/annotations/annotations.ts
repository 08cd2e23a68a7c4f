import {
  type AnnotationRows,
  AnnotationTable,
  boolean,
  fileName,
  oneOf,
  optional,
  type ReadAnnotations,
  SandboxError,
  sharedAnnotations,
  text,
  topology,
  uint32,
  uint32s,
  type ValuesOf,
  vm,
} from "@uvm-shim/sandbox-common";

/** Every annotation with an effect: its key and its reader. */
const effective = {
  ...sharedAnnotations,
  kernelDirectBoot: [`${vm}lcow.kerneldirectboot`, boolean],
  preferredRootFs: [`${vm}lcow.preferredrootfstype`, optional(oneOf("initrd", "vhd"))],
  kernelBootOptions: [`${vm}lcow.kernelbootoptions`, text],
  vpciEnabled: [`${vm}lcow.vpcienabled`, boolean],
  disableTimeSync: [`${vm}lcow.timesync.disable`, boolean],
  writableOverlays: [`${vm}lcow.writable-overlay-directories`, boolean],
  extraExecArguments: [`${vm}lcow.extra-exec-command-args`, text],
  coldDiscardHint: [`${topology}memory.enablecolddiscardhint`, boolean],
  vpmemCount: [`${vm}devices.virtualpmem.maximumcount`, uint32],
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
  encryptScratch: [`${vm}storage.scratch.encrypted`, boolean],
  policyBasedRouting: [`${vm}lcow.network.policybasedrouting`, boolean],
  liveMigration: ["io.microsoft.migration.support-enabled", boolean],
} as const satisfies AnnotationRows;

/** The name of a row of the table of annotations. */
export type AnnotationName = keyof typeof effective;
/** What the table's rows read; each value is absent where its annotation is. */
export type AnnotationValues = ValuesOf<typeof effective>;

/** The key of an annotation, for errors that name it. */
export function keyOf(name: AnnotationName): string {
  return effective[name][0];
}

/** Annotations of earlier shims that are not supported: only the empty text is accepted. */
const unsupported: readonly string[] = [
  "io.microsoft.cri.tenant-sandbox-id",
  "io.microsoft.cri.virtual-pod-id",
  "io.microsoft.network.ncproxy",
  `${vm}lcow.vpmem.nomultimapping`,
  `${vm}kerneldrivers`,
];

/** Known keys without effect on Linux guests. */
const withoutEffect: readonly string[] = [
  `${vm}lcow.amd-certificate`,
  `${vm}devices.virtualpmem.maximumsizebytes`,
  `${vm}disablecompartmentnamespace`,
  `${vm}dump-directory-path`,
  `${vm}forwardlogs.defaultsources.enable`,
  `${vm}forwardlogs.enable`,
  `${vm}forwardlogs.sources`,
];

/** Keys of containers, which controller-container reads. */
const knownElsewhere: readonly string[] = [
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
];

/** For docs/reference.md. */
export const annotationTables = { effective, unsupported, withoutEffect } as const;

const table = new AnnotationTable({
  guests: "Linux",
  effective,
  unsupported,
  withoutEffect,
  knownElsewhere,
  foreignPrefixes: [`${vm}wcow.`, "io.microsoft.container.wcow.", "io.microsoft.wcow."],
});

/** Every known key of sandboxes, except those that end with the GUID of a service. */
export const sandboxAnnotationKeys: readonly string[] = table.sandboxKeys;

/** Known keys of containers. */
export const containerAnnotationKeys: readonly string[] = [...knownElsewhere];

/** Reads the annotations that concern the VM. Throws SandboxError. */
export function readAnnotations(
  annotations: { readonly [key: string]: string },
  warn: (sentence: string) => void,
): ReadAnnotations<typeof effective> {
  const read = table.read(annotations, warn);
  if (read.values.hostProcess) {
    throw new SandboxError(
      "Unimplemented",
      keyOf("hostProcess"),
      'got "true", expected false: Linux pods have no host processes',
    );
  }
  return read;
}
