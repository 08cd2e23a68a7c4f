/** What a machine holds, by kind; each thing is one line of text that identifies it. */
export type Holdings = { readonly [Kind in HoldingKind]: ReadonlySet<string> };

export const HOLDING_KINDS = [
  "process",
  "mount",
  "namespace",
  "socket",
  "file",
  "loop device",
  "cgroup",
  "compute system",
] as const;
export type HoldingKind = (typeof HOLDING_KINDS)[number];

/** One line for each thing that is there after and was not before, and for each mount that is gone. */
export function compareHoldings(before: Holdings, after: Holdings): string[] {
  const left = HOLDING_KINDS.flatMap((kind) =>
    [...after[kind]].filter((thing) => !before[kind].has(thing)).map((thing) => `left over: ${kind} ${thing}`),
  );
  const lost = [...before.mount].filter((thing) => !after.mount.has(thing)).map((thing) => `lost: mount ${thing}`);
  return [...left, ...lost];
}
