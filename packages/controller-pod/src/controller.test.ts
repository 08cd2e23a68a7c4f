import { readFileSync } from "node:fs";
import { diagram } from "@uvm-shim/lifecycle";
import { diagramsIn, type Fault, faultCases, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it, vi } from "vitest";
import { podTable } from "./lifecycle.ts";
import { FakeEarlyWork, FakeNetwork, measured, OpenedNetwork, PodBench } from "./testing/index.ts";

const stopMs = 10_000;

describe("start", () => {
  it("starts the VM", async () => {
    const { pod } = new PodBench();
    expect([pod.state, pod.createdAt]).toEqual(["created", new Date(1_000)]);
    expect(await pod.start()).toEqual({ startedAt: new Date(2_000) });
    expect(pod.state).toBe("running");
    await expect(pod.start()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("that fails reports the reason, and the pod can be stopped", async () => {
    const { pod } = new PodBench(new ScriptedCalls(new Map([[0, "fail"]])));
    await expect(pod.start()).rejects.toMatchObject({
      code: "Unavailable",
      message: "start pod p1: start VM  failed as scripted",
    });
    await pod.stop(stopMs);
    expect(pod.state).toBe("stopped");
  });

  it("that hangs is interrupted by a stop", async () => {
    const hanging = Promise.withResolvers<void>();
    const { pod } = new PodBench(new ScriptedCalls(new Map([[0, "hang"]]), hanging.resolve));
    const starting = pod.start();
    await hanging.promise;
    await Promise.all([expect(starting).rejects.toMatchObject({ code: "Cancelled" }), pod.stop(stopMs)]);
    expect(pod.state).toBe("stopped");
  });
});

describe("early work", () => {
  const bench = (script: ScriptedCalls) => {
    const work = new FakeEarlyWork(script);
    return { work, pod: new PodBench(script, undefined, undefined, work).pod };
  };

  it("begins beside the start of the VM, and is undone after its end", async () => {
    const script = new ScriptedCalls();
    const { pod } = bench(script);
    await pod.start();
    await pod.stop(stopMs);
    expect(script.names).toEqual(["begin early work", "start VM", "terminate VM", "release early work"]);
  });

  it("is undone after a failed start of the VM", async () => {
    const { pod, work } = bench(new ScriptedCalls(new Map([[1, "fail"]])));
    await expect(pod.start()).rejects.toMatchObject({ code: "Unavailable" });
    await pod.stop(stopMs);
    expect(work.isHeld).toBe(false);
  });

  it("that could not be undone is reported, and undone by the next stop", async () => {
    const { pod, work } = bench(new ScriptedCalls(new Map([[3, "fail"]])));
    await pod.start();
    await expect(pod.stop(stopMs)).rejects.toMatchObject({ message: expect.stringContaining("release early work") });
    await pod.stop(stopMs);
    expect(work.isHeld).toBe(false);
  });
});

describe("containers", () => {
  it("are known once they are created, until they are deleted", async () => {
    const { pod, made } = await new PodBench().started();
    const creating = pod.createContainer({ id: "c1" });
    expect(pod.container("c1")).toBeUndefined();
    expect(await creating).toBe(made[0]);
    expect(pod.containers()).toEqual(made);
    expect(await pod.deleteContainer("c1")).toEqual({ status: 7, exitedAt: new Date(4_000) });
    expect(pod.container("c1")).toBeUndefined();
    await expect(pod.deleteContainer("c1")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("are created concurrently, although the first one hangs", async () => {
    const abort = new AbortController();
    const { pod } = await new PodBench(new ScriptedCalls(new Map([[1, "hang"]]))).started();
    const first = pod.createContainer({ id: "c0" }, abort.signal);
    await Promise.all(Array.from({ length: 10 }, (_, number) => pod.createContainer({ id: `c${number + 1}` })));
    expect(pod.containers()).toHaveLength(10);
    abort.abort(new Error("enough"));
    await expect(first).rejects.toThrow("enough");
  });

  it("are refused for a taken id, even if its creation is still in progress, and in a pod that does not run", async () => {
    const bench = new PodBench();
    const { pod } = bench;
    await expect(pod.createContainer({ id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: "create container c1 in pod p1: the pod is created, expected running",
    });
    await bench.started();
    const creating = pod.createContainer({ id: "c1" });
    await expect(pod.createContainer({ id: "c1" })).rejects.toMatchObject({ code: "AlreadyExists" });
    await creating;
    await expect(pod.createContainer({ id: "c1" })).rejects.toMatchObject({ code: "AlreadyExists" });
  });

  it("that cannot be created free their id and are deleted, at the latest when the pod stops", async () => {
    const { pod, made } = await new PodBench(
      new ScriptedCalls(
        new Map<number, Fault>([
          [1, "lose"],
          [2, "fail"],
        ]),
      ),
    ).started();
    await expect(pod.createContainer({ id: "c1" })).rejects.toThrow("create c1 lost its answer");
    expect(made[0]?.isHeld).toBe(true);
    await pod.createContainer({ id: "c1" });
    await pod.stop(stopMs);
    expect(made.map((container) => container.isHeld)).toEqual([false, false]);
  });

  it("that cannot be deleted stay, and the deletion can be repeated", async () => {
    const { pod } = await new PodBench(new ScriptedCalls(new Map([[2, "fail"]]))).started();
    const container = await pod.createContainer({ id: "c1" });
    await expect(pod.deleteContainer("c1")).rejects.toMatchObject({ code: "Unavailable" });
    expect(pod.container("c1")).toBe(container);
    expect(await pod.deleteContainer("c1")).toMatchObject({ status: 7 });
  });

  it("that cannot be deleted because the VM is ending are deleted once it has ended", async () => {
    const hanging = Promise.withResolvers<void>();
    // The deletion, while the VM has not ended yet.
    const script = new ScriptedCalls(new Map([[2, "fail"]]));
    const { pod, vm } = await new PodBench(script).started();
    const container = await pod.createContainer({ id: "c1" });
    const end = vi.spyOn(vm, "terminate").mockImplementation(() => hanging.promise.then(() => vm.exit("terminated")));
    vi.spyOn(container, "terminate").mockResolvedValue();
    const stopping = pod.stop(stopMs);
    const deleting = pod.deleteContainer("c1");
    await expect.poll(() => end.mock.calls.length).toBe(1);
    hanging.resolve();
    await stopping;
    expect(await deleting).toMatchObject({ status: 7 });
    expect([pod.containers(), container.isHeld]).toEqual([[], false]);
  });
});

describe("the VM of a pod", () => {
  const update = { resources: { memory: { limit: 4096 } }, annotations: { a: "b" } };

  it("is changed and measured while the pod runs", async () => {
    const { pod, vm } = await new PodBench().started();
    await pod.update(update);
    expect(vm.updates).toEqual([update]);
    expect(await pod.statistics()).toBe(measured);
  });

  it("is neither changed nor measured otherwise", async () => {
    const { pod } = new PodBench();
    const refusal = { code: "FailedPrecondition", message: expect.stringContaining("the pod is ") };
    await expect(pod.update(update)).rejects.toMatchObject(refusal);
    await pod.stop(stopMs);
    await expect(pod.statistics()).rejects.toMatchObject(refusal);
  });

  it("answers a ping, as long as it runs", async () => {
    const { pod } = await new PodBench().started();
    await pod.ping();
    await pod.stop(stopMs);
    await expect(pod.ping()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("has a host that answers a ping, as long as it runs", async () => {
    const script = new ScriptedCalls();
    const { pod } = await new PodBench(script).started();
    await pod.pingHost();
    expect(script.names.at(-1)).toBe("ping host");
    await pod.stop(stopMs);
    await expect(pod.pingHost()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("reports why it cannot be changed", async () => {
    const { pod } = await new PodBench(new ScriptedCalls(new Map([[1, "fail"]]))).started();
    await expect(pod.update(update)).rejects.toMatchObject({
      code: "Unavailable",
      message: "update pod p1: update VM  failed as scripted",
    });
    await pod.update(update);
  });

  it("keeps no caller waiting when the pod is stopped", async () => {
    const hanging = Promise.withResolvers<void>();
    const { pod } = await new PodBench(new ScriptedCalls(new Map([[1, "hang"]]), hanging.resolve)).started();
    const updating = pod.update(update);
    await hanging.promise;
    await Promise.all([expect(updating).rejects.toMatchObject({ code: "Cancelled" }), pod.stop(stopMs)]);
  });
});

describe("stop", () => {
  it("ends the containers, then the VM, then releases what containers held, and can be repeated", async () => {
    const script = new ScriptedCalls();
    const { pod, made, clock } = await new PodBench(script).started();
    await pod.createContainer({ id: "c1" });
    await pod.stop(stopMs);
    expect(script.names.slice(2)).toEqual(["terminate", "terminate VM", "delete"]);
    expect(made[0]?.exits).toHaveLength(1);
    expect(pod.container("c1")).toBe(made[0]);
    await pod.stop(stopMs);
    expect(script.names.filter((name) => name === "terminate VM")).toHaveLength(1);
    expect(clock.pending).toEqual([]);
    await expect(pod.createContainer({ id: "c2" })).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("ends the VM even if a container does not end within half of the time", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = await new PodBench(new ScriptedCalls(new Map([[2, "hang"]]), hanging.resolve)).started();
    await bench.pod.createContainer({ id: "c1" });
    const stopping = bench.pod.stop(stopMs);
    await hanging.promise;
    bench.clock.elapse(stopMs / 2);
    await stopping;
    expect(bench.pod.state).toBe("stopped");
  });

  it("repeats what the VM could not release, although it has ended", async () => {
    const script = new ScriptedCalls(new Map([[1, "lose"]]));
    const { pod } = await new PodBench(script).started();
    await expect(pod.stop(stopMs)).rejects.toMatchObject({ code: "Unavailable" });
    expect(pod.state).toBe("stopped");
    await pod.stop(stopMs);
    expect(script.names.filter((name) => name === "terminate VM")).toHaveLength(2);
  });

  it("fails for a caller whose time is over, and continues", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = await new PodBench(new ScriptedCalls(new Map([[1, "hang"]]), hanging.resolve)).started();
    const stopping = bench.pod.stop(stopMs);
    await hanging.promise;
    bench.clock.elapse(stopMs);
    await expect(stopping).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: "stop pod p1: the pod has not stopped within 10000 ms: stopping goes on",
    });
    bench.vm.exit("crash");
    await bench.pod.wait();
    expect(bench.pod.state).toBe("stopped");
  });

  it("reports a VM that cannot be ended, and can be repeated", async () => {
    const { pod } = await new PodBench(new ScriptedCalls(new Map([[1, "fail"]]))).started();
    await expect(pod.stop(stopMs)).rejects.toMatchObject({ code: "Unavailable", operation: "stop pod" });
    await pod.stop(stopMs);
    expect(pod.state).toBe("stopped");
  });

  it("interrupts a creation that hangs, and releases what it held", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = await new PodBench(new ScriptedCalls(new Map([[1, "hangDone"]]), hanging.resolve)).started();
    const creating = bench.pod.createContainer({ id: "c1" });
    await hanging.promise;
    await Promise.all([expect(creating).rejects.toMatchObject({ code: "Cancelled" }), bench.pod.stop(stopMs)]);
    expect(bench.made[0]?.isHeld).toBe(false);
  });
});

describe("a guest that is gone", () => {
  it("makes the pod not ready, and gets no container, before its VM's exit is reported", async () => {
    const bench = await new PodBench(new ScriptedCalls()).started();
    const { pod } = bench;
    expect(pod.isReady).toBe(true);
    bench.vm.isLost = true;
    expect([pod.isReady, pod.state]).toEqual([false, "running"]);
    await expect(pod.createContainer({ id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: "create container c1 in pod p1: its guest is gone, and its VM is ending",
    });
    expect(bench.made).toEqual([]);
  });
});

describe("the network", () => {
  async function startedWithNetwork(faults: readonly (readonly [number, Fault])[] = [], onHang?: () => void) {
    const script = new ScriptedCalls(new Map(faults), onHang);
    const network = new FakeNetwork(script);
    const bench = await new PodBench(script, network).started();
    return { bench, network, script, pod: bench.pod };
  }

  it("that the pod itself names is set up when the VM has started, before any container", async () => {
    const script = new ScriptedCalls();
    const network = new OpenedNetwork(script);
    const { pod } = await new PodBench(script, network).started();
    expect([script.names, network.isUp]).toEqual([["start VM", "open network"], true]);
    await pod.stop(stopMs);
    expect(network.isUp).toBe(false);
  });

  it("that the pod itself names and that cannot be set up fails its start, and is left when it stops", async () => {
    const script = new ScriptedCalls(new Map([[1, "lose"]]));
    const network = new OpenedNetwork(script);
    const { pod } = new PodBench(script, network);
    await expect(pod.start()).rejects.toThrow("start pod p1: open network  lost its answer");
    await pod.stop(stopMs);
    expect([pod.state, network.isUp]).toEqual(["stopped", false]);
  });

  it("is set up before a container is created, and left between the containers' end and the VM's", async () => {
    const { pod, network, script } = await startedWithNetwork();
    await pod.createContainer({ id: "c1" });
    await pod.createContainer({ id: "c2" });
    expect(script.names.slice(1)).toEqual(["prepare network", "create", "prepare network", "create"]);
    await pod.stop(stopMs);
    const ending = ["terminate", "terminate", "tear down network", "terminate VM", "delete", "delete"];
    expect(script.names.slice(5)).toEqual([...ending, "tear down network"]);
    expect(network.isUp).toBe(false);
  });

  it("that cannot be set up fails the container, whose id is free again", async () => {
    const { pod, bench } = await startedWithNetwork([[1, "fail"]]);
    await expect(pod.createContainer({ id: "c1" })).rejects.toThrow("prepare network c1 failed");
    expect(bench.made).toEqual([]);
    await pod.createContainer({ id: "c1" });
  });

  it("does not let two containers have one id", async () => {
    const { pod } = await startedWithNetwork();
    const outcomes = await Promise.allSettled([pod.createContainer({ id: "c1" }), pod.createContainer({ id: "c1" })]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });

  it("that is not left in time, or not at all, is left when the VM has ended", async () => {
    const hanging = Promise.withResolvers<void>();
    const { pod, bench, network } = await startedWithNetwork([[4, "hang"]], hanging.resolve);
    await pod.createContainer({ id: "c1" });
    const stopping = pod.stop(stopMs);
    await hanging.promise;
    bench.clock.elapse(stopMs / 4);
    await stopping;
    expect(network.isUp).toBe(false);
  });

  it("that cannot be left even then is reported, and the stop can be repeated", async () => {
    const { pod, network } = await startedWithNetwork([
      [4, "fail"],
      [7, "fail"],
    ]);
    await pod.createContainer({ id: "c1" });
    await expect(pod.stop(stopMs)).rejects.toThrow("tear down network  failed as scripted");
    await pod.stop(stopMs);
    expect(network.isUp).toBe(false);
  });

  it("has its setup interrupted when the pod is stopped", async () => {
    const hanging = Promise.withResolvers<void>();
    const { pod, bench } = await startedWithNetwork([[1, "hang"]], hanging.resolve);
    const creating = expect(pod.createContainer({ id: "c1" })).rejects.toMatchObject({ code: "Cancelled" });
    await hanging.promise;
    await pod.stop(stopMs);
    await creating;
    expect(bench.made).toEqual([]);
  });
});

describe("the pod's own sandbox container", () => {
  const own = { id: "p1" };

  async function startedWithOwn(faults: readonly (readonly [number, Fault])[] = [], onHang?: () => void) {
    const script = new ScriptedCalls(new Map(faults), onHang);
    const bench = await new PodBench(script, new FakeNetwork(script), own).started();
    return { bench, script, pod: bench.pod };
  }

  it("is created and started with the VM, and not visible to callers", async () => {
    const { pod, bench, script } = await startedWithOwn();
    expect(script.names).toEqual(["start VM", "prepare network", "create", "start"]);
    expect([pod.pid, pod.isReady, pod.sandboxContainer]).toEqual([41, true, bench.made[0]]);
    expect([pod.container("p1"), pod.containers()]).toEqual([undefined, []]);
    await expect(pod.createContainer(own)).rejects.toMatchObject({ code: "AlreadyExists" });
    await expect(pod.deleteContainer("p1")).rejects.toMatchObject({ code: "NotFound" });
  });

  it("does not exist before the start, or if the client brings one", async () => {
    expect(new PodBench(new ScriptedCalls(), undefined, own).pod.pid).toBeUndefined();
    const { pod } = await new PodBench().started();
    expect([pod.pid, pod.isReady, pod.sandboxContainer]).toEqual([undefined, true, undefined]);
  });

  it("ends after all other containers, when the network has been left, and is deleted", async () => {
    const { pod, bench, script } = await startedWithOwn();
    await pod.createContainer({ id: "c1" });
    await pod.stop(stopMs);
    const ended = script.calls.slice(6).map(({ name, detail }) => `${name} ${detail}`.trim());
    expect(ended.slice(0, 4)).toEqual(["terminate c1", "tear down network", "terminate p1", "terminate VM"]);
    expect(ended.slice(4)).toEqual(["delete c1", "delete p1", "tear down network"]);
    expect(bench.made.map(({ isHeld, exits }) => [isHeld, exits.length])).toEqual([
      [false, 1],
      [false, 1],
    ]);
  });

  it("makes the pod not ready when it ends, and leaves the rest to an orderly stop", async () => {
    const { pod, bench } = await startedWithOwn();
    await pod.createContainer({ id: "c1" });
    bench.made[0]?.init.exit(9);
    expect(await pod.wait()).toEqual({ status: 9, exitedAt: new Date(5_000) });
    expect([pod.state, pod.isReady]).toEqual(["running", false]);
    expect(bench.made[1]?.isTerminated).toBe(false);
    await expect(pod.createContainer({ id: "c2" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: "create container c2 in pod p1: its sandbox container has ended",
    });
    await pod.ping();
    await pod.statistics();
    await pod.stop(stopMs);
    expect([pod.state, pod.isReady]).toEqual(["stopped", false]);
    expect(bench.made.map(({ isHeld }) => isHeld)).toEqual([false, false]);
  });

  it.each([
    [1, "prepare network p1"],
    [2, "create p1"],
    [3, "start p1"],
  ])("that cannot be created fails the start, and is deleted: call %i", async (call, what) => {
    const script = new ScriptedCalls(new Map([[call, "lose" as const]]));
    const { pod, made } = new PodBench(script, new FakeNetwork(script), own);
    await expect(pod.start()).rejects.toThrow(`start pod p1: ${what} lost its answer`);
    expect(pod.isReady).toBe(false);
    await pod.stop(stopMs);
    expect(made.map(({ isHeld }) => isHeld)).not.toContain(true);
    expect([pod.state, pod.pid]).toEqual(["stopped", undefined]);
  });

  it("has its creation interrupted by a stop", async () => {
    const hanging = Promise.withResolvers<void>();
    const script = new ScriptedCalls(new Map([[2, "hangDone" as const]]), hanging.resolve);
    const { pod, made } = new PodBench(script, new FakeNetwork(script), own);
    const starting = pod.start();
    await hanging.promise;
    await Promise.all([expect(starting).rejects.toMatchObject({ code: "Cancelled" }), pod.stop(stopMs)]);
    expect(made.map(({ isHeld }) => isHeld)).toEqual([false]);
  });
});

describe("when the VM ends by itself", () => {
  it("is stopped, and notifies every container once, before the waiters", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = await new PodBench(new ScriptedCalls(new Map([[2, "hang"]]), hanging.resolve)).started();
    await bench.pod.createContainer({ id: "c1" });
    const creating = bench.pod.createContainer({ id: "c2" });
    await hanging.promise;
    bench.vm.exit("crash");
    expect(await bench.pod.wait()).toEqual({ status: 0, exitedAt: new Date(3_000), reason: "crash" });
    await expect(creating).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.made.map(({ exits }) => exits.map(({ reason }) => reason))).toEqual([["crash"], ["crash"]]);
    expect(bench.pod.state).toBe("stopped");
    await bench.pod.stop(stopMs);
    expect(bench.made.map(({ isHeld }) => isHeld)).toEqual([false, false]);
  });

  it("releases a waiter that aborts", async () => {
    const { pod } = new PodBench();
    await expect(pod.wait(AbortSignal.abort(new Error("no longer")))).rejects.toThrow("no longer");
  });
});

async function scenario(faults: ReadonlyMap<number, Fault>) {
  const impatient = new AbortController();
  const script = new ScriptedCalls(faults, () => {
    impatient.abort();
    bench.clock.elapse(stopMs);
  });
  const bench = new PodBench(script);
  const { pod } = bench;
  const { signal } = impatient;
  try {
    await pod.start(signal);
    await pod.createContainer({ id: "c1" }, signal);
    await pod.createContainer({ id: "c2" }, signal);
    await pod.update({ resources: {} }, signal);
    await pod.statistics(signal);
  } catch {
    // A caller that gives up stops the pod.
  }
  for (let round = 0; round < 2; round++) await pod.stop(stopMs).catch(() => {});
  return { bench, names: script.names };
}

const faultless = await scenario(new Map());

describe("a fault at any one call", () => {
  // Ending the VM and deleting a container have their own bounds: no caller aborts them.
  const unbounded = ["start VM", "create", "update VM", "measure VM", "terminate"];
  const cases = faultCases(faultless.names.length).filter(({ call, fault }) => {
    return unbounded.includes(faultless.names[call] ?? "") || fault === "fail" || fault === "lose";
  });

  it.each(cases)("$fault at call $call leaves nothing behind", async ({ call, fault }) => {
    const { bench } = await scenario(new Map([[call, fault]]));
    expect(bench.pod.state).toBe("stopped");
    expect(bench.made.map(({ isHeld }) => isHeld)).not.toContain(true);
  });
});

it("matches the diagram in the README", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  expect(diagramsIn(readme)).toEqual([diagram(podTable)]);
});
