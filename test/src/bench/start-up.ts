/** What starting a shim costs, until it can be called. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { EventSink } from "../shim-client/events.ts";
import { ShimClient, Task } from "../shim-client/shim.ts";
import { sandboxSpec } from "../shim-client/spec.ts";

/** Milliseconds of `start`, until the serving process has answered a call. It is ended again outside of the time. */
export async function startUp(executable: string, directory: string, signal: AbortSignal): Promise<number> {
  const id = "pod";
  const bundle = join(directory, id);
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(sandboxSpec()));
  const eventSocket = join(directory, "events.sock");
  const sink = await EventSink.listen(eventSocket);
  try {
    const started = performance.now();
    const shim = await ShimClient.start({ executable, namespace: "pods", id, bundle, eventSocket }, signal);
    await shim.call(Task, "Connect", { id }).catch(() => undefined);
    const milliseconds = performance.now() - started;
    await shim.call(Task, "Shutdown", { id });
    await shim.closed;
    await shim.delete();
    return milliseconds;
  } finally {
    await sink.close();
  }
}

/** Milliseconds of `-info`. */
export async function info(executable: string): Promise<number> {
  const started = performance.now();
  const { status, stderr } = await runCommand(executable, ["-info"], { input: new Uint8Array() });
  if (status !== 0) throw new Error(`${executable} -info ended with ${status}: ${stderr}`);
  return performance.now() - started;
}
