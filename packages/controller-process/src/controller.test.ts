import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { noPipes, ProcessBench, pipes, terminal } from "./testing/index.ts";

const notFound = expect.objectContaining({ code: "NotFound" });

describe("create and start", () => {
  it("asks the guest for the pipes that the client has, and returns the pid", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: { ...pipes, stdin: "" } });
    expect([bench.controller.state, bench.controller.pid]).toEqual(["created", 0]);
    expect(await bench.controller.start()).toBe(42);
    expect([bench.controller.state, bench.controller.pid]).toEqual(["running", 42]);
    expect(bench.guest.parameters).toEqual([
      { EmulateConsole: false, CreateStdInPipe: false, CreateStdOutPipe: true, CreateStdErrPipe: true },
    ]);
  });

  it("sends an exec's process, not that of the init process", async () => {
    const bench = new ProcessBench(undefined, "e1");
    const process = { cwd: "/", args: ["ls"] };
    await bench.controller.create({ stdio: noPipes, process });
    await bench.controller.start();
    expect(bench.guest.parameters[0]?.OCIProcess).toEqual(process);
  });

  it("refuses a second start", async () => {
    const bench = await new ProcessBench().started();
    await expect(bench.controller.start()).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: "start process c1: not possible in state Running, only in Created",
    });
  });

  it("ends the process when the start fails, with the guest's message and the stdio closed", async () => {
    const bench = new ProcessBench(new ScriptedCalls(new Map([[1, "fail"]])));
    await bench.controller.create({ stdio: pipes });
    await expect(bench.controller.start()).rejects.toMatchObject({
      code: "Unavailable",
      message: "start process c1: execute init failed as scripted",
    });
    expect(bench.controller.state).toBe("stopped");
    expect(bench.client.isClosed).toBe(true);
    expect(await bench.controller.wait()).toEqual({ status: 255, exitedAt: bench.clock.now() });
  });

  it("may be created again after the client's stdio could not be opened", async () => {
    const bench = new ProcessBench(new ScriptedCalls(new Map([[0, "fail"]])));
    await expect(bench.controller.create({ stdio: pipes })).rejects.toMatchObject({ code: "Unavailable" });
    await bench.controller.create({ stdio: pipes });
    expect(bench.upstream.opened).toHaveLength(1);
  });

  it.each(["hang", "hangDone"] as const)("abandons a start that hangs (%s) when the caller aborts", async (fault) => {
    const abort = new AbortController();
    const bench = new ProcessBench(new ScriptedCalls(new Map([[1, fault]]), () => abort.abort()));
    await bench.controller.create({ stdio: pipes });
    await expect(bench.controller.start(abort.signal)).rejects.toMatchObject({ code: "Cancelled" });
    expect(bench.controller.exit?.status).toBe(255);
  });
});

