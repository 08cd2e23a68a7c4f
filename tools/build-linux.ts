/** Bundles programs straight from the sources and puts them into this machine's distribution, unless they are there. */
import { join } from "node:path";
import { type Piece, Stamps } from "./bootstrap/stamps.mjs";
import { findProgram } from "./programs.ts";
import { digestSources } from "./sources.ts";
import { distributionOf, linuxHost, linuxPrograms, marksOf, placesOf } from "./targets.ts";

/** Those of the programs that a distribution does not have as this key says. */
export function staleOf(names: readonly string[], key: string, folder: string, stamps: Stamps): readonly Piece[] {
  return names
    .map((name) => ({ name, key, outcomes: placesOf(name).map((place) => join(folder, place)) }))
    .filter((piece) => !stamps.has(piece));
}

/** Makes all programs, or those named. */
export async function buildLinux(wanted?: readonly string[]): Promise<void> {
  const target = linuxHost();
  const stamps = new Stamps(marksOf(target));
  const key = digestSources();
  const stale = staleOf(wanted ?? linuxPrograms, key, distributionOf(target), stamps);
  if (stale.length === 0) return;
  const names = stale.map(({ name }) => name);
  for (const piece of stale) stamps.forget(piece);
  const [{ writeBundles }, { assembleLinux }] = await Promise.all([import("./bundle.ts"), import("./assemble.ts")]);
  await Promise.all(names.map((name) => writeBundles(findProgram(name), ["linux"])));
  await assembleLinux({ target, programs: names, manuals: wanted === undefined });
  // What was edited meanwhile may be in some of them.
  if (digestSources() === key) for (const piece of stale) stamps.remember(piece);
}
