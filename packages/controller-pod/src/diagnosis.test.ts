import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import type { PodProgramRequest, PodShare } from "./diagnosis.ts";
import { PodBench } from "./testing/index.ts";

const stdio = { stdin: "", stdout: "/fifo/out", stderr: "", terminal: false };
const program: PodProgramRequest = { args: ["ls", "--password=x"], workingDirectory: "/", stdio };
const data: PodShare = { hostPath: "/data", kind: "directory", guestPath: "/mnt/data", readOnly: true };

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const cancelled = () => Object.assign(new Error("the caller has left"), { code: "Cancelled" });

describe("programs of the VM itself", () => {
  it("run up to their end, and are described without their arguments while they run", async () => {
    const bench = await new PodBench().started();
    const running = bench.pod.executeInVm(program);
    await settle();
    expect(bench.pod.describe().programs).toEqual([{ id: "program-1", program: "ls", pid: 7, state: "running" }]);
    bench.programs[0]?.exit(3);
    expect(await running).toMatchObject({ status: 3 });
    await settle();
    expect(bench.pod.describe().programs).toEqual([]);
  });

  it("are killed when their caller leaves", async () => {
    const bench = await new PodBench().started();
    const abort = new AbortController();
    const running = bench.pod.executeInVm(program, abort.signal);
    await settle();
    abort.abort(cancelled());
    await expect(running).rejects.toMatchObject({ code: "Cancelled" });
    await settle();
    expect(await bench.programs[0]?.wait()).toMatchObject({ status: 137 });
    expect(bench.pod.describe().programs).toEqual([]);
  });

  it("are no longer there when their start fails, or their caller leaves before it", async () => {
    const script = new ScriptedCalls(new Map([[2, "fail"]]));
    const bench = await new PodBench(script).started();
    await expect(bench.pod.executeInVm(program)).rejects.toThrow();
    await settle();
    expect(bench.pod.describe().programs).toEqual([]);
  });

  it("end with the VM", async () => {
    const bench = await new PodBench().started();
    const running = bench.pod.executeInVm(program);
    await settle();
    bench.vm.exit("crashed");
    expect(await running).toMatchObject({ status: 255 });
  });

  it("are refused before the pod runs, and ended when it stops", async () => {
    const bench = new PodBench();
    await expect(bench.pod.executeInVm(program)).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("the pod is created, expected running"),
    });
    await bench.started();
    const running = bench.pod.executeInVm(program);
    const refused = expect(running).rejects.toMatchObject({ code: "Cancelled" });
    await settle();
    await bench.pod.stop(1_000);
    await refused;
    expect(bench.programs.map(({ state }) => state)).toEqual(["stopped"]);
  });
});

describe("folders that are shown in the VM", () => {
  it("stay until the pod ends, however often they are asked for", async () => {
    const bench = await new PodBench().started();
    await Promise.all([bench.pod.share(data), bench.pod.share(data)]);
    await bench.pod.share({ ...data, guestPath: "/mnt/other" });
    expect([...bench.shown]).toEqual(["/mnt/data", "/mnt/other"]);
    expect(bench.pod.describe().ownShares).toEqual([data, { ...data, guestPath: "/mnt/other" }]);
    await bench.pod.stop(1_000);
    expect([...bench.shown]).toEqual([]);
    expect(bench.pod.describe().ownShares).toEqual([]);
  });

  it.each([
    ["another folder", { hostPath: "/other" }],
    ["another access", { readOnly: false }],
  ])("leave no room for %s at their path", async (_what, change) => {
    const bench = await new PodBench().started();
    await bench.pod.share(data);
    await expect(bench.pod.share({ ...data, ...change })).rejects.toMatchObject({
      code: "AlreadyExists",
      message: expect.stringContaining("guest path /mnt/data shows /data, read-only, until the pod ends"),
    });
  });

  it("are so many at most", async () => {
    const bench = await new PodBench().started();
    const shareAt = (place: number) => bench.pod.share({ ...data, guestPath: `/mnt/${place}` });
    for (let place = 0; place < 32; place += 1) await shareAt(place);
    await expect(shareAt(32)).rejects.toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringContaining("32 folders are shown in its VM already, and stay until it ends"),
    });
    await shareAt(7);
    expect(bench.shown.size).toBe(32);
  });

  it("leave nothing when they fail, and can be asked for again", async () => {
    const script = new ScriptedCalls(new Map([[1, "lose"]]));
    const bench = await new PodBench(script).started();
    await expect(bench.pod.share(data)).rejects.toThrow();
    expect([...bench.shown]).toEqual([]);
    await bench.pod.share(data);
    expect([...bench.shown]).toEqual(["/mnt/data"]);
    await bench.pod.stop(1_000);
  });

  it("are released by another stop when the first could not", async () => {
    const script = new ScriptedCalls(new Map([[3, "fail"]]));
    const bench = await new PodBench(script).started();
    await bench.pod.share(data);
    await expect(bench.pod.stop(1_000)).rejects.toThrow();
    await bench.pod.stop(1_000);
    expect([...bench.shown]).toEqual([]);
  });
});

describe("what a pod says of itself", () => {
  it("has its VM, its containers with what they hold, and its devices", async () => {
    const bench = await new PodBench().started();
    await bench.pod.createContainer({ id: "c1" });
    expect(bench.pod.describe()).toEqual({
      vm: { id: "vm", state: "Running", isLost: false, held: [] },
      containers: [{ id: "c1", state: "Created", held: ["root"] }],
      disks: [],
      ownShares: [],
      programs: [],
    });
    expect(await bench.pod.dumpStacks()).toBe("main: waits");
    expect(await bench.pod.vmProperties()).toEqual({ State: "Running" });
  });
});
