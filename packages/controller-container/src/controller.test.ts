import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, layersMount, noStdio, overlayMount, specification } from "./testing/index.ts";

const exec = (execId: string) => ({ execId, spec: { args: ["ls", execId], cwd: "/" }, stdio: noStdio });

describe("start and exit", () => {
  it("starts the container with its init process", async () => {
    const bench = await new ContainerBench().created();
    expect(bench.controller.state).toBe("Created");
    expect(await bench.controller.init.start()).toBe(100);
    expect([bench.controller.state, bench.controller.init.state]).toEqual(["Running", "running"]);
  });

  it("is Invalid after a failed start, with the guest's message, and can be deleted", async () => {
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[6, "fail"]]))).created();
    await expect(bench.controller.init.start()).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("execute init failed as scripted"),
    });
    expect(bench.controller.state).toBe("Invalid");
    expect(await bench.controller.delete()).toEqual({ status: 255, exitedAt: new Date(0) });
    expect(bench.leftovers).toEqual([]);
  });

  it("can be deleted when its creation was cancelled before its turn, and is not created afterwards", async () => {
    const { controller, leftovers } = new ContainerBench();
    const request = { spec: specification(), rootfs: [overlayMount], stdio: noStdio };
    await expect(controller.create(request, AbortSignal.abort(new Error("no longer")))).rejects.toThrow("no longer");
    expect(await controller.delete()).toEqual({ status: 255, exitedAt: new Date(0) });
    await expect(controller.create(request)).rejects.toMatchObject({ code: "FailedPrecondition" });
    expect([controller.state, leftovers]).toEqual(["Stopped", []]);
  });

  it("is Stopped once init has exited, which ends its execs", async () => {
    const bench = await new ContainerBench().running();
    const [running, idle] = [
      await bench.controller.createProcess(exec("a")),
      await bench.controller.createProcess(exec("b")),
    ];
    await running.start();
    bench.initProcess.exit(3);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 3 });
    expect(bench.controller.state).toBe("Stopped");
    expect([await running.wait(), await idle.wait()]).toMatchObject([{ status: 137 }, { status: 137 }]);
  });

  it("is Stopped when its init is killed before the start", async () => {
    const bench = await new ContainerBench().created();
    await bench.controller.killAll(9);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 137 });
    expect(bench.controller.state).toBe("Stopped");
  });
});

describe("processes", () => {
  it("are found by their ids, init by the empty one", async () => {
    const bench = await new ContainerBench().running();
    const process = await bench.controller.createProcess(exec("a"));
    expect(bench.controller.process("a")).toBe(process);
    expect(bench.controller.process("")).toBe(bench.controller.init);
    expect(bench.controller.processes()).toEqual([bench.controller.init, process]);
  });

  it("are refused for an invalid or taken id, an invalid specification, and while the container does not run", async () => {
    const bench = await new ContainerBench().created();
    await expect(bench.controller.createProcess(exec("a"))).rejects.toMatchObject({ code: "FailedPrecondition" });
    await bench.controller.init.start();
    await bench.controller.createProcess(exec("a"));
    await expect(bench.controller.createProcess(exec("a"))).rejects.toMatchObject({ code: "AlreadyExists" });
    await expect(bench.controller.createProcess(exec("../a"))).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(bench.controller.createProcess({ ...exec("b"), spec: { cwd: "/" } })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("exec: process.args: expected a command, got nothing"),
    });
    await expect(bench.controller.createProcess({ ...exec("b"), spec: { cwd: 1 } })).rejects.toMatchObject({
      message: expect.stringContaining("exec: process.cwd: expected a string, got 1"),
    });
    expect(bench.controller.processes()).toHaveLength(2);
  });

  it("are deleted once they have exited or if they never ran", async () => {
    const bench = await new ContainerBench().running();
    const running = await bench.controller.createProcess(exec("a"));
    await bench.controller.createProcess(exec("b"));
    await running.start();
    await expect(bench.controller.deleteProcess("a")).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(bench.controller.deleteProcess("")).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(bench.controller.deleteProcess("c")).rejects.toMatchObject({ code: "NotFound" });
    expect(await bench.controller.deleteProcess("b")).toMatchObject({ status: 0 });
    await running.kill(9);
    await running.wait();
    expect(await bench.controller.deleteProcess("a")).toMatchObject({ status: 137 });
    expect(bench.controller.processes()).toEqual([bench.controller.init]);
  });

  it("are listed by pid, with the id of their exec", async () => {
    const bench = await new ContainerBench().running();
    await (await bench.controller.createProcess(exec("a"))).start();
    expect(await bench.controller.pids()).toEqual([{ pid: 100 }, { pid: 101, execId: "a" }, { pid: 999 }]);
  });

  it("have only init before the start, whose pid the guest lists", async () => {
    const { controller } = await new ContainerBench().created();
    expect([controller.init.state, controller.init.pid]).toEqual(["created", 100]);
    expect(await controller.pids()).toEqual([{ pid: 100 }]);
    expect(await controller.init.start()).toBe(100);
  });

  it("have no pid before the start if the guest does not list it, which is no failure", async () => {
    const reach = new ScriptedCalls();
    await new ContainerBench(reach).created();
    const asked = reach.names.indexOf("processIds");
    const { controller } = await new ContainerBench(new ScriptedCalls(new Map([[asked, "fail"]]))).created();
    expect([controller.state, controller.init.pid]).toEqual(["Created", 0]);
  });

  it("are all signalled together", async () => {
    const bench = await new ContainerBench().running();
    await bench.controller.killAll(15);
    expect(bench.guestContainer.signals).toEqual([15]);
    await expect(bench.controller.killAll(0)).rejects.toMatchObject({ code: "InvalidArgument" });
    bench.initProcess.exit(0);
    await bench.controller.init.wait();
    await expect(bench.controller.killAll(15)).rejects.toMatchObject({ code: "NotFound" });
  });
});