describe("exit", () => {
  it("reports the exit code first, drains the output, closes the client's streams, and then publishes the exit", async () => {
    const bench = new ProcessBench();
    const order: string[] = [];
    bench.upstream.holdsOutput = true;
    bench.upstream.onClose = () => order.push(`closed after ${bench.client.stdout?.bytes.length} bytes`);
    await bench.started();
    const waited = bench.controller.wait().then((exit) => order.push(`exit ${exit.status}`));
    bench.guestProcess.stdout?.write("last words");
    bench.guestProcess.exit(7);
    await bench.clock.elapseIn({ of: 50, upTo: 250 });
    order.push(`still ${bench.controller.state}`);
    bench.client.stdout?.release();
    await waited;
    expect(order).toEqual(["still running", "closed after 10 bytes", "exit 7"]);
    expect(bench.guestProcess.isClosed).toBe(true);
    expect(bench.clock.pending).toEqual([]);
  });

  it("dates the exit when the guest reports it, not when the output is drained", async () => {
    const bench = await new ProcessBench().started();
    const exitedAt = bench.clock.now();
    bench.guestProcess.exit(0, { keepsOutputOpen: true });
    await bench.clock.elapseIn({ of: 50, upTo: 250 });
    expect(await bench.controller.wait()).toEqual({ status: 0, exitedAt });
  });

  it("delivers 8 MiB to a slow client without losing a byte", async () => {
    const bench = await new ProcessBench().started();
    const block = Buffer.alloc(64 * 1024, "0123456789abcdef");
    for (let count = 0; count < 128; count++) bench.guestProcess.stdout?.write(block);
    bench.guestProcess.exit(0);
    await bench.controller.wait();
    const received = bench.client.stdout?.bytes ?? Buffer.alloc(0);
    expect(received.length).toBe(8 * 1024 * 1024);
    expect(received.equals(Buffer.concat(Array(128).fill(block)))).toBe(true);
  });

  it("does not wait forever for output that a background child holds open", async () => {
    const bench = await new ProcessBench().started();
    bench.guestProcess.exit(3, { keepsOutputOpen: true });
    await bench.clock.elapseIn({ of: 50, upTo: 250 });
    expect((await bench.controller.wait()).status).toBe(3);
  });

  it("gives up later on a client that reads nothing", async () => {
    const bench = new ProcessBench();
    bench.upstream.holdsOutput = true;
    await bench.started();
    bench.guestProcess.stdout?.write("unwanted");
    bench.guestProcess.exit(0);
    await bench.clock.elapseIn({ of: 50, upTo: 9_950 });
    expect(bench.controller.exit).toBeUndefined();
    await bench.clock.elapse(50);
    expect((await bench.controller.wait()).status).toBe(0);
  });

  it("completes even if the client's stream does not close", async () => {
    const bench = await new ProcessBench().started();
    bench.client.neverCloses = true;
    bench.guestProcess.exit(6);
    await bench.clock.elapse(10_000);
    expect((await bench.controller.wait()).status).toBe(6);
    expect([bench.guestProcess.isClosed, bench.clock.pending]).toEqual([true, []]);
  });

  it.each(["start", "abandon"] as const)("does not hold up a failing %s", async (operation) => {
    const bench = new ProcessBench(new ScriptedCalls(new Map([[1, "fail"]])));
    await bench.controller.create({ stdio: pipes });
    bench.client.neverCloses = true;
    const over = operation === "start" ? bench.controller.start() : bench.controller.abandon(7);
    const settled = over.then(
      () => "done",
      () => "failed",
    );
    await bench.clock.elapse(10_000);
    expect(await settled).toBe(operation === "start" ? "failed" : "done");
    expect(bench.controller.state).toBe("stopped");
  });

  it("waits for a client that reads nothing, and gives it up after its bound", async () => {
    let givenUp = 0;
    const clientPatience = { milliseconds: 10_000, onGivenUp: () => void givenUp++ };
    const bench = new ProcessBench(undefined, "", { clientPatience });
    bench.upstream.holdsOutput = true;
    await bench.started();
    const { stdout } = bench.guestProcess;
    stdout?.write("first");
    await bench.clock.elapse(10_000);
    bench.client.stdout?.release();
    await bench.clock.elapse(10_000);
    expect([givenUp, bench.client.stdout?.bytes.toString()]).toEqual([0, "first"]);
    bench.client.stdout?.hold();
    for (let count = 0; count < 64; count++) stdout?.write(Buffer.alloc(64 * 1024));
    await bench.clock.elapse(10_000);
    expect([givenUp, stdout?.writableLength === 0]).toEqual([0, false]);
    const taken = new Promise((resolve) => stdout?.once("drain", resolve));
    await bench.clock.elapse(10_000);
    await taken;
    expect(givenUp).toBe(1);
    bench.guestProcess.exit(4);
    expect((await bench.controller.wait()).status).toBe(4);
  });

  it("keeps reading the guest when the client has gone away", async () => {
    const bench = await new ProcessBench().started();
    bench.client.stdout?.destroy();
    for (let count = 0; count < 64; count++) bench.guestProcess.stdout?.write(Buffer.alloc(64 * 1024));
    bench.guestProcess.exit(0);
    expect((await bench.controller.wait()).status).toBe(0);
  });

  it.each([
    [0, 0],
    [137, 137],
    [-1, 255],
    [256, 255],
    [Number.NaN, 255],
  ])("takes the guest's exit code %d as status %d", async (code, status) => {
    const bench = await new ProcessBench().started(noPipes);
    bench.guestProcess.exit(code);
    expect((await bench.controller.wait()).status).toBe(status);
  });

  it("is 255 when the guest and the bridge are lost", async () => {
    const bench = await new ProcessBench().started();
    bench.guestProcess.lose();
    expect((await bench.controller.wait()).status).toBe(255);
  });

  it("is 255 when the VM is gone and the guest never answers", async () => {
    const bench = await new ProcessBench().started(noPipes);
    bench.controller.vmExited({ reason: "crash" });
    await bench.clock.elapse(5_000);
    expect((await bench.controller.wait()).status).toBe(255);
  });

  it("completes a process that was only created, when the VM is gone", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: pipes });
    bench.controller.vmExited({ reason: "crash" });
    expect((await bench.controller.wait()).status).toBe(255);
    expect(bench.client.isClosed).toBe(true);
  });

  it("completes a process whose start hangs, when the VM is gone", async () => {
    const bench: ProcessBench = new ProcessBench(
      new ScriptedCalls(new Map([[1, "hang"]]), () => bench.controller.vmExited({ reason: "crash" })),
    );
    await bench.controller.create({ stdio: pipes });
    await expect(bench.controller.start()).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("the VM has exited: crash"),
    });
    expect((await bench.controller.wait()).status).toBe(255);
  });

  it("stops waiting when the waiter aborts, and can be waited for again", async () => {
    const bench = await new ProcessBench().started(noPipes);
    const abort = new AbortController();
    const waiting = bench.controller.wait(abort.signal);
    abort.abort(new Error("no longer"));
    await expect(waiting).rejects.toThrow("no longer");
    bench.guestProcess.exit(1);
    expect((await bench.controller.wait()).status).toBe(1);
  });
});

