import { realpathSync } from "node:fs";
import path from "node:path";
import { isSea } from "node:sea";

/**
 * Of V8, in MiB: by default a program that has allocated much keeps tens of MiB for what it is going to allocate next,
 * and a machine runs a shim for each pod.
 */
const smallYoungGeneration = "--max-semi-space-size=2";

/** Blocks SIGUSR1 in all threads of a runtime, which would else make its debugger listen, and keeps it from listeners. */
const noSignal = "--disable-sigusr1";
/**
 * Where a debugger would listen: an address that no machine has. The serving process listens to SIGUSR1 itself, which
 * takes the signal from the debugger; this is for what comes before that.
 */
const noDebugger = "--inspect-port=0.0.0.1:9229";

/** How this program is run again to serve: as the executable that it is, which has its options in it, or as a runtime's script. */
export function ownCommand(host: NodeJS.Process): { readonly file: string; readonly arguments: readonly string[] } {
  const { execPath: file, execArgv, argv } = host;
  const inherited = execArgv.filter((option) => option !== noSignal);
  return { file, arguments: isSea() ? [] : [...inherited, noDebugger, smallYoungGeneration, argv[1] ?? ""] };
}

const runtimesOwn = /^(NODE_|OPENSSL_CONF$)/i;

/** An environment without what changes how a runtime behaves: it was meant for other programs. */
export function withoutRuntimes(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !runtimesOwn.test(name)));
}

/** The folder of the executable, or of the script. */
export function ownFolder(host: NodeJS.Process): string {
  return path.dirname(realpathSync(isSea() ? host.execPath : (host.argv[1] ?? host.execPath)));
}
