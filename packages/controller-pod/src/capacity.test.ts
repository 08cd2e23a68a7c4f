import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { PodBench } from "./testing/index.ts";

const mebibyte = 2 ** 20;
const grownTo = (megabytes: number) => ({ resources: { memory: { limit: megabytes * mebibyte } } });
const started = (...faults: readonly (readonly [number, Fault])[]) =>
  new PodBench(new ScriptedCalls(new Map(faults))).started();

describe("the VM of a pod", () => {
  it("keeps its size for containers that fit, and grows before a container that does not", async () => {
    const { pod, vm, size } = await started();
    await pod.createContainer({ id: "c1", memory: 60 });
    await pod.createContainer({ id: "none" });
    expect(vm.updates).toEqual([]);
    await pod.createContainer({ id: "c2", memory: 70 });
    expect(vm.updates).toEqual([grownTo(130)]);
    expect(size.questions.map(({ containers }) => containers)).toEqual([[60], [60, 70]]);
  });

  it("grows one step at a time for concurrent containers", async () => {
    const { pod, vm, size } = await started();
    await Promise.all([1, 2, 3].map((number) => pod.createContainer({ id: `c${number}`, memory: 100 })));
    expect(vm.updates).toEqual([grownTo(300)]);
    expect(size.questions.map(({ memoryInMb }) => memoryInMb)).toEqual([100, 300, 300]);
  });

  it("does not grow for containers that have exited or were deleted, and does not shrink", async () => {
    const { pod, vm, made } = await started();
    await pod.createContainer({ id: "exits", memory: 60 });
    await pod.createContainer({ id: "goes", memory: 40 });
    made[0]?.init.exit(0);
    await pod.deleteContainer("goes");
    await pod.createContainer({ id: "c1", memory: 100 });
    expect(vm.updates).toEqual([]);
  });

  it("grows before a container's limits are raised", async () => {
    const { pod, vm, made } = await started();
    await pod.createContainer({ id: "c1", memory: 60 });
    await pod.updateContainer("c1", { memory: 200 });
    expect(vm.updates).toEqual([grownTo(200)]);
    expect(made[0]?.updates).toEqual([{ memory: 200 }]);
    await expect(pod.updateContainer("c9", {})).rejects.toMatchObject({ code: "NotFound" });
  });

  it("is large enough for a later update when an earlier one fails", async () => {
    const givenUp = new AbortController();
    // The container's part of the first update, after the creation and the growth.
    const script = new ScriptedCalls(new Map([[3, "hang"]]), () => givenUp.abort(new Error("given up")));
    const { pod, size, made } = await new PodBench(script).started();
    await pod.createContainer({ id: "c1", memory: 60 });
    const first = pod.updateContainer("c1", { memory: 200 }, givenUp.signal);
    const second = pod.updateContainer("c1", { memory: 300 });
    await expect(first).rejects.toThrow("given up");
    await second;
    expect(made[0]?.updates).toEqual([{ memory: 300 }]);
    await pod.createContainer({ id: "c2", memory: 40 });
    expect(size.questions.at(-1)?.containers).toEqual([300, 40]);
  });

  it("cannot grow: the container is refused, or keeps its limits", async () => {
    const { pod, vm, made, size } = await started();
    await pod.createContainer({ id: "c1", memory: 60 });
    const refused = { code: "FailedPrecondition", message: "update container c1: 1001 MB are too much" };
    await expect(pod.updateContainer("c1", { memory: 1001 })).rejects.toMatchObject(refused);
    await expect(pod.createContainer({ id: "c2", memory: 941 })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: "create container c2: 1001 MB are too much",
    });
    expect(made).toHaveLength(1);
    expect([made[0]?.updates, vm.updates]).toEqual([[], []]);
    await pod.createContainer({ id: "c2", memory: 40 });
    expect(size.questions.at(-1)?.containers).toEqual([60, 40]);
  });

  it("does not grow beyond what the host has, and reports the host's answer", async () => {
    const { pod, vm } = await started([1, "fail"]);
    await expect(pod.createContainer({ id: "c1", memory: 200 })).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringMatching(/^create container c1: the VM has 100 MB, and needs 200 MB .* cannot grow: /),
    });
    await pod.createContainer({ id: "c1", memory: 100 });
    expect(vm.updates).toEqual([]);
  });

  it("does not grow for a container without a limit, which is logged", async () => {
    const { pod, made, warnings } = await started([2, "fail"]);
    await pod.createContainer({ id: "c1", memory: 60 });
    await pod.createContainer({ id: "c2", memory: 77 });
    expect(made).toHaveLength(2);
    expect(warnings).toEqual([expect.stringMatching(/^container c2, which has no guaranteed memory: the VM/)]);
  });

  it("grows, with a warning, for a limit that promises nothing", async () => {
    const { pod, vm, warnings } = await started();
    await pod.createContainer({ id: "c1", memory: 777 });
    expect([vm.updates, warnings]).toEqual([[grownTo(777)], ["container c1: 777 MB are no promise"]]);
  });

  it("is reported as too small if its size was configured", async () => {
    const { pod, warnings } = await started();
    await pod.createContainer({ id: "c1", memory: 950 });
    expect(warnings).toEqual(["container c1: 950 MB are much"]);
  });

  it("keeps a size set by an update", async () => {
    const { pod, size } = await started();
    await pod.createContainer({ id: "c1", memory: 60 });
    await pod.update({ resources: {} });
    await pod.createContainer({ id: "c2", memory: 1 });
    expect(size.questions.at(-1)).toMatchObject({ memoryInMb: 100, fixedSince: undefined });
    await pod.update(grownTo(512));
    await pod.createContainer({ id: "c3", memory: 1 });
    expect(size.questions.at(-1)).toMatchObject({ memoryInMb: 512, fixedSince: "an update of the pod has set it" });
  });

  it("does not count as set after an update of something else, and still grows", async () => {
    const hanging = Promise.withResolvers<void>();
    const givenUp = new AbortController();
    const { pod, size, vm } = await new PodBench(new ScriptedCalls(new Map([[1, "hang"]]), hanging.resolve)).started();
    const updating = pod.update({ resources: {} }, givenUp.signal);
    await hanging.promise;
    const creating = pod.createContainer({ id: "c1", memory: 200 });
    await new Promise((resolve) => setImmediate(resolve));
    givenUp.abort(new Error("given up"));
    await expect(updating).rejects.toThrow("given up");
    await creating;
    await pod.createContainer({ id: "c2", memory: 1 });
    expect(size.questions.at(-1)).toMatchObject({ memoryInMb: 200, fixedSince: undefined });
    expect(vm.updates).toEqual([grownTo(200), grownTo(201)]);
  });

  it("does not hold up a pod that is being stopped", async () => {
    const hanging = Promise.withResolvers<void>();
    const script = new ScriptedCalls(new Map([[1, "hang"]]), hanging.resolve);
    const { pod, made } = await new PodBench(script).started();
    const creating = pod.createContainer({ id: "c1", memory: 200 });
    await hanging.promise;
    await Promise.all([expect(creating).rejects.toMatchObject({ code: "Cancelled" }), pod.stop(10_000)]);
    expect(made).toEqual([]);
  });
});