describe.each(["", "exec"])("an exit of %j that was reported while its output is open", (execId) => {
  /**
   * Lets the drain poll at most `most` times, with some work before each poll. Returns the number of polls and the status.
   */
  const look = async (bench: ProcessBench, most: number, between: () => void) => {
    let isOver = false;
    const over = bench.controller.wait().then(() => {
      isOver = true;
    });
    let looks = 0;
    for (; looks < most && !isOver; looks++) {
      between();
      await Promise.race([bench.clock.elapse(50), over]);
      await new Promise(setImmediate);
    }
    return { looks, status: bench.controller.exit?.status };
  };

  it("does not wait for an endless trickle, and loses nothing written before", async () => {
    const bench = await new ProcessBench(undefined, execId).started();
    bench.guestProcess.stdout?.write("last words\n");
    bench.guestProcess.exit(0, { keepsOutputOpen: true });
    const { looks, status } = await look(bench, 120, () => bench.guestProcess.stdout?.write("\n"));
    expect([status, looks > 95]).toEqual([0, true]);
    expect(bench.client.stdout?.bytes.toString()).toMatch(/^last words\n\n+$/);
    expect([bench.guestProcess.isClosed, bench.clock.pending]).toEqual([true, []]);
  });

  it("does not wait for a trickle while the other output drains slowly, within the total bound", async () => {
    const bench = await new ProcessBench(undefined, execId).started();
    bench.client.stderr?.hold();
    bench.guestProcess.stderr?.write("not taken");
    bench.guestProcess.exit(4, { keepsOutputOpen: true });
    const { looks, status } = await look(bench, 700, () => bench.guestProcess.stdout?.write("."));
    expect([status, looks >= 600]).toEqual([4, true]);
  });

  it("does not wait for a flood, of which the client still gets what was read", async () => {
    const bench = await new ProcessBench(undefined, execId).started();
    const block = Buffer.alloc(64 * 1024, ".");
    bench.guestProcess.stdout?.write("last words\n");
    bench.guestProcess.exit(5, { keepsOutputOpen: true });
    const { looks, status } = await look(bench, 300, () => {
      for (let count = 0; count < 4; count++) bench.guestProcess.stdout?.write(block);
    });
    expect([status, looks > 60]).toEqual([5, true]);
    const bytes = bench.client.stdout?.bytes ?? Buffer.alloc(0);
    expect(bytes.length).toBeGreaterThan(16 * 1024 * 1024);
    expect(bytes.subarray(0, 11).toString()).toBe("last words\n");
  });

  it("waits no longer than the total bound for a client that reads a little from time to time", async () => {
    const bench = await new ProcessBench(undefined, execId).started();
    bench.client.stdout?.hold();
    for (let count = 0; count < 40; count++) bench.guestProcess.stdout?.write(Buffer.alloc(64 * 1024));
    bench.guestProcess.exit(6);
    let looked = 0;
    const { looks, status } = await look(bench, 620, () => {
      if (looked++ % 100 !== 99) return;
      bench.client.stdout?.release();
      bench.client.stdout?.hold();
    });
    expect([status, looks >= 600]).toEqual([6, true]);
  });
});

