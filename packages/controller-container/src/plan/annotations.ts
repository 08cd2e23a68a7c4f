import { isAbsolute } from "node:path";
import { isMistyped } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

/** What the annotations of a container ask for. */
export interface ContainerAnnotations {
  /** As CRI has it; undefined where nobody says. */
  readonly type: ContainerType | undefined;
  readonly isPrivileged: boolean;
  /** A disk of the host with drivers for GPUs, in place of the sandbox's. */
  readonly gpuVhdPath: string | undefined;
  /** Annotations for the guest, normalized to the form that every guest reads. */
  readonly forGuest: { readonly [key: string]: string };
}

export type ContainerType = "sandbox" | "container";

export const containerTypeKey = "io.kubernetes.cri.container-type";
export const sandboxIdKey = "io.kubernetes.cri.sandbox-id";
export const privilegedKey = "io.microsoft.virtualmachine.lcow.privileged";
/** Of /dev/shm, in KiB. */
export const shmSizeKey = "io.microsoft.lcow.shm.size-kb";
/** Soft and hard limit of core files in bytes, with a semicolon between them. */
export const coreLimitKey = "io.microsoft.lcow.rlimitcore";
/** A file below the pod's folder of logs in the guest, to which the container's output goes too. */
const teeLogKey = "io.microsoft.container.lcow.tee-log-path";
/** Where the container sees that folder. */
const teeLogMountKey = "io.microsoft.container.lcow.tee-log-dir-mount";

/**
 * Whether the pod has the VM's network: of its sandbox or of a container by itself, the guest then leaves the NICs where
 * they are, and takes the network namespace from the specification of each container of the pod.
 */
export const hostNetworkKey = "io.microsoft.virtualmachine.lcow.hostnetwork";
/** Whether the guest does without the NICs that a sandbox is expected to have. */
export const skipNetworkKey = "io.microsoft.cri.skip-pod-networking";
/** Whether the container finds the guest's security policy, as it does unless this is false. */
const policyKey = "io.microsoft.virtualmachine.lcow.securitypolicy.env";
/** Certificates of the host's processor in base64. A Linux guest too looks for them under the name of Windows. */
const hostCertificatesKey = "io.microsoft.virtualmachine.wcow.amd-certificate";
const gpuCapabilitiesKey = "io.microsoft.container.gpu.capabilities";
const gpuVhdKey = "io.microsoft.lcow.gpuvhdpath";

/** What this shim does not do, so that nothing but the empty text is taken. */
const unsupported: readonly string[] = [
  "io.microsoft.cri.virtual-pod-id",
  "io.microsoft.migration.source-container-id",
  "io.microsoft.network.ncproxy.containerid",
];

/** Of Windows containers alone (internal/hcsoci/hcsdoc_wcow.go of microsoft/hcsshim). */
const withoutEffect: readonly string[] = [
  "io.microsoft.container.memory.sizeinmb",
  "io.microsoft.container.processor.count",
  "io.microsoft.container.processor.limit",
  "io.microsoft.container.processor.weight",
  "io.microsoft.container.storage.qos.bandwidthmaximum",
  "io.microsoft.container.storage.qos.iopsmaximum",
];

/** Every annotation of containers that is known. */
export const containerAnnotationKeys: readonly string[] = [
  ...[containerTypeKey, sandboxIdKey, privilegedKey, hostNetworkKey, skipNetworkKey, policyKey, hostCertificatesKey],
  ...[shmSizeKey, coreLimitKey, teeLogKey, teeLogMountKey, gpuCapabilitiesKey, gpuVhdKey],
  ...[...unsupported, ...withoutEffect],
];

/** As the annotations of sandboxes are read (pkg/annotations of microsoft/hcsshim). */
const truths: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];
export const falsehoods: readonly unknown[] = ["0", "f", "F", "FALSE", "false", "False"];
const containerTypes = ["sandbox", "container"] as const satisfies readonly ContainerType[];
const greatest = 2n ** 64n - 1n;