describe("a container's limits and statistics", () => {
  it("come from the guest while the container runs", async () => {
    const bench = await new ContainerBench().running();
    expect(await bench.controller.statistics()).toEqual({ version: 1, metrics: { pids: { current: 2 } } });
    const resources = {
      memory: { limit: 4096 },
      cpu: { quota: -1 },
      pids: { limit: 5 },
      unified: { "memory.low": "1" },
    };
    await bench.controller.update({ ...resources, devices: [{ allow: true }], network: {} });
    expect(bench.guestContainer.updates).toEqual([resources]);
  });

  it("stay unchanged where an update has 0", async () => {
    const bench = await new ContainerBench().running();
    await bench.controller.update({ cpu: { quota: 0, period: 0, shares: 4 } });
    expect(bench.guestContainer.updates).toEqual([{ cpu: { shares: 4 } }]);
  });

  it.each([
    [{ cpu: { quota: -2 } }, "update: resources.cpu.quota: expected at least 1000 microseconds, -1 for no limit"],
    [7, "update: resources: expected an object, got 7"],
    [{ memory: { limit: "1" } }, "update: resources.memory.limit: expected an integer, got string"],
    [{ unified: { "memory.low": 1 } }, "update: resources.unified"],
  ])("refuse %j", async (resources, message) => {
    const bench = await new ContainerBench().running();
    await expect(bench.controller.update(resources)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
    expect(bench.guestContainer.updates).toEqual([]);
  });

  it("are refused before it runs and afterwards", async () => {
    const bench = await new ContainerBench().created([layersMount]);
    const refusal = { code: "FailedPrecondition" };
    expect(await bench.controller.statistics()).toEqual({
      version: 1,
      metrics: { pids: { current: 0 }, cpu: { usage: { total: 0 } }, memory: { usage: { usage: 0 } } },
    });
    await bench.controller.init.start();
    bench.initProcess.exit(0);
    await bench.controller.init.wait();
    await expect(bench.controller.statistics()).rejects.toMatchObject(refusal);
    await expect(bench.controller.update({})).rejects.toMatchObject(refusal);
  });
});

describe("pausing", () => {
  it("pauses a running container, which refuses execs until it is resumed", async () => {
    const bench = await new ContainerBench().running();
    const { controller, guestContainer } = bench;
    await controller.pause();
    expect([controller.isPaused, guestContainer.isPaused]).toEqual([true, true]);
    const refusal = { code: "FailedPrecondition" };
    await expect(controller.pause()).rejects.toMatchObject(refusal);
    const exec = { execId: "e", spec: { args: ["ls"], cwd: "/" }, stdio: noStdio };
    await expect(controller.createProcess(exec)).rejects.toMatchObject(refusal);
    await controller.statistics();
    await controller.resume();
    expect([controller.isPaused, guestContainer.isPaused]).toEqual([false, false]);
    await expect(controller.resume()).rejects.toMatchObject(refusal);
    await controller.createProcess(exec);
  });

  it("does not prevent kill, terminate and delete", async () => {
    for (const end of [
      async ({ controller, initProcess }: ContainerBench) => {
        await controller.killAll(9);
        initProcess.exit(137);
        await controller.init.wait();
      },
      ({ controller }: ContainerBench) => controller.terminate(),
    ]) {
      const bench = await new ContainerBench().running();
      await bench.controller.pause();
      await end(bench);
      expect(bench.controller.isPaused).toBe(false);
      expect(await bench.controller.delete()).toMatchObject({ status: 137 });
    }
  });

  it("leaves the container unchanged when it fails", async () => {
    const reach = new ScriptedCalls();
    await new ContainerBench(reach).running();
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[reach.calls.length, "fail"]]))).running();
    await expect(bench.controller.pause()).rejects.toThrow("pause container c1");
    expect(bench.controller.state).toBe("Running");
    await bench.controller.pause();
  });

  it("is possible only while the container runs", async () => {
    const bench = await new ContainerBench().created([layersMount]);
    await expect(bench.controller.pause()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });
});