describe("a process that survives SIGKILL, although the guest confirms the kill", () => {
  it("counts as ended after a while if it is an exec", async () => {
    const unreported: string[] = [];
    const bench = new ProcessBench(undefined, "exec", { onUnreportedExit: (why) => void unreported.push(why) });
    await bench.started(noPipes);
    await bench.controller.kill(9);
    await bench.controller.kill(9);
    expect(bench.clock.pending).toEqual([10_000]);
    expect(bench.controller.hasEnded).toBe(false);
    await bench.clock.elapse(10_000);
    await bench.clock.reached(5_000);
    expect([bench.controller.hasEnded, bench.controller.state]).toEqual([true, "running"]);
    await bench.clock.elapse(5_000);
    expect((await bench.controller.wait()).status).toBe(137);
    expect([unreported, bench.guestProcess.isClosed, bench.clock.pending]).toEqual([["kill without effect"], true, []]);
  });

  it("has its last output delivered first, and no more", async () => {
    const bench = await new ProcessBench(undefined, "exec").started();
    bench.guestProcess.stdout?.write("last words");
    await bench.controller.kill(9);
    await bench.clock.elapse(10_000);
    await bench.clock.elapseIn({ of: 50, upTo: 1_000 });
    await bench.clock.elapse(1_500);
    expect((await bench.controller.wait()).status).toBe(137);
    expect(bench.client.stdout?.bytes.toString()).toBe("last words");
  });

  it("gets the guest's exit code if that comes in time, and no bound after it", async () => {
    const bench = await new ProcessBench(undefined, "exec").started(noPipes);
    await bench.controller.kill(9);
    bench.guestProcess.exit(137);
    expect((await bench.controller.wait()).status).toBe(137);
    expect(bench.clock.pending).toEqual([]);
  });

  it("is waited for if it is an init, which ends with its VM", async () => {
    const bench = await new ProcessBench().started(noPipes);
    await bench.controller.kill(9);
    expect([bench.clock.pending, bench.controller.hasEnded]).toEqual([[], false]);
    bench.controller.vmExited({ reason: "ended" });
    await bench.clock.elapse(5_000);
    expect((await bench.controller.wait()).status).toBe(137);
    expect(bench.controller.hasEnded).toBe(true);
  });
});

