import type { StateTree } from "@uvm-shim/shim/protocol";
import { DiagError, exitCodes } from "../errors.ts";
import type { Pod } from "../pods/pod.ts";
import { connectToPod, type Patience, type ShimClient, type Task } from "./client.ts";
import { parseState } from "./state.ts";

/** How a shim is silent: it takes the question, or nobody serves its socket, or it cannot be asked from here. */
export type Silence = "no answer" | "not served" | "not asked";

/** What a pod's shim says: everything, what hcsshim's service has, nothing, or there is none. */
export type Answer =
  | { readonly kind: "state"; readonly tree: StateTree }
  | { readonly kind: "diag"; readonly pid: number; readonly tasks: readonly Task[] }
  | { readonly kind: "silent"; readonly silence: Silence; readonly reason: string }
  | { readonly kind: "gone" };

export interface Surveyed {
  readonly pod: Pod;
  readonly answer: Answer;
}

const mostAtOnce = 16;

/** Asks all shims, some at the same time; one that hangs holds up nobody for longer than the time given. */
export async function survey(pods: readonly Pod[], patience: Patience): Promise<readonly Surveyed[]> {
  const answers: Surveyed[] = [];
  const queue = pods.entries();
  const work = async (): Promise<void> => {
    for (const [index, pod] of queue) answers[index] = { pod, answer: await ask(pod, patience) };
  };
  await Promise.all(Array.from({ length: mostAtOnce }, work));
  return answers;
}

export async function ask(pod: Pod, patience: Patience): Promise<Answer> {
  if (pod.socket === undefined) return { kind: "gone" };
  let client: ShimClient | undefined;
  try {
    client = await connectToPod(pod, pod.socket, patience);
    try {
      return { kind: "state", tree: parseState(await client.state()) };
    } catch (error) {
      if (!(error instanceof DiagError) || error.exitCode !== exitCodes.unsupported) throw error;
      const [pid, tasks] = await Promise.all([client.pid(), client.tasks(true)]);
      return { kind: "diag", pid, tasks };
    }
  } catch (error) {
    patience.signal?.throwIfAborted();
    return { kind: "silent", silence: silenceOf(error as Error), reason: (error as Error).message };
  } finally {
    client?.close();
  }
}

function silenceOf({ cause }: Error): Silence {
  switch ((cause as { readonly code?: unknown } | undefined)?.code) {
    case "DeadlineExceeded":
    case "ETIMEDOUT":
      return "no answer";
    case "ENOENT":
    case "ECONNREFUSED":
      return "not served";
    default:
      return "not asked";
  }
}
