import { isMistyped } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import {
  boolean,
  int32,
  oneOf,
  optional,
  type Reader,
  refuse,
  SandboxError,
  signedInteger,
  text,
} from "@uvm-shim/sandbox-common";
import { registryValues } from "@uvm-shim/sandbox-wcow";

/** Annotations by key. */
export type Annotations = { readonly [key: string]: string };

const tenThousandths = signedInteger(0, 10_000);
const mostMegabytes = 2n ** 64n - 1n;

/** 64 bits, which a double cannot hold exactly. */
const megabytes: Reader<number | bigint> = (key, given) => {
  const value = /^\d{1,64}$/.test(given) ? BigInt(given) : -1n;
  if (value < 0 || value > mostMegabytes) refuse(key, given, `a whole number from 0 to ${mostMegabytes}`);
  return value > Number.MAX_SAFE_INTEGER ? value : Number(value);
};

/** Paths separated by commas; none for the empty text. */
const paths: Reader<readonly string[]> = (key, list) => (list === "" ? [] : text(key, list).split(","));

const container = "io.microsoft.container.";

/** The annotations that decide what a container is, by the name that the planner uses: the key, and how it is read. */
const known = {
  processorCount: [`${container}processor.count`, int32],
  processorLimit: [`${container}processor.limit`, tenThousandths],
  processorWeight: [`${container}processor.weight`, tenThousandths],
  memoryInMb: [`${container}memory.sizeinmb`, megabytes],
  bandwidthMaximum: [`${container}storage.qos.bandwidthmaximum`, int32],
  iopsMaximum: [`${container}storage.qos.iopsmaximum`, int32],
  processDumpLocation: [`${container}processdumplocation`, text],
  processDumpType: ["io.microsoft.wcow.processdumptype", optional(oneOf("full", "mini"))],
  processDumpCount: ["io.microsoft.wcow.processdumpcount", optional(signedInteger(1, 2 ** 31 - 1))],
  deviceExtensions: [`${container}wcow.deviceextensions`, paths],
  registryValues: [`${container}wcow.test-registry-annotation`, registryValues],
  disableGmsa: [`${container}wcow.gmsa.disable`, boolean],
  kernelDrivers: ["io.microsoft.virtualmachine.kerneldrivers", paths],
  noWritableFileShares: ["io.microsoft.virtualmachine.fileshares.disablewritable", boolean],
  noDirectMap: ["io.microsoft.virtualmachine.wcow.virtualSMB.nodirectmap", boolean],
  disableUnsafeOperations: ["io.microsoft.disable-unsafe-operations", boolean],
  disableHostProcess: ["microsoft.com/disable-hostprocess-container", boolean],
  hostProcess: ["microsoft.com/hostprocess-container", boolean],
  hostProcessInheritsUser: ["microsoft.com/hostprocess-inherit-user", boolean],
  hostProcessRoot: ["microsoft.com/hostprocess-rootfs-location", text],
  type: ["io.kubernetes.cri.container-type", text],
  sandboxId: ["io.kubernetes.cri.sandbox-id", text],
} as const satisfies { readonly [name: string]: readonly [string, Reader<unknown>] };

/** For docs/reference.md. */
export const annotationRows = known;

type Known = typeof known;
/** The name of a known annotation. */
export type AnnotationName = keyof Known;
/** What the known annotations say; each value is absent where its annotation is. */
export type AnnotationValues = { readonly [Name in AnnotationName]?: ReturnType<Known[Name][1]> };

/** Every annotation that decides what a Windows container is. */
export const windowsContainerAnnotationKeys: readonly string[] = Object.values(known).map(([key]) => key);

/** The key of an annotation, for errors that name it. */
export function keyOf(name: AnnotationName): string {
  return known[name][0];
}

/** One annotation that is wrong. Only what looks like a mistyped number or word is shown: others may be secrets. */
export function wrongAnnotation(name: AnnotationName, given: string, expected: string, refuse: Refuse): Error {
  const shown = isMistyped(given) ? JSON.stringify(given) : `a text of ${given.length} characters`;
  return refuse("InvalidArgument", `annotation ${keyOf(name)} is ${shown}, expected ${expected}`);
}

const pathStart = /^([\\/]|[A-Za-z]:)/;

/** As `wrongAnnotation`, for paths of this machine or the guest, which are no secrets; what is no path may be one. */
export function wrongPath(name: AnnotationName, path: string, expected: string, refuse: Refuse): Error {
  if (!pathStart.test(path)) return wrongAnnotation(name, path, expected, refuse);
  const shown = JSON.stringify(path.slice(0, 300));
  return refuse("InvalidArgument", `annotation ${keyOf(name)} is ${shown}, expected ${expected}`);
}

/** Runs a reader of sandbox-common; its error becomes one of this operation. */
export function refusingAs<T>(subject: string, read: () => T, refuse: Refuse): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SandboxError) throw refuse(error.code, `${subject}${error.message}`, error);
    throw error;
  }
}

/** Reads the known annotations, and refuses values that cannot be used. */
export function readAnnotations(annotations: Annotations, refuse: Refuse): AnnotationValues {
  const values: { [name: string]: unknown } = {};
  for (const name of Object.keys(known) as AnnotationName[]) {
    const given = annotations[keyOf(name)];
    if (given === undefined) continue;
    const [key, read]: readonly [string, Reader<unknown>] = known[name];
    values[name] = refusingAs("annotation ", () => read(key, given), refuse);
  }
  return values;
}

/** Whether annotations that were checked elsewhere say yes. */
export function isTrueIn(annotations: Annotations, name: AnnotationName): boolean {
  const key = keyOf(name);
  const given = annotations[key];
  try {
    return given !== undefined && boolean(key, given);
  } catch {
    return false;
  }
}

/** What `disable-unsafe-operations` stands for. */
const unsafeOperations = ["disableGmsa", "noWritableFileShares", "noDirectMap", "disableHostProcess"] as const;

/** The annotations with those that others stand for. An expansion must not contradict what is written. */
export function expandedAnnotations(annotations: Annotations, refuse: Refuse): Annotations {
  const all = annotations[keyOf("disableUnsafeOperations")];
  if (all === undefined) return annotations;
  refusingAs("annotation ", () => boolean(keyOf("disableUnsafeOperations"), all), refuse);
  for (const name of unsafeOperations) {
    const given = annotations[keyOf(name)];
    if (given === undefined || given === all) continue;
    const expected = `${JSON.stringify(all.slice(0, 60))}, as ${keyOf("disableUnsafeOperations")} says`;
    throw wrongAnnotation(name, given, expected, refuse);
  }
  return { ...annotations, ...Object.fromEntries(unsafeOperations.map((name) => [keyOf(name), all])) };
}

/** Whether a pod's annotations, unexpanded, forbid something. */
export function isForbiddenIn(pod: Annotations, name: (typeof unsafeOperations)[number]): boolean {
  return isTrueIn(pod, name) || isTrueIn(pod, "disableUnsafeOperations");
}
