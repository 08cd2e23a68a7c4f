import { realpathSync } from "node:fs";
import path from "node:path";
import { isSea } from "node:sea";

/** By default V8 keeps tens of MiB of free young generation, which adds up on a machine with one shim per pod. */
const smallYoungGeneration = "--max-semi-space-size=2";

/** Keeps SIGUSR1 from opening Node's debugger, but also from the shim's own listener, so it is not passed on. */
const noSignal = "--disable-sigusr1";
/**
 * An address that no machine has, for a SIGUSR1 that arrives before the serving process has its own listener and so
 * makes Node's debugger listen.
 */
const noDebugger = "--inspect-port=0.0.0.1:9229";

/** Options of the runtime for a process that serves. */
export const servingOptions: readonly string[] = [noDebugger, smallYoungGeneration];

/** The command that runs this program again: a single executable has its options built in, a script needs them. */
export function ownCommand(nodeProcess: NodeJS.Process): {
  readonly file: string;
  readonly arguments: readonly string[];
} {
  const { execPath: file, execArgv, argv } = nodeProcess;
  const inherited = execArgv.filter((option) => option !== noSignal);
  return { file, arguments: isSea() ? [] : [...inherited, ...servingOptions, argv[1] ?? ""] };
}

const nodeVariables = /^(NODE_|OPENSSL_CONF$)/i;

/** Drops variables that change how Node behaves: they were set for containerd and are meant for other programs. */
export function withoutNodeVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !nodeVariables.test(name)));
}

/** The folder of the single executable, or of the script. */
export function ownFolder(nodeProcess: NodeJS.Process): string {
  return path.dirname(realpathSync(isSea() ? nodeProcess.execPath : (nodeProcess.argv[1] ?? nodeProcess.execPath)));
}
