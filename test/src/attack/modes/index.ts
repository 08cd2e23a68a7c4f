import { answerModes } from "./answers.ts";
import { bootModes } from "./boots.ts";
import { exitModes } from "./exits.ts";
import { floodModes } from "./floods.ts";
import { frameModes } from "./frames.ts";
import type { Mode } from "./mode.ts";
import { stdioModes } from "./stdio.ts";

export const modes: readonly Mode[] = [
  ...answerModes,
  ...frameModes,
  ...floodModes,
  ...exitModes,
  ...stdioModes,
  ...bootModes,
];

export function findMode(name: string): Mode {
  const mode = modes.find((one) => one.name === name);
  if (mode === undefined)
    throw new Error(`unknown mode ${JSON.stringify(name)}: expected one of ${modes.map((one) => one.name).join(", ")}`);
  return mode;
}
