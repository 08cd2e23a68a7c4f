import { writeSync } from "node:fs";
import { shownMessage } from "../errors.ts";
import { encodeRuntimeInfo } from "./bootstrap.ts";
import { parseCommand } from "./flags.ts";
import type { ShimOptions } from "./shim-options.ts";

/**
 * The main function of a shim's executable: does what its arguments say and ends the process. Nothing but the reply
 * of an action is ever written to standard output or, when all goes well, to standard error: containerd reads both
 * together as the answer of `start`.
 */
export async function runShim(options: ShimOptions, host: NodeJS.Process): Promise<void> {
  try {
    const command = parseCommand(host.argv.slice(2));
    // The runtime's own warnings go to standard error, where they would become part of an action's reply.
    if (command.kind !== "serve") host.removeAllListeners("warning");
    switch (command.kind) {
      case "version":
        reply(Buffer.from(`${options.name} ${options.version} (${options.runtimeName})\n`));
        break;
      case "info":
        reply(encodeRuntimeInfo(options.runtimeName, options.version, options.features));
        break;
      case "start": {
        const { start } = await import("./start.ts");
        reply(await start(command.flags, options, host));
        break;
      }
      case "delete": {
        const { deleteLeftovers } = await import("./delete.ts");
        reply(await deleteLeftovers(command.flags, options, host));
        break;
      }
      case "serve": {
        const { serve } = await import("./serve.ts");
        await serve(command.flags, options, host);
        break;
      }
    }
  } catch (error) {
    writeSync(2, `${options.name}: ${shownMessage(error)}${remedyOf(error)}\n`);
    host.exit(1);
    return;
  }
  host.exit(0);
}

/** What helps where files cannot be opened: whoever reads the answer of `start` has only that. */
function remedyOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EMFILE") return "; the limit of open files (ulimit -n) is too low for this shim";
    if (code === "ENFILE") return "; the whole machine has as many open files as it may (fs.file-max)";
  }
  return "";
}

function reply(bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(1, bytes, offset);
}