describe("an exit that the guest withholds", () => {
  const exits = { unreported: 0 };
  const held = async (execId = "exec"): Promise<ProcessBench> => {
    exits.unreported = 0;
    const bench = new ProcessBench(undefined, execId, { onUnreportedExit: () => void exits.unreported++ });
    await bench.started();
    return bench;
  };

  /** Lets the drain poll, and the last wait for the guest pass, until the process exits; returns the number of polls. */
  const lookUntilExit = async (bench: ProcessBench, between: () => void = () => {}) => {
    let looks = 0;
    let exit: Awaited<ReturnType<ProcessBench["controller"]["wait"]>> | undefined;
    const over = bench.controller.wait().then((ended) => {
      exit = ended;
    });
    for (; exit === undefined; looks++) {
      between();
      await new Promise(setImmediate);
      const next = bench.clock.pending.find((milliseconds) => milliseconds === 1_500) ?? 50;
      await Promise.race([bench.clock.elapse(next), over]);
    }
    return { ...exit, looks };
  };

  it("is released by closing each output when the guest has ended it", async () => {
    const bench = await held();
    bench.client.stdout?.hold();
    const { stdout, stderr } = bench.guestProcess;
    stdout?.end("last words");
    stderr?.end();
    // As guest-lcow's streams do.
    bench.guestProcess.exitOnceRead(7);
    bench.client.stdout?.release();
    expect((await bench.controller.wait()).status).toBe(7);
    expect(bench.client.stdout?.bytes.toString()).toBe("last words");
    expect(exits.unreported).toBe(0);
  });

  it("because a child holds the output is 255, once the process has gone and no more output has come", async () => {
    const bench = await held();
    bench.guestProcess.stdout?.write("before");
    await bench.clock.elapse(1_000);
    await bench.clock.reached(2_000);
    bench.guestProcess.end();
    await bench.clock.elapse(2_000);
    const goneAt = bench.clock.now();
    await bench.clock.elapseIn({ of: 50, upTo: 1_000 });
    await bench.clock.elapse(1_500);
    expect(await bench.controller.wait()).toEqual({ status: 255, exitedAt: goneAt });
    expect(bench.client.stdout?.bytes.toString()).toBe("before");
    expect([bench.guestProcess.isClosed, exits.unreported]).toEqual([true, 1]);
    expect(bench.clock.pending).toEqual([]);
  });

  it("is the guest's exit code if that comes once its outputs have been closed", async () => {
    const bench = await held();
    bench.guestProcess.end();
    await bench.clock.elapse(1_000);
    await bench.clock.elapseIn({ of: 50, upTo: 1_000 });
    await bench.clock.reached(1_500);
    expect(bench.guestProcess.isClosed).toBe(true);
    bench.guestProcess.exit(3);
    expect((await bench.controller.wait()).status).toBe(3);
    expect(exits.unreported).toBe(0);
  });

  it("is 137 for a process that was killed before, and is queried soon after the kill", async () => {
    const bench = await held();
    for (const milliseconds of [1_000, 2_000, 4_000]) await bench.clock.elapse(milliseconds);
    await bench.controller.kill(9);
    bench.guestProcess.end();
    await bench.clock.elapse(1_000);
    await bench.clock.elapseIn({ of: 50, upTo: 1_000 });
    await bench.clock.elapse(1_500);
    expect((await bench.controller.wait()).status).toBe(137);
  });

  it("does not wait for a child that writes endlessly", async () => {
    const bench = await held();
    bench.guestProcess.end();
    await bench.clock.elapse(1_000);
    const { status } = await lookUntilExit(bench, () => bench.guestProcess.stdout?.write("."));
    expect(status).toBe(255);
  });

  it("does not wait for a child that floods a client which hardly keeps up", async () => {
    const bench = await held();
    bench.guestProcess.end();
    bench.client.stdout?.hold();
    bench.guestProcess.stdout?.write("first");
    await bench.clock.elapse(1_000);
    const { status, looks } = await lookUntilExit(bench, () => {
      bench.client.stdout?.release();
      bench.client.stdout?.hold();
      for (let count = 0; count < 2; count++) bench.guestProcess.stdout?.write(Buffer.alloc(64 * 1024));
    });
    expect(status).toBe(255);
    expect(looks).toBeLessThan(200);
  });

  it.each(["", "exec"])(
    "because the client of %j reads nothing is released when the client is given up",
    async (execId) => {
      const bench = await held(execId);
      bench.client.stdout?.hold();
      // More than is offered to the client at a time, so that it is not read completely.
      for (let count = 0; count < 4; count++) bench.guestProcess.stdout?.write(Buffer.alloc(512 * 1024));
      bench.guestProcess.stderr?.end();
      bench.guestProcess.stdout?.end();
      bench.guestProcess.end();
      bench.guestProcess.exitOnceRead(4);
      await bench.clock.elapse(1_000);
      // Progress since the start means no standstill.
      if (execId === "") await bench.clock.elapse(2_000);
      const { status, looks } = await lookUntilExit(bench);
      expect(status).toBe(4);
      expect(looks).toBeGreaterThanOrEqual(200);
    },
  );

  it("of an init is not queried while the client reads its output: the guest ends what it leaves behind", async () => {
    const bench = await held("");
    bench.guestProcess.end();
    for (const milliseconds of [1_000, 2_000, 4_000]) await bench.clock.elapse(milliseconds);
    expect(bench.script.names).not.toContain("exists");
    bench.guestProcess.exit(1);
    expect((await bench.controller.wait()).status).toBe(1);
  });

  it("is queried at growing intervals, and again after a failed query", async () => {
    const bench = await held();
    bench.guestProcess.refuses = true;
    for (const milliseconds of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      await bench.clock.elapse(milliseconds);
    }
    await bench.clock.reached(30_000);
    bench.guestProcess.refuses = false;
    bench.guestProcess.end();
    await bench.clock.elapse(30_000);
    bench.guestProcess.exit(6);
    expect((await bench.controller.wait()).status).toBe(6);
  });
});

