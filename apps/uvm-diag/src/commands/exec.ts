import { pipeline } from "node:stream/promises";
import { type Context, connectTo, podAndRest, type Streams } from "../context.ts";
import { DiagError, exitCodes } from "../errors.ts";
import { type Ends, makeFifos } from "../exec/fifos.ts";
import { LeavingKey } from "../exec/leaving.ts";
import { makePipes } from "../exec/pipes.ts";
import type { ShimClient } from "../shim/client.ts";

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
  const { pod, rest: args } = podAndRest(context, { least: 1, most: Number.POSITIVE_INFINITY });
  const client = await connectTo(pod, context);
  try {
    return await runWith(client, args, context);
  } finally {
    client.close();
    context.streams.stdin.destroy();
  }
}

async function runWith(client: ShimClient, args: readonly string[], context: Context): Promise<number> {
  const { options, streams, platform, signal } = context;
  const terminal = options.tty !== undefined;
  const input = options.interactive !== undefined;
  const leaving = new AbortController();
  const over = AbortSignal.any([signal, leaving.signal]);
  const ends = await (platform === "win32" ? makePipes : makeFifos)({ input, terminal });
  const isRaw = terminal && input && streams.stdin.isTTY === true;
  if (isRaw) streams.stdin.setRawMode(true);
  try {
    // A reader that leaves, as head does, is no failure of the program.
    const drained = Promise.allSettled([
      pipeline(ends.stdout, streams.stdout, { end: false, signal: over }),
      ...(ends.stderr === undefined ? [] : [pipeline(ends.stderr, streams.stderr, { end: false, signal: over })]),
    ]);
    void passInput(ends, streams, isRaw ? () => leaving.abort() : undefined);
    const request = {
      args,
      workdir: typeof options.workdir === "string" ? options.workdir : "",
      terminal,
      ...ends.names,
    };
    const code = await client.execInHost(request, leaving.signal).finally(() => ends.finish());
    await drained;
    over.throwIfAborted();
    return exitCodeFor(code, platform);
  } catch (error) {
    if (leaving.signal.aborted) throw new DiagError(exitCodes.execFailed, "left, which ends the program");
    throw error;
  } finally {
    if (isRaw) streams.stdin.setRawMode(false);
    ends.close();
  }
}

/** Linux keeps eight bits: a failure must not become a success by losing the others. */
function exitCodeFor(code: number, platform: NodeJS.Platform): number {
  return platform === "win32" || code === 0 ? code : code & 0xff || 1;
}

/**
 * In raw mode every key goes to the guest's terminal, so there has to be a key to leave by, and it has to be read while
 * the shim has not opened its end yet: it may hang. Bytes that are no keys mean nothing.
 */
async function passInput(ends: Ends, { stdin }: Streams, onLeave: (() => void) | undefined): Promise<void> {
  if (ends.stdin === undefined) return;
  try {
    if (onLeave === undefined) return await pipeline(stdin, await ends.stdin);
    const keys = new LeavingKey(onLeave);
    stdin.once("error", (error) => keys.destroy(error)).pipe(keys);
    await pipeline(keys, await ends.stdin);
  } catch {
    // The program has ended, or never began: its exit code or the shim's answer tells.
  }
}