/**
 * Annotations by allow-list: operators write into them whatever they like, and hosts add their own. A value that
 * cannot be used is refused, since the guest would ignore it or fail without saying why.
 */
export function readAnnotations(
  given: { readonly [key: string]: string },
  podId: string,
  refuse: Refuse,
  warn: (sentence: string) => void,
): ContainerAnnotations {
  const refuseValue = (key: string, accepted: string) =>
    refuse("InvalidArgument", `annotation ${key} is ${shortOf(given[key])}, expected ${accepted}`);
  const forGuest: [string, string][] = [];
  const pass = (key: string, isAccepted: (value: string) => boolean, accepted: string): void => {
    const value = given[key];
    if (value === undefined) return;
    if (!isAccepted(value)) throw refuseValue(key, accepted);
    forGuest.push([key, value]);
  };

  const type = containerTypes.find((known) => known === given[containerTypeKey]);
  if (type !== undefined) forGuest.push([containerTypeKey, type], [sandboxIdKey, podId]);
  else if (given[containerTypeKey] !== undefined) throw refuseValue(containerTypeKey, containerTypes.join(" or "));
  // In the one form that every guest reads, and not at all where it says what holds anyway.
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = given[key];
    if (value === undefined) return otherwise;
    if (![...truths, ...falsehoods].includes(value)) {
      throw refuseValue(key, `one of ${[...truths, ...falsehoods].join(", ")}`);
    }
    const isTrue = truths.includes(value);
    if (isTrue !== otherwise) forGuest.push([key, String(isTrue)]);
    return isTrue;
  };
  const isPrivileged = flag(privilegedKey, false);
  flag(hostNetworkKey, false);
  flag(skipNetworkKey, false);
  flag(policyKey, true);
  pass(shmSizeKey, (value) => isNumber(value) && BigInt(value) > 0n, "a positive number of KiB");
  pass(coreLimitKey, isPairOfLimits, "<soft>;<hard> in bytes, with soft not above hard");
  pass(teeLogKey, isRelative, 'a relative path without ".."');
  pass(teeLogMountKey, (value) => value.startsWith("/"), "an absolute path");
  pass(hostCertificatesKey, (value) => /^[A-Za-z0-9+/\s]+(?:=+\s*)?$/.test(value), "certificates in base64");
  // They become options of the program that sets a GPU up.
  pass(gpuCapabilitiesKey, (value) => /^[a-z]+(,[a-z]+)*$/.test(value), "words separated by commas");
  const gpuVhdPath = given[gpuVhdKey] || undefined;
  if (gpuVhdPath !== undefined && !isAbsolute(gpuVhdPath)) throw refuseValue(gpuVhdKey, "an absolute path of the host");
  for (const key of unsupported) {
    const value = given[key];
    if (value)
      throw refuse("Unimplemented", `annotation ${key} is ${shortOf(value)}, expected nothing: it is not supported`);
  }
  for (const key of withoutEffect) {
    if (given[key] !== undefined) warn(`annotation ${key} has no effect on Linux containers`);
  }
  return { type, isPrivileged, gpuVhdPath, forGuest: Object.fromEntries(forGuest) };
}

function shortOf(value = ""): string {
  return isMistyped(value) ? JSON.stringify(value) : `a text of ${value.length} characters`;
}

function isNumber(value: string): boolean {
  return /^\d{1,20}$/.test(value) && BigInt(value) <= greatest;
}

function isPairOfLimits(value: string): boolean {
  const [soft = "", hard = "", ...more] = value.split(";");
  return more.length === 0 && isNumber(soft) && isNumber(hard) && BigInt(soft) <= BigInt(hard);
}

function isRelative(value: string): boolean {
  return value !== "" && !value.startsWith("/") && !value.includes("\0") && !value.split("/").includes("..");
}
