import path from "node:path";
import type { Duplex } from "node:stream";
import { ShimError } from "../errors.ts";
import { systemOf } from "../system/select-system.ts";
import type { Listener } from "../system/system.ts";
import type { RuntimeOptions } from "./bootstrap.ts";
import type { ShimFlags } from "./flags.ts";
import { readOptionsPipe } from "./options-pipe.ts";
import { reportReady } from "./readiness.ts";
import type { ShimOptions } from "./shim-options.ts";
import { writeState } from "./state-file.ts";

/** A socket that accepts connections for services that are not loaded yet. */
export interface AcceptingSocket {
  readonly listener: Listener;
  /** This process. */
  readonly identity: { readonly pid: number; readonly processStartTime: string };
  readonly runtimeOptions: RuntimeOptions | undefined;
  /** Gives away each connection, those first that are there already. */
  serveWith(serve: (connection: Duplex) => void): void;
  /** Calls this on SIGUSR1. */
  dumpWith(dump: () => void): void;
}

/** Accepts connections and says so to `start`, which answers containerd then; all else is loaded afterwards. */
export async function acceptConnections(
  flags: ShimFlags,
  options: ShimOptions,
  nodeProcess: NodeJS.Process,
): Promise<AcceptingSocket> {
  if (flags.socket === "")
    throw new ShimError("InvalidArgument", "flag -socket is missing: start passes it to the serving process");
  const bundle = path.resolve(flags.bundle === "" ? nodeProcess.cwd() : flags.bundle);
  const { id, namespace, socket } = flags;
  const system = systemOf(options);
  let dump = (): void => {};
  // Registered before the first await and never removed: without a listener, the signal opens Node's debugger.
  if (process.platform !== "win32") nodeProcess.on("SIGUSR1", () => dump());
  const runtimeOptions = readOptionsPipe(nodeProcess);
  const { pid } = nodeProcess;
  const identity = { pid, processStartTime: (await system.processStartTime(pid)) ?? "" };
  const early: Duplex[] = [];
  let serve = (connection: Duplex): void => {
    connection.on("error", () => {});
    early.push(connection);
  };
  const listener = await system.listen(socket, (connection) => serve(connection));
  try {
    writeState(bundle, { kind: "serving", id, namespace, socket, ...identity });
    reportReady(nodeProcess);
  } catch (error) {
    listener.close();
    throw error;
  }
  return {
    listener,
    identity,
    runtimeOptions,
    serveWith: (given) => {
      serve = given;
      for (const connection of early.splice(0)) given(connection);
    },
    dumpWith: (given) => {
      dump = given;
    },
  };
}
