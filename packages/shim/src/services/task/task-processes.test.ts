import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeError } from "../../testing/fake-platform.ts";
import { exitedAt, Harness, taskSpec } from "../../testing/harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open();
});
afterEach(() => harness.close());

describe("signals, terminals and input", () => {
  it("reach the process, all processes, or report that they have finished", async () => {
    await harness.runTask("c1");
    await harness.task("Kill", { id: "c1", signal: 10 });
    expect(harness.container("c1").init.signals).toEqual([10]);
    await expect(harness.task("Kill", { id: "c1", signal: 65 })).rejects.toMatchObject({ code: "InvalidArgument" });
    await harness.task("Kill", { id: "c1", signal: 9, all: true });
    expect(harness.container("c1").killedAll).toEqual([9]);
    const late = { code: "NotFound", message: expect.stringMatching(/process already finished/) };
    await expect(harness.task("Kill", { id: "c1", signal: 9 })).rejects.toMatchObject(late);
    await expect(harness.task("Kill", { id: "none", signal: 9 })).rejects.toMatchObject({ code: "NotFound" });
    await expect(harness.task("Kill", { id: "c1", execId: "none", signal: 9 })).rejects.toMatchObject({
      code: "NotFound",
    });
  });

  it("report a process that ends during the signal as finished", async () => {
    await harness.runTask("c1");
    const { init } = harness.container("c1");
    init.kill = async () => {
      init.finish(0);
      throw new FakeError("Unavailable", "connection closed");
    };
    await expect(harness.task("Kill", { id: "c1", signal: 1 })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("resize and close, and silently do nothing after the exit", async () => {
    await harness.runTask("c1");
    const { init } = harness.container("c1");
    await harness.task("ResizePty", { id: "c1", width: 80, height: 25 });
    await harness.task("CloseIO", { id: "c1", stdin: false });
    expect(init.stdinClosed).toBe(false);
    await harness.task("CloseIO", { id: "c1", stdin: true });
    expect([init.sizes, init.stdinClosed]).toEqual([[[80, 25]], true]);
    init.finish(0);
    await harness.task("ResizePty", { id: "c1", width: 1, height: 1 });
    await harness.task("CloseIO", { id: "c1", stdin: true });
    expect(init.sizes).toHaveLength(1);
  });

  it.each(["Checkpoint"] as const)("reports that %s is not supported", async (method) => {
    await expect(harness.task(method, { id: "c1" })).rejects.toMatchObject({
      code: "Unimplemented",
      message: new RegExp(method),
    });
  });
});

describe("execs", () => {
  const exec = (execId: string, value = Buffer.from('{"args":["ls"],"cwd":"/"}')) =>
    harness.task("Exec", { id: "c1", execId, stdout: "/o", spec: { type_url: "process", value } });

  it("run, exit and are deleted independently", async () => {
    await harness.runTask("c1");
    await exec("e1");
    expect(harness.container("c1").specs).toEqual([{ args: ["ls"], cwd: "/" }]);
    expect(await harness.task("State", { id: "c1", execId: "e1" })).toMatchObject({
      execId: "e1",
      stdout: "/o",
      status: 1,
    });
    expect(await harness.task("Start", { id: "c1", execId: "e1" })).toMatchObject({ pid: 4002 });
    const pids = await harness.task("Pids", { id: "c1" });
    expect(pids.processes.map(({ pid, info }) => [pid, info?.type_url])).toEqual([
      [4000, undefined],
      [4002, "containerd.runc.v1.ProcessDetails"],
    ]);
    await expect(harness.task("Delete", { id: "c1", execId: "e1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
    });
    const wait = harness.task("Wait", { id: "c1", execId: "e1" });
    harness.container("c1").process("e1")?.finish(7);
    expect(await wait).toMatchObject({ exitStatus: 7 });
    const deleted = { pid: 4002, exitStatus: 7, exitedAt };
    expect(await harness.task("Delete", { id: "c1", execId: "e1" })).toMatchObject(deleted);
    expect(await harness.task("Delete", { id: "c1", execId: "e1" })).toMatchObject(deleted);
    expect(await harness.topics(5)).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exec-added",
      "/tasks/exec-started",
      "/tasks/exit",
    ]);
    expect(harness.events.received.at(-1)?.fields).toMatchObject({
      containerId: "c1",
      id: "e1",
      pid: 4002,
      exitStatus: 7,
    });
  });

  it("take no id that is in use, and any id again once deleted", async () => {
    await harness.runTask("c1");
    await exec("e1");
    await expect(exec("e1")).rejects.toMatchObject({ code: "AlreadyExists" });
    await harness.task("Delete", { id: "c1", execId: "e1" });
    await exec("e1");
    expect(await harness.task("State", { id: "c1", execId: "e1" })).toMatchObject({ status: 1 });
  });

  it("are refused with the reason", async () => {
    await harness.runTask("c1");
    await expect(exec("e/1")).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/exec_id is "e\/1"/),
    });
    await expect(exec("")).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/exec_id is missing/),
    });
    await expect(exec("c1")).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/exec_id must differ from the task's id/),
    });
    await expect(exec("e1", Buffer.from("{"))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/spec is not JSON/),
    });
    await expect(harness.task("Exec", { id: "c1", execId: "e1" })).rejects.toMatchObject({
      message: expect.stringMatching(/spec is missing/),
    });
    await expect(harness.task("Exec", { id: "no", execId: "e1" })).rejects.toMatchObject({ code: "NotFound" });
    await exec("e1");
  });

  it("end with their container, whose deletion first publishes their exits", async () => {
    await harness.runTask("c1");
    await exec("e1");
    await harness.task("Start", { id: "c1", execId: "e1" });
    await harness.task("Kill", { id: "c1", signal: 9, all: true });
    await harness.task("Delete", { id: "c1" });
    const all = await harness.topics(7);
    expect(all.slice(-3).sort()).toEqual(["/tasks/delete", "/tasks/exit", "/tasks/exit"]);
    expect(all.at(-1)).toBe("/tasks/delete");
  });
});

