/**
 * The action `start` in the very process that then serves the pod: one process fewer begins for each pod. A launcher that
 * waits for the answer and then ends makes that possible, since containerd waits for the end of the program that it starts.
 */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { fileThreads } from "../system/file-calls.ts";
import { type AcceptingSocket, acceptConnections } from "./accept.ts";
import type { ShimFlags } from "./flags.ts";
import type { Launcher } from "./launcher.ts";
import type { ShimOptions } from "./shim-options.ts";
import { start } from "./start.ts";

/** Resolves once the pod has ended, or at once where others serve it. */
export async function startHere(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
  launcher: Launcher,
): Promise<void> {
  let own: { readonly flags: ShimFlags; readonly accepting: AcceptingSocket } | undefined;
  const { env } = nodeProcess;
  env.UV_THREADPOOL_SIZE = `${fileThreads}`;
  const output = await start(
    flags,
    options,
    nodeProcess,
    async ({ bundle, socket, runtimeOptions, debug, addresses }) => {
      Object.assign(env, addresses);
      closeStandardInput();
      nodeProcess.chdir(bundle);
      const ownFlags = { ...flags, bundle, socket, debug };
      own = {
        flags: ownFlags,
        accepting: { ...(await acceptConnections(ownFlags, options, nodeProcess)), runtimeOptions },
      };
      return nodeProcess.pid;
    },
  );
  launcher.answer({ output, code: 0 });
  if (own === undefined) return;
  const { serve } = await import("./serve.ts");
  await serve(own.flags, options, nodeProcess, own.accepting);
}

/** Node keeps its number, and the caller's file, after it has read it to the end. */
function closeStandardInput(): void {
  closeSync(0);
  openSync(devNull, "r");
}
