import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ProcessController } from "./controller.ts";
import { FakeProcessGuest, FakeUpstream, ManualClock, pipes, terminal } from "./testing/index.ts";
import { windowsProcesses } from "./wcow.ts";

const description = { CommandLine: "ping -n 9 localhost", WorkingDirectory: "C:\\" };

/** A process of a fake Windows guest, by default the init process. */
function bench(execId = "") {
  const script = new ScriptedCalls();
  const guest = new FakeProcessGuest<WindowsProcessParameters>(script);
  const clock = new ManualClock();
  const upstream = new FakeUpstream(script);
  const unreported: string[] = [];
  const onUnreportedExit = (why: string): void => void unreported.push(why);
  const options = { containerId: "c1", execId, guest, flavour: windowsProcesses, upstream, clock, onUnreportedExit };
  const controller = new ProcessController(options);
  const started = async (stdio = pipes) => {
    await controller.create({ stdio, process: description });
    await controller.start();
    const [process] = guest.processes;
    if (process === undefined) throw new Error("the guest has no process");
    return process;
  };
  return { controller, guest, clock, unreported, started };
}

describe("a Windows process", () => {
  it("is described to its guest with its console, also when it is the init process", async () => {
    const { guest, started } = bench();
    await started();
    const CreateStdInPipe = true;
    const streams = { EmulateConsole: false, CreateStdInPipe, CreateStdOutPipe: true, CreateStdErrPipe: true };
    expect(guest.parameters).toEqual([{ ...description, ...streams }]);
  });

  it("starts with the console's size in rows and columns, and is not resized to it again", async () => {
    const { controller, guest, started } = bench();
    await controller.resize(120, 30);
    const process = await started(terminal);
    expect(guest.parameters).toMatchObject([{ EmulateConsole: true, CreateStdErrPipe: false, ConsoleSize: [30, 120] }]);
    await controller.resize(80, 25);
    expect(process.sizes).toEqual([[25, 80]]);
  });

  it.each([0, 42, 0xc000013a, 0xffffffff])("publishes the exit code %i unchanged", async (code) => {
    const { controller, started } = bench();
    (await started()).exit(code);
    expect(await controller.wait()).toMatchObject({ status: code });
  });

  it("waits a second for output that comes after its exit, which its guest does not wait for", async () => {
    const { controller, clock, started } = bench();
    const process = await started();
    process.exit(0, { keepsOutputOpen: true });
    await clock.elapseIn({ of: 50, upTo: 950 });
    expect(controller.state).toBe("running");
    await clock.elapse(50);
    expect(await controller.wait()).toMatchObject({ status: 0 });
  });

  it.each([-1, 2 ** 32, 0.5])("publishes 255 for %d, which is no exit code", async (code) => {
    const { controller, started } = bench();
    (await started()).exit(code);
    expect(await controller.wait()).toMatchObject({ status: 255 });
  });

  it.each([0, 1, 2, 5, 6, 9, 15, "CtrlC", "CTRLBREAK", "kill", "TERM", ""])("takes the signal %j", async (signal) => {
    const { controller, started } = bench();
    const process = await started();
    await controller.kill(signal);
    expect(process.signals).toEqual([signal]);
  });

  it.each([3, 64, "SIGHUP", "CtrlQ"])("refuses the signal %j, also before the start", async (signal) => {
    const { controller } = bench();
    const refusal = {
      code: "InvalidArgument",
      message: expect.stringContaining(
        `invalid signal ${JSON.stringify(signal)} for a Windows process: expected 0 (CtrlC`,
      ),
    };
    await controller.create({ stdio: pipes, process: description });
    await expect(controller.kill(signal)).rejects.toMatchObject(refusal);
    expect(controller.state).toBe("created");
    const other = bench();
    const process = await other.started();
    await expect(other.controller.kill(signal)).rejects.toMatchObject(refusal);
    expect(process.signals).toEqual([]);
  });

  it.each([0, 9, 15, "CtrlShutdown"])("ends with 1 when it gets the signal %j before its start", async (signal) => {
    const { controller } = bench();
    await controller.create({ stdio: pipes, process: description });
    await controller.kill(signal);
    expect(await controller.wait()).toMatchObject({ status: 1 });
  });

  it.each(["KILL", 9])("counts as aborted when an exec that got %j has not ended 10 s later", async (signal) => {
    const { controller, clock, started, unreported } = bench("e1");
    await started();
    await controller.kill(signal);
    await clock.elapse(10_000);
    await clock.elapseIn({ of: 50, upTo: 1_000 });
    await clock.elapse(1_500);
    expect(await controller.wait()).toMatchObject({ status: 1067 });
    expect(unreported).toEqual(["kill without effect"]);
  });

  it.each([15, 6, "CtrlC"])("may take its time after the signal %j, which it can handle", async (signal) => {
    const { controller, clock, started } = bench("e1");
    const process = await started();
    await controller.kill(signal);
    await clock.elapse(1_000);
    expect(clock.pending).not.toContain(10_000);
    process.exit(7);
    expect(await controller.wait()).toMatchObject({ status: 7 });
  });

  it("that is an init process is noticed to be gone though others of its container hold its output", async () => {
    const { controller, clock, started } = bench();
    const process = await started();
    process.vanish();
    await clock.elapse(1_000);
    await clock.elapseIn({ of: 50, upTo: 1_000 });
    await clock.elapse(1_500);
    expect(await controller.wait()).toMatchObject({ status: 255 });
  });
});
