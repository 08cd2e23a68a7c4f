import { subjects } from "./fuzz/subjects/index.ts";
import { limitCases } from "./limits/cases.ts";
import { modes } from "./modes/index.ts";

/** One line for each thing that can be attacked, as `--only` names it. */
export function listAll(): readonly string[] {
  return [
    ...modes.map(({ name, what }) => `guest ${name}: the guest ${what}`),
    ...subjects.map(
      ({ name, seeds }) => `fuzz ${name}: a decoder that is fed with what is made of ${seeds.length} inputs`,
    ),
    "chaos <seed>: a lasting process of a pod is killed at a point that the seed says",
    ...limitCases.map(({ name, what }) => `limit ${name}: ${what}`),
  ];
}
