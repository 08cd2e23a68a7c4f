import { isAbsolute } from "node:path";
import type { Refuse } from "./refusal.ts";

/** What the annotations of a container ask for. */
export interface ContainerAnnotations {
  readonly isPrivileged: boolean;
  /** A disk of the host with drivers for GPUs, in place of the sandbox's. */
  readonly gpuVhdPath: string | undefined;
  /** Those that cross, in the one form in which the guest reads them. */
  readonly crossing: { readonly [key: string]: string };
}

export const containerTypeKey = "io.kubernetes.cri.container-type";
export const sandboxIdKey = "io.kubernetes.cri.sandbox-id";
const privilegedKey = "io.microsoft.virtualmachine.lcow.privileged";
/** Of /dev/shm, in KiB. */
const shmSizeKey = "io.microsoft.lcow.shm.size-kb";
/** Soft and hard limit of core files in bytes, with a semicolon between them. */
const coreLimitKey = "io.microsoft.lcow.rlimitcore";
/** A file below the pod's folder of logs in the guest, to which the container's output goes too. */
const teeLogKey = "io.microsoft.container.lcow.tee-log-path";
/** Where the container sees that folder. */
const teeLogMountKey = "io.microsoft.container.lcow.tee-log-dir-mount";

/** Whether the container has the VM's network; the guest asks the pod's first container alone. */
const hostNetworkKey = "io.microsoft.virtualmachine.lcow.hostnetwork";
/** Whether the container finds the guest's security policy, as it does unless this is false. */
const policyKey = "io.microsoft.virtualmachine.lcow.securitypolicy.env";
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
  ...[containerTypeKey, sandboxIdKey, privilegedKey, hostNetworkKey, policyKey],
  ...[shmSizeKey, coreLimitKey, teeLogKey, teeLogMountKey, gpuCapabilitiesKey, gpuVhdKey],
  ...[...unsupported, ...withoutEffect],
];

/** As the annotations of sandboxes are read (pkg/annotations of microsoft/hcsshim). */
const truths: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];
const falsehoods: readonly string[] = ["0", "f", "F", "FALSE", "false", "False"];
const containerTypes: readonly string[] = ["sandbox", "container"];
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
    refuse("InvalidArgument", `annotation ${key} is ${JSON.stringify(given[key])}, accepted is ${accepted}`);
  const crossing: [string, string][] = [];
  const cross = (key: string, isAccepted: (value: string) => boolean, accepted: string): void => {
    const value = given[key];
    if (value === undefined) return;
    if (!isAccepted(value)) throw refuseValue(key, accepted);
    crossing.push([key, value]);
  };

  const type = given[containerTypeKey];
  if (type !== undefined) {
    if (!containerTypes.includes(type)) throw refuseValue(containerTypeKey, containerTypes.join(" or "));
    crossing.push([containerTypeKey, type], [sandboxIdKey, podId]);
  }
  // In the one form that every guest reads, and not at all where it says what holds anyway.
  const flag = (key: string, otherwise: boolean): boolean => {
    const value = given[key];
    if (value === undefined) return otherwise;
    if (![...truths, ...falsehoods].includes(value)) {
      throw refuseValue(key, `one of ${[...truths, ...falsehoods].join(", ")}`);
    }
    const isTrue = truths.includes(value);
    if (isTrue !== otherwise) crossing.push([key, String(isTrue)]);
    return isTrue;
  };
  const isPrivileged = flag(privilegedKey, false);
  flag(hostNetworkKey, false);
  flag(policyKey, true);
  cross(shmSizeKey, (value) => isNumber(value) && BigInt(value) > 0n, "a positive number of KiB");
  cross(coreLimitKey, isPairOfLimits, "two numbers of bytes as <soft>;<hard>, of which the first is not the greater");
  cross(teeLogKey, isRelative, 'a relative path without ".."');
  cross(teeLogMountKey, (value) => value.startsWith("/"), "an absolute path");
  // They become options of the program that sets a GPU up.
  cross(gpuCapabilitiesKey, (value) => /^[a-z]+(,[a-z]+)*$/.test(value), "words with commas between them");
  const gpuVhdPath = given[gpuVhdKey] || undefined;
  if (gpuVhdPath !== undefined && !isAbsolute(gpuVhdPath)) throw refuseValue(gpuVhdKey, "an absolute path of the host");
  for (const key of unsupported) {
    const value = given[key];
    if (value) throw refuse("Unimplemented", `annotation ${key} is ${JSON.stringify(value)}, accepted is nothing`);
  }
  for (const key of withoutEffect) {
    if (given[key] !== undefined) warn(`annotation ${key} has no effect on Linux containers`);
  }
  return { isPrivileged, gpuVhdPath, crossing: Object.fromEntries(crossing) };
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
