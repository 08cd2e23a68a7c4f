export { completion, type Shell, shells } from "./completion.ts";
export { helpText } from "./help.ts";
export { manPage } from "./man-page.ts";
export type {
  ArgumentManual,
  CommandManual,
  ExampleManual,
  OptionManual,
  ProgramManual,
  VariableManual,
} from "./manual.ts";
export { nearest, unknownWord } from "./nearest.ts";
