import { isAbsolute } from "node:path";
import { isMistyped } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

/** Settings from a container's annotations. */
export interface ContainerAnnotations {
  /** CRI's container type; undefined without the annotation. */
  readonly type: ContainerType | undefined;
  readonly isPrivileged: boolean;
  /** Disk of the host with GPU drivers, instead of the sandbox's. */
  readonly gpuVhdPath: string | undefined;
  /** Annotations for the guest, normalized to the form that every guest reads. */
  readonly forGuest: { readonly [key: string]: string };
}

/** What CRI says of a container by `containerTypeKey`. */
export type ContainerType = "sandbox" | "container";

/** CRI's annotation that tells a pod's sandbox container from its others. */
export const containerTypeKey = "io.kubernetes.cri.container-type";
/** CRI's annotation with the id of a container's sandbox. */
export const sandboxIdKey = "io.kubernetes.cri.sandbox-id";
/** The annotation that gives a container all devices of the guest. */
export const privilegedKey = "io.microsoft.virtualmachine.lcow.privileged";
/** Size of /dev/shm in KiB. */
export const shmSizeKey = "io.microsoft.lcow.shm.size-kb";
/** Limits of core files: `<soft>;<hard>` in bytes. */
export const coreLimitKey = "io.microsoft.lcow.rlimitcore";
/** File in the pod's log folder in the guest that gets a copy of the container's output. */
const teeLogKey = "io.microsoft.container.lcow.tee-log-path";
/** Mount point of that folder in the container. */
const teeLogMountKey = "io.microsoft.container.lcow.tee-log-dir-mount";

/**
 * Whether the pod uses the VM's network. The guest then leaves NICs of a sandbox or single container where they are,
 * and each container of the pod gets the network namespace of its specification.
 */
export const hostNetworkKey = "io.microsoft.virtualmachine.lcow.hostnetwork";
/** Whether the guest accepts a sandbox without NICs. */
export const skipNetworkKey = "io.microsoft.cri.skip-pod-networking";
/** Whether the container gets the guest's security policy in its environment; yes unless false. */
const policyKey = "io.microsoft.virtualmachine.lcow.securitypolicy.env";
/** Certificates of the host's processor in base64. Linux guests look for them under the Windows name too. */
const hostCertificatesKey = "io.microsoft.virtualmachine.wcow.amd-certificate";
const gpuCapabilitiesKey = "io.microsoft.container.gpu.capabilities";
const gpuVhdKey = "io.microsoft.lcow.gpuvhdpath";

/** Annotations that are not supported: only the empty text is accepted. */
const unsupported: readonly string[] = [
  "io.microsoft.cri.virtual-pod-id",
  "io.microsoft.migration.source-container-id",
  "io.microsoft.network.ncproxy.containerid",
];

/** Annotations of Windows containers only (internal/hcsoci/hcsdoc_wcow.go of microsoft/hcsshim). */
const withoutEffect: readonly string[] = [
  "io.microsoft.container.memory.sizeinmb",
  "io.microsoft.container.processor.count",
  "io.microsoft.container.processor.limit",
  "io.microsoft.container.processor.weight",
  "io.microsoft.container.storage.qos.bandwidthmaximum",
  "io.microsoft.container.storage.qos.iopsmaximum",
];

/** Every known annotation of containers. */
export const containerAnnotationKeys: readonly string[] = [
  ...[containerTypeKey, sandboxIdKey, privilegedKey, hostNetworkKey, skipNetworkKey, policyKey, hostCertificatesKey],
  ...[shmSizeKey, coreLimitKey, teeLogKey, teeLogMountKey, gpuCapabilitiesKey, gpuVhdKey],
  ...[...unsupported, ...withoutEffect],
];

/** The same words as for annotations of sandboxes (pkg/annotations of microsoft/hcsshim). */
const truths: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];
/** The words for "no" that Go's strconv.ParseBool takes, as guests do. */
export const falsehoods: readonly unknown[] = ["0", "f", "F", "FALSE", "false", "False"];
const containerTypes = ["sandbox", "container"] as const satisfies readonly ContainerType[];
const greatest = 2n ** 64n - 1n;

/**
 * Reads annotations by allow-list: clients and hosts add others. A value that cannot be used is refused, since the
 * guest would ignore it or fail without a reason.
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
  // Normalized to the form that every guest reads, and omitted if it is the default.
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
  // The words become options of the program that sets up a GPU.
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