describe("tasks of one classic sandbox", () => {
  const member = (named: string) => ({ ...taskSpec, annotations: { "io.kubernetes.cri.sandbox-id": named } });

  it("share its VM, which ends with the sandbox's own task", async () => {
    await harness.runTask("c1");
    await harness.createTask("c2", {}, member("c1"));
    expect(harness.platform.sandboxes).toHaveLength(1);
    await harness.task("Delete", { id: "c2" });
    await harness.task("Shutdown", { id: "c2" });
    expect([harness.sandbox.stops, harness.ended]).toEqual([0, []]);
    await harness.task("Kill", { id: "c1", signal: 9 });
    await harness.task("Delete", { id: "c1" });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("are refused when they name a sandbox that this shim does not have", async () => {
    await expect(harness.createTask("c2", {}, member("other"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/annotations name sandbox other/),
    });
    await harness.runTask("c1");
    await expect(harness.createTask("c2", {}, member("other"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/this shim has c1/),
    });
    harness.sandbox.end(0);
    await expect(harness.createTask("c3")).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/sandbox c1 is stopped/),
    });
  });

  it("are all ended by a Shutdown with `now`", async () => {
    await harness.runTask("c1");
    await harness.createTask("c2", {}, member("c1"));
    await harness.task("Shutdown", { id: "c2", now: true });
    expect(harness.ended).toEqual([]);
    await harness.task("Shutdown", { id: "c1", now: true });
    expect([harness.ended.length, harness.sandbox.stops, harness.sandbox.containers().length]).toEqual([1, 1, 0]);
  });
});

describe("Connect and Pids", () => {
  it("name the init of an ended task until it is deleted, with containerd away meanwhile", async () => {
    await harness.runTask("c1");
    const pids = async () => (await harness.task("Pids", { id: "c1" })).processes.map(({ pid }) => pid);
    harness.container("c1").init.finish(3);
    await harness.task("Wait", { id: "c1" });
    expect(await pids()).toEqual([4000]);
    harness.container("c1").onGuestCall = async () => {
      throw new FakeError("FailedPrecondition", "list processes of container c1: it has ended");
    };
    expect(await pids()).toEqual([4000]);
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ pid: 4000, exitStatus: 3 });
  });

  it("answer for the shim's own id before any task exists, and for no other", async () => {
    expect(await harness.task("Connect", { id: "c1" })).toMatchObject({ shimPid: 77, taskPid: 0 });
    expect((await harness.task("Pids", { id: "c1" })).processes).toEqual([]);
    await expect(harness.task("Connect", { id: "other" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(harness.task("Pids", { id: "other" })).rejects.toMatchObject({ code: "NotFound" });
  });
});