describe("kill", () => {
  it("reaches the guest", async () => {
    const bench = await new ProcessBench().started();
    await bench.controller.kill(15);
    expect(bench.guestProcess.signals).toEqual([15]);
  });

  it.each([0, 65, 1.5, -9])("refuses signal %d", async (signal) => {
    const bench = await new ProcessBench().started();
    await expect(bench.controller.kill(signal)).rejects.toMatchObject({ code: "InvalidArgument" });
  });

  it("does not queue behind a signal that hangs", async () => {
    const abort = new AbortController();
    const script = new ScriptedCalls(new Map([[2, "hang"]]));
    const bench = await new ProcessBench(script).started();
    const stuck = bench.controller.kill(15, abort.signal);
    await bench.controller.kill(9);
    expect(bench.guestProcess.signals).toEqual([9]);
    abort.abort();
    await expect(stuck).rejects.toMatchObject({ code: "Cancelled" });
  });

  it.each([18, 19, 20, 21, 22])("leaves a process that was only created unchanged: signal %i", async (signal) => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: pipes });
    await bench.controller.kill(signal);
    expect(bench.controller.state).toBe("created");
  });

  it("ends a process that was only created, with 128 and the signal", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: pipes });
    await bench.controller.kill(28);
    expect(bench.controller.state).toBe("created");
    await bench.controller.kill(15);
    expect((await bench.controller.wait()).status).toBe(143);
    expect(bench.client.isClosed).toBe(true);
    await expect(bench.controller.start()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("interrupts a start that hangs, when it is SIGKILL", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = new ProcessBench(new ScriptedCalls(new Map([[1, "hang"]]), hanging.resolve));
    await bench.controller.create({ stdio: pipes });
    const starting = bench.controller.start();
    await hanging.promise;
    await Promise.all([
      expect(starting).rejects.toMatchObject({ code: "Cancelled", message: expect.stringContaining("killed") }),
      bench.controller.kill(9),
    ]);
    expect(bench.controller.exit?.status).toBe(137);
  });

  it("with another signal waits for the start and then arrives", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: pipes });
    const starting = bench.controller.start();
    await Promise.resolve();
    await Promise.all([starting, bench.controller.kill(15)]);
    expect(bench.guestProcess.signals).toEqual([15]);
  });

  it("fails with NotFound once the process has exited", async () => {
    const bench = await new ProcessBench().started(noPipes);
    bench.guestProcess.exit(0);
    await bench.controller.wait();
    await expect(bench.controller.kill(9)).rejects.toEqual(notFound);
  });

  it("completes the wait for a process that the guest no longer knows", async () => {
    const bench = await new ProcessBench().started(noPipes);
    bench.guestProcess.vanish();
    await expect(bench.controller.kill(9)).rejects.toEqual(notFound);
    await bench.clock.elapse(5_000);
    expect((await bench.controller.wait()).status).toBe(255);
  });

  it("prefers the guest's exit code for a vanished process while there is time", async () => {
    const bench = await new ProcessBench().started(noPipes);
    bench.guestProcess.vanish();
    await expect(bench.controller.kill(9)).rejects.toEqual(notFound);
    bench.guestProcess.exit(12);
    expect((await bench.controller.wait()).status).toBe(12);
  });
});

