import type { Container, Process } from "../../platform.ts";
import type { DeleteAnswer } from "./process-record.ts";

/** The part of a task or exec that outlives its deletion, for clients that repeat a request. */
export interface DeletedTask extends DeleteAnswer {
  readonly state: LastingState;
}

type LastingState = ReturnType<typeof lastingState>;

/** The part of a State answer that outlives the process. */
export function lastingState({ bundle }: Container, { stdio: { stdin, stdout, stderr, terminal } }: Process) {
  return { bundle, stdin, stdout, stderr, terminal };
}