it("a container reports its out-of-memory kills", async () => {
  const bench = new ContainerBench();
  let reports = 0;
  const onOutOfMemory = (): void => void reports++;
  await bench.controller.create({ spec: specification(), rootfs: [overlayMount], stdio: noStdio, onOutOfMemory });
  bench.guestContainer.outOfMemory();
  expect(reports).toBe(1);
});

describe("delete", () => {
  it("releases in reverse order: the state after the root is dismantled, before the disks", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).created([layersMount]);
    const before = script.calls.length;
    expect(await bench.controller.delete()).toMatchObject({ status: 0 });
    expect(script.calls.slice(before).map(({ name, detail }) => `${name} ${detail}`)).toEqual([
      "terminate c1",
      "uncombine /run/gcs/pods/p1/c1/rootfs",
      "deleteState c1",
      "unmap disk /snapshots/3/sandbox.vhdx",
      "unmap disk /snapshots/1/layer.vhd",
      "unmap disk /snapshots/2/layer.vhd",
    ]);
    expect(bench.leftovers).toEqual([]);
  });

  it("is refused while the container runs, and can be repeated afterwards", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    await expect(bench.controller.delete()).rejects.toMatchObject({ code: "FailedPrecondition" });
    bench.initProcess.exit(5);
    await bench.controller.init.wait();
    expect(await bench.controller.delete()).toMatchObject({ status: 5 });
    const { length } = script.calls;
    expect(await bench.controller.delete()).toMatchObject({ status: 5 });
    expect(script.calls).toHaveLength(length);
  });

  it("continues when the caller stops waiting", async () => {
    const bench = await new ContainerBench().created();
    const abort = new AbortController();
    const deleting = bench.controller.delete(abort.signal);
    abort.abort(new Error("no longer"));
    await expect(deleting).rejects.toThrow("no longer");
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("terminate", () => {
  it("ends a running container, and does nothing the second time", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    await bench.controller.terminate();
    await bench.controller.terminate();
    expect(bench.controller.init.exit).toMatchObject({ status: 137 });
    expect(script.names.filter((name) => name === "terminate")).toHaveLength(1);
  });

  it("interrupts a create that hangs, and leaves nothing behind", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = new ContainerBench(new ScriptedCalls(new Map([[2, "hang"]]), hanging.resolve));
    const creating = bench.created();
    await hanging.promise;
    await Promise.all([expect(creating).rejects.toMatchObject({ code: "Cancelled" }), bench.controller.terminate()]);
    expect(bench.leftovers).toEqual([]);
  });

  it.each([5, 6])("interrupts a start that hangs at call %d, and init exits", async (call) => {
    const hanging = Promise.withResolvers<void>();
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[call, "hang"]]), hanging.resolve)).created();
    const starting = bench.controller.init.start();
    await hanging.promise;
    await Promise.all([expect(starting).rejects.toMatchObject({ code: "Cancelled" }), bench.controller.terminate()]);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 255 });
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("after the VM is gone", () => {
  it("counts its acquisitions as released, and still unmounts on the host", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    bench.controller.vmExited({ reason: "crash" });
    bench.initProcess.exit(0);
    await bench.controller.init.wait();
    const before = script.calls.length;
    await bench.controller.delete();
    expect(script.names.slice(before)).toEqual(["unmountAll"]);
    expect(bench.files.mounted.size).toBe(0);
  });

  it("gives a created init its exit", async () => {
    const bench = await new ContainerBench().created();
    bench.controller.vmExited({ reason: "crash" });
    expect(await bench.controller.init.wait()).toMatchObject({ status: 255 });
    expect(bench.controller.state).toBe("Stopped");
  });

  it("fails a create in progress, and completes a release that waits for the VM", async () => {
    // The creation in the guest fails, then unmapping the share hangs.
    const faults = new Map<number, Fault>([
      [2, "fail"],
      [3, "hang"],
    ]);
    const bench: ContainerBench = new ContainerBench(
      new ScriptedCalls(faults, () => bench.controller.vmExited({ reason: "crash" })),
    );
    await expect(bench.created()).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.files.mounted.size).toBe(0);
  });
});

it("can be created only once", async () => {
  const bench = await new ContainerBench().created();
  await expect(bench.created()).rejects.toMatchObject({ code: "FailedPrecondition" });
  expect(bench.controller.state).toBe("Created");
});

it("has no init before it is created", () => {
  expect(() => new ContainerBench().controller.init).toThrow(expect.objectContaining({ code: "FailedPrecondition" }));
});
