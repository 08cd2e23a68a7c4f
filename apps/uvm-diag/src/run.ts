import { helpText } from "@uvm-shim/command-line";
import { type Invocation, parseCommandLine } from "./command-line/parse.ts";
import { events } from "./commands/events.ts";
import { exec } from "./commands/exec.ts";
import { list } from "./commands/list.ts";
import { logs } from "./commands/logs.ts";
import { dump, pid, share, stacks, tasks } from "./commands/simple.ts";
import { state } from "./commands/state.ts";
import { timeline } from "./commands/timeline.ts";
import { why } from "./commands/why.ts";
import type { Context, Streams } from "./context.ts";
import { DiagError, exitCodes } from "./errors.ts";
import { manual } from "./manual.ts";
import { type Output, screenOutput } from "./output/output.ts";
import { findPods } from "./pods/find.ts";
import type { Pod } from "./pods/pod.ts";

export const commands: { readonly [name: string]: (context: Context) => Promise<number> } = {
  ...{ list, state, events, timeline, logs, exec, stacks, share, pid, tasks, why, dump },
};

/** What the program needs of its process and machine. */
export interface Surroundings {
  readonly arguments: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** Undefined where there are no such ids. */
  readonly userId: number | undefined;
  readonly streams: Streams;
  readonly versionText: string;
  readonly version: string;
  readonly now: () => Date;
  readonly signal: AbortSignal;
  readonly findPods?: () => readonly Pod[];
}

/** Runs the program, and returns its exit code. */
export async function runDiag(surroundings: Surroundings): Promise<number> {
  const { streams, env, platform } = surroundings;
  const output = screenOutput(streams.stdout, streams.stderr, env);
  try {
    const invocation = parseCommandLine(surroundings.arguments, manual);
    switch (invocation.kind) {
      case "help":
        output.raw(helpText(manual, invocation.command, Math.min(output.width ?? 100, 120)));
        return exitCodes.done;
      case "version":
        output.raw(surroundings.versionText);
        return exitCodes.done;
      case "command":
        return await runCommand(invocation, surroundings, output);
    }
  } catch (error) {
    if (surroundings.signal.aborted) return 130;
    if (!(error instanceof DiagError)) throw error;
    output.note(`${manual.name}: ${error.message}`);
    return error.exitCode;
  }

  async function runCommand(
    { command, options, operands }: Extract<Invocation, { readonly kind: "command" }>,
    { version, now, signal, userId }: Surroundings,
    output: Output,
  ): Promise<number> {
    const work = commands[command.name];
    if (work === undefined) throw new Error(`the command ${command.name} has no code`);
    const needsNoRoot = options.record !== undefined || options.socket !== undefined;
    if (userId !== undefined && userId !== 0 && !needsNoRoot) {
      const message = `only root may look at pods (this user has the id ${userId}): try sudo uvm-diag ${command.name}`;
      throw new DiagError(command.name === "exec" ? exitCodes.execFailed : exitCodes.notPermitted, message);
    }
    const find = surroundings.findPods ?? (() => findPods({ env, platform }));
    return await work({
      command,
      options,
      operands,
      output,
      streams,
      env,
      platform,
      version,
      now,
      signal,
      findPods: find,
    });
  }
}
