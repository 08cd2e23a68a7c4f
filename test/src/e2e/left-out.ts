/**
 * The cases that a kind of guest cannot do, each with the reason. `--stale` runs them, and one that passes has a stale
 * reason, which is a failure; so is, always, an entry that names no case.
 */
import type { GuestKind } from "../support/guest-kind.ts";

interface Exception {
  readonly reason: string;
  readonly cases: readonly string[];
}

const EXCEPTIONS: { readonly [kind in GuestKind]: readonly Exception[] } = {
  process: [
    {
      reason: "guests on this machine's kernel look at a tree's root alone: they have no device mapper of their own",
      cases: ["a layer's block that does not fit its hash tree is not read"],
    },
  ],
  qemu: [],
};

/** The reasons of a kind, by the cases' names. */
export function leftOut(kind: GuestKind): ReadonlyMap<string, string> {
  return new Map(EXCEPTIONS[kind].flatMap(({ reason, cases }) => cases.map((name) => [name, reason])));
}

/** Every name in the table. */
export const LEFT_OUT_CASES: readonly string[] = Object.values(EXCEPTIONS)
  .flat()
  .flatMap(({ cases }) => cases);
