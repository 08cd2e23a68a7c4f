/**
 * The cases that a kind of guest cannot do, each with the reason. `--stale` runs them, and one that passes has a stale
 * reason, which is a failure; so is, always, an entry that names no case.
 */
import type { GuestKind } from "../support/guest-kind.ts";

interface Exception {
  readonly reason: string;
  /** Names, or what names of many cases have in common. */
  readonly cases: readonly (string | RegExp)[];
}

const EXCEPTIONS: { readonly [kind in GuestKind]: readonly Exception[] } = {
  process: [
    {
      reason: "guests on this machine's kernel look at a tree's root alone: they have no device mapper of their own",
      cases: ["a layer's block that does not fit its hash tree is not read"],
    },
  ],
  qemu: [
    {
      reason: "a virtual machine cannot be put into the network namespaces that CNI plugins set up, as such pods are",
      cases: [/^CRI: /],
    },
    {
      reason: "a guest without KVM is silent for longer than the 750 ms that a deletion waits for it",
      cases: ["ten containers at once", "an update of a sandbox's task changes the VM's memory and processors"],
    },
    {
      reason: "a share of a single file is a folder in the guest",
      cases: ["a directory of the host, read-only and writable, and a single file"],
    },
  ],
};

const covers = (one: string | RegExp, name: string): boolean =>
  typeof one === "string" ? one === name : one.test(name);

/** Why a kind leaves a case out; undefined if it does not. */
export function reasonAgainst(kind: GuestKind, name: string): string | undefined {
  return EXCEPTIONS[kind].find(({ cases }) => cases.some((one) => covers(one, name)))?.reason;
}

/** What the table has that is of none of these cases. */
export function emptyEntries(names: readonly string[]): readonly string[] {
  const entries = Object.values(EXCEPTIONS).flatMap((list) => list.flatMap(({ cases }) => cases));
  return entries.filter((one) => !names.some((name) => covers(one, name))).map(String);
}
