import { pipeline } from "node:stream/promises";
import { type Context, connectTo, podAndRest, type Streams } from "../context.ts";
import { DiagError, exitCodes } from "../errors.ts";
import { type Ends, makeFifos } from "../exec/fifos.ts";
import { LeavingKey } from "../exec/leaving.ts";
import { makePipes } from "../exec/pipes.ts";

/** Runs a program in the VM, with this terminal or these streams; the exit code is the program's. */
export async function exec(context: Context): Promise<number> {
  try {
    return await run(context);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const exitCode =
      error instanceof DiagError && error.exitCode === exitCodes.usage ? exitCodes.usage : exitCodes.execFailed;
    throw new DiagError(exitCode, message, { cause: error });
  }
}

async function run(context: Context): Promise<number> {
  const { options, streams, platform, signal } = context;
  const { pod, rest: args } = podAndRest(context, { least: 1, most: Number.POSITIVE_INFINITY });
  const terminal = options.tty !== undefined;
  const input = options.interactive !== undefined;
  const client = await connectTo(pod, context);
  const leaving = new AbortController();
  const ends = await (platform === "win32" ? makePipes : makeFifos)({ input, terminal });
  const restore = terminal && input ? enterRawMode(streams.stdin) : () => {};
  try {
    // A reader that leaves, as head does, is no failure of the program.
    const drained = Promise.allSettled([
      pipeline(ends.stdout, streams.stdout, { end: false }),
      ...(ends.stderr === undefined ? [] : [pipeline(ends.stderr, streams.stderr, { end: false })]),
    ]);
    void passInput(ends, streams, () => leaving.abort());
    const request = {
      args,
      workdir: typeof options.workdir === "string" ? options.workdir : "",
      terminal,
      ...ends.names,
    };
    const code = await client
      .execInHost(request, AbortSignal.any([signal, leaving.signal]))
      .finally(() => ends.finish());
    await drained;
    return exitCodeFor(code, platform);
  } catch (error) {
    if (signal.aborted) return 130;
    if (leaving.signal.aborted) throw new DiagError(exitCodes.execFailed, "left, which ends the program");
    throw error;
  } finally {
    restore();
    client.close();
    ends.close();
    streams.stdin.destroy();
  }
}

/** Linux keeps eight bits: a failure must not become a success by losing the others. */
function exitCodeFor(code: number, platform: NodeJS.Platform): number {
  return platform === "win32" || code === 0 ? code : code & 0xff || 1;
}

async function passInput(ends: Ends, { stdin }: Streams, onLeave: () => void): Promise<void> {
  if (ends.stdin === undefined) return;
  try {
    await pipeline(stdin, new LeavingKey(onLeave), await ends.stdin);
  } catch {
    // The program has ended, or never began: its exit code or the shim's answer tells.
  }
}

/** Every key goes to the guest's terminal, which echoes it. Without a terminal of our own there is nothing to change. */
function enterRawMode(stdin: NodeJS.ReadStream): () => void {
  if (stdin.isTTY !== true) return () => {};
  stdin.setRawMode(true);
  return () => void stdin.setRawMode(false);
}
