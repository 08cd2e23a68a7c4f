import type { Refuse } from "./refusal.ts";

/** What the annotations of a container ask of the guest. */
export interface GuestAnnotations {
  readonly isPrivileged: boolean;
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
): GuestAnnotations {
  const refuseValue = (key: string, accepted: string) =>
    refuse(
      "InvalidArgument",
      `config.json: annotation ${key} is ${JSON.stringify(given[key])}, accepted is ${accepted}`,
    );
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
  const privileged = given[privilegedKey];
  if (privileged !== undefined && !truths.includes(privileged) && !falsehoods.includes(privileged)) {
    throw refuseValue(privilegedKey, `one of ${[...truths, ...falsehoods].join(", ")}`);
  }
  const isPrivileged = privileged !== undefined && truths.includes(privileged);
  if (isPrivileged) crossing.push([privilegedKey, "true"]);
  cross(shmSizeKey, (value) => isNumber(value) && BigInt(value) > 0n, "a positive number of KiB");
  cross(coreLimitKey, isPairOfLimits, "two numbers of bytes as <soft>;<hard>, of which the first is not the greater");
  cross(teeLogKey, isRelative, 'a relative path without ".."');
  cross(teeLogMountKey, (value) => value.startsWith("/"), "an absolute path");
  return { isPrivileged, crossing: Object.fromEntries(crossing) };
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
