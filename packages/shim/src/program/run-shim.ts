import { writeSync } from "node:fs";
import { printableMessage } from "../errors.ts";
import { encodeRuntimeInfo } from "./bootstrap.ts";
import { parseCommand } from "./flags.ts";
import { Launcher } from "./launcher.ts";
import { exitCodes, isRefusal, Refusal, UnknownWord } from "./refusal.ts";
import type { ShimOptions } from "./shim-options.ts";
import { versionText } from "./version.ts";

/**
 * The main function of a shim: runs the action of its arguments and exits. Nothing but the action's reply is written to
 * standard output, and nothing to standard error unless it fails: containerd reads both together as the reply of `start`.
 */
export async function runShim(options: ShimOptions, nodeProcess: NodeJS.Process): Promise<void> {
  const launcher = Launcher.of(nodeProcess);
  try {
    const command = parseCommand(nodeProcess.argv.slice(2));
    // Node's own warnings would become part of the reply on standard error.
    if (command.kind !== "serve" && launcher === undefined) nodeProcess.removeAllListeners("warning");
    switch (command.kind) {
      case "nothing":
        throw new Refusal(
          `containerd starts this program, once for each pod, with flags and an action; ${options.name} -h tells which`,
        );
      case "help": {
        const { shimHelp } = await import("./manual.ts");
        reply(Buffer.from(shimHelp(options)));
        break;
      }
      case "version":
        reply(Buffer.from(versionText(options, nodeProcess.version)));
        break;
      case "info":
        reply(encodeRuntimeInfo(options.runtimeName, options, options.features));
        break;
      case "start": {
        if (launcher === undefined) {
          const { start } = await import("./start.ts");
          reply(await start(command.flags, options, nodeProcess));
        } else {
          const { startHere } = await import("./start-here.ts");
          await startHere(command.flags, options, nodeProcess, launcher);
        }
        break;
      }
      case "delete": {
        const { deleteLeftovers } = await import("./delete.ts");
        reply(await deleteLeftovers(command.flags, options, nodeProcess));
        break;
      }
      case "sandboxer": {
        const { runSandboxer } = await import("../sandboxer/run-sandboxer.ts");
        await runSandboxer(command.flags, options, nodeProcess);
        break;
      }
      case "serve": {
        const { acceptConnections } = await import("./accept.ts");
        const accepting = await acceptConnections(command.flags, options, nodeProcess);
        const { serve } = await import("./serve.ts");
        await serve(command.flags, options, nodeProcess, accepting);
        break;
      }
    }
  } catch (error) {
    const sentence = error instanceof UnknownWord ? await describeWord(error) : printableMessage(error);
    const errors = `${options.name}: ${sentence}${hintFor(error)}\n`;
    const code = isRefusal(error) ? exitCodes.refused : exitCodes.failed;
    if (launcher?.isWaiting) launcher.answer({ errors, code });
    else writeSync(2, errors);
    nodeProcess.exit(code);
    return;
  }
  nodeProcess.exit(exitCodes.done);
}

async function describeWord({ kind, given, accepted }: UnknownWord): Promise<string> {
  const { unknownWord } = await import("./manual.ts");
  return unknownWord(kind, given, accepted);
}

/** A hint for errors that say little by themselves: the reply of `start` shows nothing else. */
function hintFor(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const user = process.geteuid?.() ?? 0;
    if ((code === "EACCES" || code === "EPERM") && user !== 0) {
      return `; this process runs as user ${user}, and containerd starts shims as root`;
    }
    if (code === "EMFILE") return "; the open file limit (ulimit -n) is too low for this shim";
    if (code === "ENFILE") return "; the machine has reached its open file limit (fs.file-max)";
  }
  return "";
}

function reply(bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(1, bytes, offset);
}