describe("resize", () => {
  it("before the start is applied at the start", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: terminal });
    await bench.controller.resize(80, 24);
    await bench.controller.start();
    // The guest accepts no size for an init when it creates it, so it is resized.
    expect(bench.guest.parameters[0]).not.toHaveProperty("ConsoleSize");
    await new Promise(setImmediate);
    expect(bench.guestProcess.sizes).toEqual([[24, 80]]);
  });

  it("before the start of an exec is sent with its process, which is not resized", async () => {
    const bench = new ProcessBench(undefined, "exec");
    const process = { args: ["sh"], cwd: "/", terminal: true, consoleSize: { width: 1, height: 2 } };
    await bench.controller.create({ stdio: terminal, process });
    await bench.controller.resize(80, 24);
    await bench.controller.start();
    const OCIProcess = { ...process, consoleSize: { width: 80, height: 24 } };
    expect(bench.guest.parameters[0]).toMatchObject({ EmulateConsole: true, OCIProcess });
    await new Promise(setImmediate);
    expect(bench.guestProcess.sizes).toEqual([]);
  });

  it("reaches a running terminal, even one whose start was in progress", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: terminal });
    const starting = bench.controller.start();
    await Promise.resolve();
    await bench.controller.resize(80, 24);
    await starting;
    await bench.controller.resize(132, 50);
    expect(bench.guestProcess.sizes.at(-1)).toEqual([50, 132]);
  });

  it("after the exit succeeds silently", async () => {
    const bench = await new ProcessBench().started(terminal);
    bench.guestProcess.vanish();
    await bench.controller.resize(80, 24);
    bench.guestProcess.exit(0);
    await bench.controller.wait();
    await bench.controller.resize(80, 24);
    expect(bench.guestProcess.sizes).toEqual([]);
  });

  it("is refused without a terminal and for an invalid size", async () => {
    const bench = await new ProcessBench().started();
    await expect(bench.controller.resize(80, 24)).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(bench.controller.resize(65536, 24)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: "resize process c1: invalid terminal width 65536: expected 0 to 65535",
    });
  });
});

describe("stdin", () => {
  const received = async (bench: ProcessBench): Promise<string> => {
    let text = "";
    for await (const chunk of bench.guestProcess.stdin ?? []) text += chunk;
    return text;
  };

  it("is copied to the guest and ends with the client's stream", async () => {
    const bench = await new ProcessBench().started();
    bench.client.stdin?.end("hello");
    expect(await received(bench)).toBe("hello");
  });

  it("ends when the client goes away", async () => {
    const bench = await new ProcessBench().started();
    bench.client.stdin?.destroy(new Error("broken"));
    expect(await received(bench)).toBe("");
  });

  it("delivers everything written before the client asked to close, although the pipe stays open", async () => {
    const bench = await new ProcessBench().started();
    bench.client.stdin?.write("all ");
    bench.client.stdin?.write("of it");
    await bench.controller.closeStdin();
    let text: string | undefined;
    const ended = received(bench).then((all) => {
      text = all;
    });
    while (text === undefined) await Promise.race([bench.clock.elapse(250), ended]);
    expect(text).toBe("all of it");
  });

  it("may end once the client has asked to close it, and not before", async () => {
    const bench = await new ProcessBench().started();
    expect(bench.client.isStdinClosed).toBe(false);
    await bench.controller.closeStdin();
    await expect.poll(() => bench.client.isStdinClosed).toBe(true);
  });

  it("closes after the start if asked to close before", async () => {
    const bench = new ProcessBench();
    await bench.controller.create({ stdio: pipes });
    await bench.controller.closeStdin();
    await bench.controller.start();
    const text = received(bench);
    await bench.clock.elapse(250);
    expect(await text).toBe("");
  });

  it("is closed for the client when the process closes its own", async () => {
    const bench = await new ProcessBench().started();
    bench.guestProcess.stdin?.destroy();
    const closed = new Promise((resolve) => bench.client.stdin?.on("close", resolve));
    bench.client.stdin?.write("too late");
    await closed;
    expect(bench.client.stdin?.destroyed).toBe(true);
  });
});

it("has the expected pid until the guest reports its own", async () => {
  const bench = new ProcessBench();
  bench.controller.expectPid(7);
  expect(bench.controller.pid).toBe(0);
  await bench.controller.create({ stdio: noPipes });
  bench.controller.expectPid(7);
  expect(bench.controller.pid).toBe(7);
  const pid = await bench.controller.start();
  bench.controller.expectPid(7);
  expect([pid, bench.controller.pid]).toEqual([bench.guestProcess.pid, bench.guestProcess.pid]);
});

it("abandons only a process that has not been started", async () => {
  const bench = await new ProcessBench().started(noPipes);
  await bench.controller.abandon(137);
  expect(bench.controller.state).toBe("running");
  bench.guestProcess.exit(0);
  expect((await bench.controller.wait()).status).toBe(0);
});
