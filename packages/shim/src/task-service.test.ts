import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "./generated/messages.js";
import { FakeError } from "./testing/fake-platform.ts";
import { Harness } from "./testing/harness.ts";

const { Task } = containerd.task.v3;
const spec = { ociVersion: "1.0.2", process: { args: ["true"] } };
const exitedAt = { seconds: Date.parse("2026-01-02T03:04:05.678Z") / 1000 - 0.678, nanos: 678_000_000 };

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open();
});
afterEach(() => harness.close());

type Methods = typeof Task.methods;
type Input<M extends keyof Methods> = Parameters<Methods[M]["request"]["encode"]>[0];
const call = <M extends keyof Methods & string>(method: M, request: Input<M>, options = {}) =>
  harness.client.call(Task, method, request as never, options) as Promise<ReturnType<Methods[M]["response"]["decode"]>>;

const create = (id: string, more: Input<"Create"> = {}, configuration: object | string | undefined = spec) =>
  call("Create", { id, bundle: harness.bundle(id, configuration), ...more });

const run = async (id: string): Promise<void> => {
  await create(id);
  await call("Start", { id });
};

const topics = (count: number) =>
  expect
    .poll(() => harness.events.topics.length)
    .toBe(count)
    .then(() => harness.events.topics);

describe("a task without a sandbox", () => {
  it("gets a VM of its own id, runs, and takes it along when it is deleted", async () => {
    const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
    const bundle = harness.bundle("c1", spec);
    await create("c1", { rootfs, stdin: "/in", stdout: "/out", stderr: "/err", terminal: true });
    expect(harness.sandbox.request).toMatchObject({ id: "c1", namespace: "ns", bundle, spec, annotations: {} });
    expect(harness.sandbox.request.runtimeOptions).toEqual({ typeUrl: "options", value: Uint8Array.of(1) });
    expect(harness.sandbox.state).toBe("running");
    const { init, request } = harness.container("c1");
    const stdio = { stdin: "/in", stdout: "/out", stderr: "/err", terminal: true };
    expect(request).toEqual({
      id: "c1",
      bundle,
      spec,
      rootfs: [{ type: "overlay", source: "overlay", options: ["lowerdir=/a"] }],
      stdio: { ...stdio, containerId: "c1" },
    });
    expect(await call("State", { id: "c1" })).toMatchObject({ id: "c1", bundle, status: 1, pid: 0, ...stdio });
    expect(await call("Start", { id: "c1" })).toMatchObject({ pid: 4000 });
    expect(await call("State", { id: "c1" })).toMatchObject({ status: 2, pid: 4000, exitStatus: 0, exitedAt: null });
    const wait = call("Wait", { id: "c1" });
    init.finish(42);
    expect(await wait).toMatchObject({ exitStatus: 42, exitedAt });
    expect(await call("State", { id: "c1" })).toMatchObject({ status: 3, exitStatus: 42, exitedAt });
    expect(await call("Delete", { id: "c1" })).toMatchObject({ pid: 4000, exitStatus: 42, exitedAt });
    expect(harness.sandbox.stops).toBe(1);
    await call("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual(["shutdown of c1"]);
    expect(await topics(4)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    expect(harness.events.received.map(({ fields }) => fields)).toEqual([
      {
        containerId: "c1",
        bundle,
        rootfs: [{ type: "overlay", source: "overlay", options: ["lowerdir=/a"] }],
        io: stdio,
      },
      { containerId: "c1", pid: 4000 },
      { containerId: "c1", id: "c1", pid: 4000, exitStatus: 42, exitedAt },
      { containerId: "c1", pid: 4000, exitStatus: 42, exitedAt },
    ]);
    expect(harness.events.received.every(({ namespace }) => namespace === "ns")).toBe(true);
  });

  it("is the same through version 2 of the service", async () => {
    const version2 = containerd.task.v2.Task;
    await harness.client.call(version2, "Create", { id: "c1", bundle: harness.bundle("c1", spec) });
    await harness.client.call(version2, "Start", { id: "c1" });
    expect(await call("State", { id: "c1" })).toMatchObject({ status: 2 });
    expect(await harness.client.call(version2, "Connect", { id: "c1" })).toMatchObject({
      shimPid: 77,
      taskPid: 4000,
      version: "1.2.3",
    });
  });

  it("publishes start before exit when the process ends within Start", async () => {
    await create("c1");
    const { init } = harness.container("c1");
    init.onStart = async () => init.finish(0);
    await call("Start", { id: "c1" });
    await call("Delete", { id: "c1" });
    expect(await topics(4)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  });

  it("leaves nothing when its container cannot be created", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onCreateContainer = async () => {
        throw new FakeError("InvalidArgument", "layer /x cannot be read");
      };
    };
    await expect(create("c1")).rejects.toMatchObject({ code: "InvalidArgument", message: "layer /x cannot be read" });
    expect(harness.sandbox.stops).toBe(1);
    await expect(call("State", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(call("Delete", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await call("Shutdown", { id: "c1" });
    expect(harness.ended).toHaveLength(1);
    expect(harness.events.topics).toEqual([]);
  });

  it("leaves nothing when its VM does not start, and may be created again", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onStart = async () => {
        throw new FakeError("DeadlineExceeded", "the guest did not dial in");
      };
    };
    await expect(create("c1")).rejects.toMatchObject({ code: "DeadlineExceeded", message: /did not dial in/ });
    harness.platform.onCreateSandbox = async () => {};
    await create("c1");
    expect(harness.sandbox.state).toBe("running");
  });

  it("is told why the platform cannot be loaded", async () => {
    harness.loadPlatform = async () => {
      throw new FakeError("Unavailable", "there is no host service");
    };
    await expect(create("c1")).rejects.toMatchObject({ code: "Unavailable", message: "there is no host service" });
  });

  it.each([
    [undefined, /config\.json does not exist/],
    ["{", /config\.json is not JSON/],
    ["[]", /config\.json is not a JSON object/],
    [{ annotations: [] }, /annotations is not an object of strings/],
    [{ annotations: { a: 1 } }, /annotations\["a"\] is 1; a string is accepted/],
  ])("needs a config.json that can be understood, not %j", async (configuration, message) => {
    const bundle = harness.bundle("bad", configuration);
    await expect(call("Create", { id: "bad", bundle })).rejects.toMatchObject({ code: "InvalidArgument", message });
    expect(harness.platform.sandboxes).toEqual([]);
  });

  it("takes no id twice, and no id that could be a path", async () => {
    await create("c1");
    await expect(create("c1")).rejects.toMatchObject({ code: "AlreadyExists" });
    await expect(call("Create", { id: "../c", bundle: "/" })).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(create("c2", { checkpoint: "/x" })).rejects.toMatchObject({ code: "Unimplemented" });
  });

  it("is deleted once however often it is asked for, and by whom", async () => {
    await run("c1");
    await expect(call("Delete", { id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: /kill it first/,
    });
    harness.container("c1").init.finish(3);
    const gate = Promise.withResolvers<void>();
    harness.sandbox.onDeleteContainer = () => gate.promise;
    await expect(call("Delete", { id: "c1" }, { timeoutMs: 20 })).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const again = Promise.all([call("Delete", { id: "c1" }), call("Delete", { id: "c1" })]);
    await call("Connect", { id: "c1" });
    gate.resolve();
    const answers = [...(await again), await call("Delete", { id: "c1" })];
    expect(answers.map(({ pid, exitStatus }) => [pid, exitStatus])).toEqual([
      [4000, 3],
      [4000, 3],
      [4000, 3],
    ]);
    expect(harness.sandbox.deletions).toBe(1);
    expect(await call("Wait", { id: "c1" })).toMatchObject({ exitStatus: 3 });
    await expect(call("State", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(call("Kill", { id: "c1", signal: 9 })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("goes on where a deletion failed: the container once, then its VM", async () => {
    await run("c1");
    harness.container("c1").init.finish(0);
    harness.sandbox.onStop = async () => {
      throw new FakeError("Unavailable", "the host does not answer");
    };
    await expect(call("Delete", { id: "c1" })).rejects.toMatchObject({ code: "Unavailable" });
    await call("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual([]);
    harness.sandbox.onStop = async () => {};
    expect(await call("Delete", { id: "c1" })).toMatchObject({ exitStatus: 0 });
    expect([harness.sandbox.deletions, harness.sandbox.stops]).toEqual([1, 2]);
  });

  it("completes its waiters when it is deleted without having run, without an exit", async () => {
    await create("c1");
    const wait = call("Wait", { id: "c1" });
    await call("Delete", { id: "c1" });
    expect(await wait).toMatchObject({ exitStatus: 255 });
    expect(await topics(2)).toEqual(["/tasks/create", "/tasks/delete"]);
  });

  it("has no exit when it could not be started", async () => {
    await create("c1");
    const { init } = harness.container("c1");
    init.onStart = async () => {
      init.finish(255);
      throw new FakeError("NotFound", 'exec: "nosuch": executable file not found in $PATH');
    };
    await expect(call("Start", { id: "c1" })).rejects.toMatchObject({ message: /nosuch/ });
    await call("Delete", { id: "c1" });
    expect(await topics(2)).toEqual(["/tasks/create", "/tasks/delete"]);
  });

  it("is started once", async () => {
    await run("c1");
    await expect(call("Start", { id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: /started already/,
    });
    await topics(2);
  });

  it("exits with 255 when its VM dies, and when it is lost altogether", async () => {
    await run("c1");
    const wait = call("Wait", { id: "c1" });
    harness.sandbox.end(1);
    expect(await wait).toMatchObject({ exitStatus: 255 });
    expect((await topics(3)).at(-1)).toBe("/tasks/exit");
    expect(await call("Delete", { id: "c1" })).toMatchObject({ exitStatus: 255 });
  });

  it("publishes an exit for a process that its platform lost", async () => {
    await run("c1");
    harness.container("c1").init.lose(new Error("bridge closed"));
    expect((await topics(3)).at(-1)).toBe("/tasks/exit");
    expect(harness.events.received.at(-1)?.fields).toMatchObject({ exitStatus: 255 });
  });
});

describe("signals, terminals and input", () => {
  it("reaches the process, all processes, or says that they have finished", async () => {
    await run("c1");
    await call("Kill", { id: "c1", signal: 10 });
    expect(harness.container("c1").init.signals).toEqual([10]);
    await expect(call("Kill", { id: "c1", signal: 65 })).rejects.toMatchObject({ code: "InvalidArgument" });
    await call("Kill", { id: "c1", signal: 9, all: true });
    expect(harness.container("c1").killedAll).toEqual([9]);
    const late = { code: "NotFound", message: /process already finished/ };
    await expect(call("Kill", { id: "c1", signal: 9 })).rejects.toMatchObject(late);
    await expect(call("Kill", { id: "none", signal: 9 })).rejects.toMatchObject({ code: "NotFound" });
    await expect(call("Kill", { id: "c1", execId: "none", signal: 9 })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("takes a process that ends under a signal for finished", async () => {
    await run("c1");
    const { init } = harness.container("c1");
    init.kill = async () => {
      init.finish(0);
      throw new FakeError("Unavailable", "connection closed");
    };
    await expect(call("Kill", { id: "c1", signal: 1 })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("resizes and closes, and quietly does nothing after the exit", async () => {
    await run("c1");
    const { init } = harness.container("c1");
    await call("ResizePty", { id: "c1", width: 80, height: 25 });
    await call("CloseIO", { id: "c1", stdin: false });
    expect(init.stdinClosed).toBe(false);
    await call("CloseIO", { id: "c1", stdin: true });
    expect([init.sizes, init.stdinClosed]).toEqual([[[80, 25]], true]);
    init.finish(0);
    await call("ResizePty", { id: "c1", width: 1, height: 1 });
    await call("CloseIO", { id: "c1", stdin: true });
    expect(init.sizes).toHaveLength(1);
  });

  it.each(["Pause", "Resume", "Checkpoint", "Stats", "Update"] as const)(
    "says that %s is not supported",
    async (method) => {
      await expect(call(method, { id: "c1" })).rejects.toMatchObject({
        code: "Unimplemented",
        message: new RegExp(method),
      });
    },
  );
});

describe("execs", () => {
  const exec = (execId: string, value = Buffer.from('{"args":["ls"],"cwd":"/"}')) =>
    call("Exec", { id: "c1", execId, stdout: "/o", spec: { type_url: "process", value } });

  it("run, exit and are deleted by themselves", async () => {
    await run("c1");
    await exec("e1");
    expect(harness.container("c1").specs).toEqual([{ args: ["ls"], cwd: "/" }]);
    expect(await call("State", { id: "c1", execId: "e1" })).toMatchObject({ execId: "e1", stdout: "/o", status: 1 });
    expect(await call("Start", { id: "c1", execId: "e1" })).toMatchObject({ pid: 4002 });
    const pids = await call("Pids", { id: "c1" });
    expect(pids.processes.map(({ pid, info }) => [pid, info?.type_url])).toEqual([
      [4000, undefined],
      [4002, "containerd.runc.v1.ProcessDetails"],
    ]);
    await expect(call("Delete", { id: "c1", execId: "e1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
    const wait = call("Wait", { id: "c1", execId: "e1" });
    harness.container("c1").process("e1")?.finish(7);
    expect(await wait).toMatchObject({ exitStatus: 7 });
    const deleted = { pid: 4002, exitStatus: 7, exitedAt };
    expect(await call("Delete", { id: "c1", execId: "e1" })).toMatchObject(deleted);
    expect(await call("Delete", { id: "c1", execId: "e1" })).toMatchObject(deleted);
    expect(await topics(5)).toEqual([
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

  it("take no id twice while it is in use, and any again once deleted", async () => {
    await run("c1");
    await exec("e1");
    await expect(exec("e1")).rejects.toMatchObject({ code: "AlreadyExists" });
    await call("Delete", { id: "c1", execId: "e1" });
    await exec("e1");
    expect(await call("State", { id: "c1", execId: "e1" })).toMatchObject({ status: 1 });
  });

  it("name what is wrong with them", async () => {
    await run("c1");
    await expect(exec("e/1")).rejects.toMatchObject({ code: "InvalidArgument", message: /exec_id is "e\/1"/ });
    await expect(exec("")).rejects.toMatchObject({ code: "InvalidArgument", message: /exec_id is missing/ });
    await expect(exec("e1", Buffer.from("{"))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: /spec is not JSON/,
    });
    await expect(call("Exec", { id: "c1", execId: "e1" })).rejects.toMatchObject({ message: /spec is missing/ });
    await expect(call("Exec", { id: "no", execId: "e1" })).rejects.toMatchObject({ code: "NotFound" });
    await exec("e1");
  });

  it("end with their container, whose deletion publishes their exits first", async () => {
    await run("c1");
    await exec("e1");
    await call("Start", { id: "c1", execId: "e1" });
    await call("Kill", { id: "c1", signal: 9, all: true });
    await call("Delete", { id: "c1" });
    const all = await topics(7);
    expect(all.slice(-3).sort()).toEqual(["/tasks/delete", "/tasks/exit", "/tasks/exit"]);
    expect(all.at(-1)).toBe("/tasks/delete");
  });
});

describe("tasks of one classic sandbox", () => {
  const member = (named: string) => ({ ...spec, annotations: { "io.kubernetes.cri.sandbox-id": named } });

  it("share its VM, which ends with the sandbox's own task", async () => {
    await run("c1");
    await create("c2", {}, member("c1"));
    expect(harness.platform.sandboxes).toHaveLength(1);
    await call("Delete", { id: "c2" });
    await call("Shutdown", { id: "c2" });
    expect([harness.sandbox.stops, harness.ended]).toEqual([0, []]);
    await call("Kill", { id: "c1", signal: 9 });
    await call("Delete", { id: "c1" });
    expect(harness.sandbox.stops).toBe(1);
  });

  it("are refused when they name a sandbox that this shim has not", async () => {
    await expect(create("c2", {}, member("other"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: /names sandbox other/,
    });
    await run("c1");
    await expect(create("c2", {}, member("other"))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: /this shim has c1/,
    });
    harness.sandbox.end(0);
    await expect(create("c3")).rejects.toMatchObject({ code: "FailedPrecondition", message: /sandbox c1 is stopped/ });
  });

  it("are all ended by a Shutdown that may not wait", async () => {
    await run("c1");
    await create("c2", {}, member("c1"));
    await call("Shutdown", { id: "c2", now: true });
    expect(harness.ended).toEqual([]);
    await call("Shutdown", { id: "c1", now: true });
    expect([harness.ended.length, harness.sandbox.stops, harness.sandbox.containers().length]).toEqual([1, 1, 0]);
  });
});

describe("Connect and Pids", () => {
  it("answer for the shim's own id before there is anything, and for no other", async () => {
    expect(await call("Connect", { id: "c1" })).toMatchObject({ shimPid: 77, taskPid: 0 });
    expect((await call("Pids", { id: "c1" })).processes).toEqual([]);
    await expect(call("Connect", { id: "other" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(call("Pids", { id: "other" })).rejects.toMatchObject({ code: "NotFound" });
  });
});
