import type { Container, Process } from "../../platform.ts";
import type { DeleteAnswer } from "../../program/process-record.ts";

/** What is told of a task or exec after its deletion, to those who ask again. */
export interface Deleted extends DeleteAnswer {
  readonly state: LastingState;
}

type LastingState = ReturnType<typeof lastingState>;

/** The part of a State answer that outlives the process. */
export function lastingState({ bundle }: Container, { stdio: { stdin, stdout, stderr, terminal } }: Process) {
  return { bundle, stdin, stdout, stderr, terminal };
}
