import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { type Interruptible, interruptionOf } from "./interruption.ts";

function madeProcess() {
  const [signals, stdout, stderr] = [new EventEmitter(), new EventEmitter(), new EventEmitter()];
  const process: Interruptible = { once: (signal, listener) => signals.once(signal, listener), stdout, stderr };
  return { interruption: interruptionOf(process), signals, stdout, stderr };
}

describe("a command", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"])("is told to end by %s, and its exit code stays its own", (name) => {
    const { interruption, signals } = madeProcess();
    expect(interruption.signal.aborted).toBe(false);
    signals.emit(name);
    expect(interruption.signal.aborted).toBe(true);
    expect(interruption.exitCodeFor(130)).toBe(130);
  });

  it("ends in order when its reader leaves, which is no failure", () => {
    const { interruption, stdout } = madeProcess();
    for (let times = 0; times < 2; times++) stdout.emit("error", Object.assign(new Error("write"), { code: "EPIPE" }));
    expect(interruption.signal.aborted).toBe(true);
    expect(interruption.exitCodeFor(130)).toBe(0);
  });

  it("fails when its output cannot be written", () => {
    const { interruption, stdout, stderr } = madeProcess();
    stderr.emit("error", Object.assign(new Error("write"), { code: "EPIPE" }));
    expect(interruption.signal.aborted).toBe(false);
    stdout.emit("error", Object.assign(new Error("write"), { code: "ENOSPC" }));
    expect(interruption.exitCodeFor(0)).toBe(1);
  });
});
