/** Every annotation of pods and containers, with what its reader accepts: asked of the readers themselves. */
import {
  containerAnnotationKeys,
  readAnnotations,
  sandboxIdKey,
} from "../../packages/controller-container/src/plan/annotations.ts";
import { annotationRows } from "../../packages/controller-container-wcow/src/specification/annotations.ts";
import { codeOf, refusing } from "../../packages/lifecycle/src/index.ts";
import { type AnnotationRows, type Reader, serviceTablePrefix } from "../../packages/sandbox-common/src/index.ts";
import { annotationTables as linux } from "../../packages/sandbox-lcow/src/annotations/annotations.ts";
import {
  annotationTables as windows,
  containerAnnotationKeys as windowsContainerKeys,
} from "../../packages/sandbox-wcow/src/annotations/annotations.ts";

export type Guests = "Linux" | "Windows";
export type Reach = "VM" | "container";

export interface AnnotationRow {
  readonly key: string;
  /** Who reads it, for which guests; none: it is known, and only warned of. */
  readonly readers: readonly { readonly guests: Guests; readonly of: Reach; readonly accepted: string }[];
  /** For which guests any value is refused. */
  readonly refused: readonly Guests[];
  readonly withoutEffect: readonly Guests[];
}

/** A text that no reader accepts, but for those of lists of paths. */
const nonsense = "\0/\\:";

/** What a reader says that it expects instead of nonsense. */
function acceptedBy(read: Reader<unknown>): string {
  try {
    read("key", nonsense);
  } catch (error) {
    return expectedIn(error);
  }
  throw new Error(`a reader accepts ${JSON.stringify(nonsense)}`);
}

function expectedIn(error: unknown): string {
  const [, expected] = /, expected (.*)$/s.exec(error instanceof Error ? error.message : "") ?? [];
  if (expected === undefined) throw new Error(`an error says nothing of what is expected: ${String(error)}`);
  return expected;
}

interface Found {
  readonly guests: Guests;
  readonly of?: Reach;
  readonly accepted?: string;
  readonly is: "read" | "refused" | "without effect";
}

function ofSandboxes(guests: Guests, tables: typeof linux | typeof windows): (readonly [string, Found])[] {
  const rows: AnnotationRows = tables.effective;
  return [
    ...Object.values(rows).map(
      ([key, read]) => [key, { guests, of: "VM", accepted: acceptedBy(read), is: "read" }] as const,
    ),
    ...tables.unsupported.map((key) => [key, { guests, is: "refused" }] as const),
    ...tables.withoutEffect.map((key) => [key, { guests, is: "without effect" }] as const),
  ];
}

/** Linux containers have no table of readers: each key is given nonsense alone. */
function ofLinuxContainers(): (readonly [string, Found])[] {
  return containerAnnotationKeys.map((key) => {
    if (key === sandboxIdKey)
      return [key, { guests: "Linux", of: "container", accepted: "an id", is: "read" }] as const;
    try {
      readAnnotations({ [key]: nonsense }, "pod", refusing("read", key), () => {});
      return [key, { guests: "Linux", is: "without effect" }] as const;
    } catch (error) {
      if (codeOf(error) === "Unimplemented") return [key, { guests: "Linux", is: "refused" }] as const;
      return [key, { guests: "Linux", of: "container", accepted: expectedIn(error), is: "read" }] as const;
    }
  });
}

function ofWindowsContainers(): (readonly [string, Found])[] {
  return Object.values(annotationRows).map(([key, read]: readonly [string, Reader<unknown>]) => [
    key,
    { guests: "Windows", of: "container", accepted: acceptedBy(read), is: "read" },
  ]);
}

export function annotationRowsOfAll(): ReadonlyMap<string, AnnotationRow> {
  const all: (readonly [string, Found])[] = [
    ...ofSandboxes("Linux", linux),
    ...ofSandboxes("Windows", windows),
    ...ofLinuxContainers(),
    ...ofWindowsContainers(),
    ...windowsContainerKeys.map((key) => [key, { guests: "Windows", is: "without effect" }] as const),
    ...(["Linux", "Windows"] as const).flatMap((guests) => [
      [`${serviceTablePrefix}<GUID>`, { guests, of: "VM", accepted: "a JSON object", is: "read" }] as const,
      ["io.uvm-shim.sandbox-id", { guests, of: "container", accepted: "an id", is: "read" }] as const,
    ]),
  ];
  const found = Map.groupBy(all, ([key]) => key);
  return new Map(
    [...found].map(([key, entries]) => {
      const each = entries.map(([, entry]) => entry);
      const guestsThat = (is: Found["is"]): Guests[] => [
        ...new Set(each.filter((entry) => entry.is === is).map(({ guests }) => guests)),
      ];
      const readers = each.flatMap(({ guests, of, accepted }) =>
        of === undefined || accepted === undefined ? [] : [{ guests, of, accepted }],
      );
      const isRead = (guests: Guests): boolean => readers.some((reader) => reader.guests === guests);
      return [
        key,
        {
          key,
          readers,
          refused: guestsThat("refused").filter((guests) => !isRead(guests)),
          withoutEffect: guestsThat("without effect").filter((guests) => !isRead(guests)),
        },
      ];
    }),
  );
}
