import path from "node:path";
import type { CommandManual } from "@uvm-shim/command-line";
import { type Options, usage } from "./command-line/parse.ts";
import { DiagError, exitCodes } from "./errors.ts";
import type { Output } from "./output/output.ts";
import { plainJson } from "./output/plain.ts";
import { nameOf, type Pod } from "./pods/pod.ts";
import { selectPod } from "./pods/select.ts";
import { connectToPod, type Patience, type ShimClient } from "./shim/client.ts";

/** The standard streams, for what has to do with bytes and terminals. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** What a command works with. */
export interface Context {
  readonly command: CommandManual;
  readonly options: Options;
  readonly operands: readonly string[];
  readonly output: Output;
  readonly streams: Streams;
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly version: string;
  readonly now: () => Date;
  readonly findPods: () => readonly Pod[];
  /** Aborts when the command is to end: on Ctrl-C, or when nobody reads its output any more. */
  readonly signal: AbortSignal;
}

const usualTimeoutMs = 10_000;

export function timeoutOf({ options }: Context): number {
  const { timeout } = options;
  if (typeof timeout !== "string") return usualTimeoutMs;
  const seconds = Number(timeout);
  if (!(seconds > 0 && seconds <= 86_400)) {
    throw usage(`option --timeout is ${JSON.stringify(timeout)}, expected seconds, more than 0 and at most 86400`);
  }
  return seconds * 1000;
}

export function patienceOf(context: Context): Patience {
  return { timeoutMs: timeoutOf(context), signal: context.signal };
}

/** The pod that the command line names, and the operands after it. With a socket or a record nobody names one. */
export function podAndRest(context: Context, most: { readonly least: number; readonly most: number }) {
  const { options, operands } = context;
  const named = options.socket === undefined && options.record === undefined;
  checkOperands(context, most.least + (named ? 1 : 0), most.most + (named ? 1 : 0));
  if (!named) return { pod: podOfOptions(options), rest: operands };
  return { pod: selectPod(context.findPods(), operands[0] ?? ""), rest: operands.slice(1) };
}

export function checkOperands({ command, operands }: Context, least: number, most: number): void {
  if (operands.length >= least && operands.length <= most) return;
  const names = (command.arguments ?? []).map(({ name }) => name);
  const problem =
    operands.length < least
      ? `${names[operands.length] ?? names.at(-1) ?? "an argument"} is missing`
      : `there is no use for ${JSON.stringify(operands[most])}`;
  throw usage(`${command.name}: ${problem}: expected uvm-diag ${command.name} ${command.synopsis}`);
}

function podOfOptions({ socket, record }: Options): Pod {
  const [file, served] = [record, socket].map((value) => (typeof value === "string" ? value : undefined));
  if (file !== undefined && served !== undefined) throw usage("options --record and --socket exclude each other");
  return {
    namespace: "",
    id: path.basename(served ?? file ?? ""),
    shim: "",
    pid: undefined,
    isElsewhere: false,
    socket: served,
    bundle: undefined,
    record: file,
    members: [],
  };
}

/** A client of the pod's shim, which has to be there. */
export async function connectTo(pod: Pod, context: Context): Promise<ShimClient> {
  if (pod.socket === undefined) {
    const hint = pod.record === undefined ? "" : "; events, timeline, logs and why read its record";
    throw new DiagError(exitCodes.failed, `no shim serves ${nameOf(pod)} any more${hint}`);
  }
  return await connectToPod(pod, pod.socket, patienceOf(context));
}

/** Works with a client of the pod's shim, and closes it. */
export async function withShim<T>(pod: Pod, context: Context, work: (client: ShimClient) => Promise<T>): Promise<T> {
  const client = await connectTo(pod, context);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export function writeJson(output: Output, value: unknown): void {
  output.raw(`${plainJson(value, 2)}\n`);
}
