import { isMistyped } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

export type Annotations = { readonly [key: string]: string };

/** Parses the text of one annotation; `wrong` makes the error from what is expected. */
type Reader<T> = (text: string, wrong: (expected: string) => Error) => T;

const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

const truth: Reader<boolean> = (text, wrong) => {
  if (trueWords.includes(text)) return true;
  if (falseWords.includes(text)) return false;
  throw wrong(`one of ${[...trueWords, ...falseWords].join(", ")}`);
};

function whole(most: number): Reader<number> {
  return (text, wrong) => {
    const value = Number(text);
    if (!/^\+?\d{1,16}$/.test(text) || value > most) throw wrong(`a whole number from 0 to ${most}`);
    return value;
  };
}

const int32 = whole(2 ** 31 - 1);
const tenThousandths = whole(10_000);
const megabytes = whole(Number.MAX_SAFE_INTEGER);

/** Paths separated by commas; none for the empty text. */
const paths: Reader<readonly string[]> = (text, wrong) => {
  if (text === "") return [];
  const all = text.split(",");
  if (all.includes("")) throw wrong("paths separated by single commas");
  return all;
};

/** DumpType of Windows Error Reporting. */
const dumpTypes: ReadonlyMap<string, number> = new Map([
  ["", 2],
  ["full", 2],
  ["mini", 1],
]);

/** Texts that count only together with others are read where they count. */
const plain: Reader<string> = (text, wrong) => {
  if (/\p{Cc}/u.test(text)) throw wrong("text without control characters");
  return text;
};

const container = "io.microsoft.container.";

/** The annotations that decide what a container is, by the name that the planner uses: the key, and how it is read. */
const known = {
  processorCount: [`${container}processor.count`, int32],
  processorLimit: [`${container}processor.limit`, tenThousandths],
  processorWeight: [`${container}processor.weight`, tenThousandths],
  memoryInMb: [`${container}memory.sizeinmb`, megabytes],
  bandwidthMaximum: [`${container}storage.qos.bandwidthmaximum`, int32],
  iopsMaximum: [`${container}storage.qos.iopsmaximum`, int32],
  processDumpLocation: [`${container}processdumplocation`, plain],
  processDumpType: ["io.microsoft.wcow.processdumptype", plain],
  processDumpCount: ["io.microsoft.wcow.processdumpcount", plain],
  deviceExtensions: [`${container}wcow.deviceextensions`, paths],
  registryValues: [`${container}wcow.test-registry-annotation`, (text: string) => text],
  disableGmsa: [`${container}wcow.gmsa.disable`, truth],
  kernelDrivers: ["io.microsoft.virtualmachine.kerneldrivers", paths],
  noWritableFileShares: ["io.microsoft.virtualmachine.fileshares.disablewritable", truth],
  noDirectMap: ["io.microsoft.virtualmachine.wcow.virtualSMB.nodirectmap", truth],
  disableUnsafeOperations: ["io.microsoft.disable-unsafe-operations", truth],
  disableHostProcess: ["microsoft.com/disable-hostprocess-container", truth],
  hostProcess: ["microsoft.com/hostprocess-container", truth],
  hostProcessInheritsUser: ["microsoft.com/hostprocess-inherit-user", truth],
  hostProcessRoot: ["microsoft.com/hostprocess-rootfs-location", plain],
  type: ["io.kubernetes.cri.container-type", plain],
  sandboxId: ["io.kubernetes.cri.sandbox-id", plain],
} as const satisfies { readonly [name: string]: readonly [string, Reader<unknown>] };

type Known = typeof known;
export type AnnotationName = keyof Known;
export type AnnotationValues = { readonly [Name in AnnotationName]?: ReturnType<Known[Name][1]> };

/** Every annotation that decides what a Windows container is. */
export const windowsContainerAnnotationKeys: readonly string[] = Object.values(known).map(([key]) => key);

export function keyOf(name: AnnotationName): string {
  return known[name][0];
}

/** One annotation that is wrong. Only what looks like a mistyped number or word is shown: others may be secrets. */
export function wrongAnnotation(name: AnnotationName, text: string, expected: string, refuse: Refuse): Error {
  const given = isMistyped(text) ? JSON.stringify(text) : `a text of ${text.length} characters`;
  return refuse("InvalidArgument", `annotation ${keyOf(name)} is ${given}, expected ${expected}`);
}

/** As `wrongAnnotation`, for paths of this machine or the guest, which are no secrets. */
export function wrongPath(name: AnnotationName, path: string, expected: string, refuse: Refuse): Error {
  const given = JSON.stringify(path.slice(0, 300));
  return refuse("InvalidArgument", `annotation ${keyOf(name)} is ${given}, expected ${expected}`);
}

export function readAnnotations(annotations: Annotations, refuse: Refuse): AnnotationValues {
  const values: { [name: string]: unknown } = {};
  for (const name of Object.keys(known) as AnnotationName[]) {
    const text = annotations[keyOf(name)];
    if (text === undefined) continue;
    const read: Reader<unknown> = known[name][1];
    values[name] = read(text, (expected) => wrongAnnotation(name, text, expected, refuse));
  }
  return values;
}

/** Whether annotations that were checked elsewhere say yes. */
export function isTrueIn(annotations: Annotations, name: AnnotationName): boolean {
  return trueWords.includes(annotations[keyOf(name)] ?? "");
}

/** What `disable-unsafe-operations` stands for. */
const unsafeOperations = ["disableGmsa", "noWritableFileShares", "noDirectMap", "disableHostProcess"] as const;

/** The annotations with those that others stand for. An expansion must not contradict what is written. */
export function expandedAnnotations(annotations: Annotations, refuse: Refuse): Annotations {
  const all = annotations[keyOf("disableUnsafeOperations")];
  if (all === undefined) return annotations;
  for (const name of unsafeOperations) {
    const text = annotations[keyOf(name)];
    if (text === undefined || text === all) continue;
    const expected = `${JSON.stringify(all.slice(0, 60))}, as ${keyOf("disableUnsafeOperations")} says`;
    throw wrongAnnotation(name, text, expected, refuse);
  }
  return { ...annotations, ...Object.fromEntries(unsafeOperations.map((name) => [keyOf(name), all])) };
}

export function dumpTypeOf(text: string, refuse: Refuse): number {
  const type = dumpTypes.get(text);
  if (type === undefined) throw wrongAnnotation("processDumpType", text, "full or mini", refuse);
  return type;
}

const defaultDumpCount = 10;

export function dumpCountOf(text: string, refuse: Refuse): number {
  if (text === "") return defaultDumpCount;
  const wrong = (expected: string) => wrongAnnotation("processDumpCount", text, expected, refuse);
  const count = int32(text, wrong);
  if (count === 0) throw wrong("a positive number");
  return count;
}
