import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../../generated/messages.js";
import { FakeError } from "../../testing/fake-platform.ts";
import { exitedAt, Harness, taskSpec } from "../../testing/harness.ts";

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open();
});
afterEach(() => harness.close());

describe("a task without a sandbox", () => {
  it("gets a VM with its own id, runs, and ends the VM when it is deleted", async () => {
    const rootfs = [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }];
    const bundle = harness.bundle("c1", taskSpec);
    await harness.createTask("c1", { rootfs, stdin: "/in", stdout: "/out", stderr: "/err", terminal: true });
    expect(harness.sandbox.request).toMatchObject({
      id: "c1",
      namespace: "ns",
      bundle,
      spec: taskSpec,
      annotations: {},
    });
    expect(harness.sandbox.request.runtimeOptions).toEqual({ typeUrl: "options", value: Uint8Array.of(1) });
    expect(harness.sandbox.state).toBe("running");
    const { init, request } = harness.container("c1");
    const stdio = { stdin: "/in", stdout: "/out", stderr: "/err", terminal: true };
    expect(request).toEqual({
      id: "c1",
      onOutOfMemory: expect.any(Function),
      bundle,
      spec: taskSpec,
      rootfs: [{ type: "overlay", source: "overlay", options: ["lowerdir=/a"] }],
      stdio: { ...stdio, containerId: "c1" },
    });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ id: "c1", bundle, status: 1, pid: 0, ...stdio });
    expect(await harness.task("Start", { id: "c1" })).toMatchObject({ pid: 4000 });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({
      status: 2,
      pid: 4000,
      exitStatus: 0,
      exitedAt: null,
    });
    const wait = harness.task("Wait", { id: "c1" });
    init.finish(42);
    expect(await wait).toMatchObject({ exitStatus: 42, exitedAt });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: 3, exitStatus: 42, exitedAt });
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ pid: 4000, exitStatus: 42, exitedAt });
    expect(harness.sandbox.stops).toBe(1);
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual(["shutdown of c1"]);
    expect(await harness.topics(4)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
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

  it("behaves the same through version 2 of the service", async () => {
    const version2 = containerd.task.v2.Task;
    await harness.client.call(version2, "Create", { id: "c1", bundle: harness.bundle("c1", taskSpec) });
    await harness.client.call(version2, "Start", { id: "c1" });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: 2 });
    expect(await harness.client.call(version2, "Connect", { id: "c1" })).toMatchObject({
      shimPid: 77,
      taskPid: 4000,
      version: "1.2.3",
    });
  });

  it("publishes start before exit when the process ends within Start", async () => {
    await harness.createTask("c1");
    const { init } = harness.container("c1");
    init.onStart = async () => init.finish(0);
    await harness.task("Start", { id: "c1" });
    await harness.task("Delete", { id: "c1" });
    expect(await harness.topics(4)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  });

  it("leaves nothing behind when its container cannot be created", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onCreateContainer = async () => {
        throw new FakeError("InvalidArgument", "layer /x cannot be read");
      };
    };
    await expect(harness.createTask("c1")).rejects.toMatchObject({
      code: "InvalidArgument",
      message: "layer /x cannot be read",
    });
    expect(harness.sandbox.stops).toBe(1);
    await expect(harness.task("State", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toHaveLength(1);
    expect(harness.events.topics).toEqual([]);
  });

  it("leaves nothing behind when its VM does not start, and can be created again", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onStart = async () => {
        throw new FakeError("DeadlineExceeded", "the guest did not dial in");
      };
    };
    await expect(harness.createTask("c1")).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(/did not dial in/),
    });
    harness.platform.onCreateSandbox = async () => {};
    await harness.createTask("c1");
    expect(harness.sandbox.state).toBe("running");
  });

  it("reports why the platform cannot be loaded", async () => {
    harness.loadPlatform = async () => {
      throw new FakeError("Unavailable", "there is no host service");
    };
    await expect(harness.createTask("c1")).rejects.toMatchObject({
      code: "Unavailable",
      message: "there is no host service",
    });
  });

  it.each([
    [undefined, /config\.json does not exist/],
    ["{", /config\.json is not JSON/],
    ["[]", /config\.json is not a JSON object/],
    [{ annotations: [] }, /annotations is not an object of strings/],
    [{ annotations: { a: 1 } }, /annotations\["a"\] is 1, expected a string/],
  ])("needs a valid config.json, not %j", async (configuration, message) => {
    const bundle = harness.bundle("bad", configuration);
    await expect(harness.task("Create", { id: "bad", bundle })).rejects.toMatchObject({
      code: "InvalidArgument",
      message,
    });
    expect(harness.platform.sandboxes).toEqual([]);
  });

  it("refuses an id that is taken or could be a path", async () => {
    await harness.createTask("c1");
    await expect(harness.createTask("c1")).rejects.toMatchObject({ code: "AlreadyExists" });
    await expect(harness.task("Create", { id: "../c", bundle: "/" })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(harness.createTask("c2", { checkpoint: "/x" })).rejects.toMatchObject({ code: "Unimplemented" });
  });

  it("and its execs are reported as being created until they exist", async () => {
    const [begun, made, execBegun, execMade] = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    harness.platform.onCreateSandbox = () => {
      begun?.resolve();
      return made?.promise ?? Promise.resolve();
    };
    const create = harness.createTask("c1");
    await begun?.promise;
    await expect(harness.task("State", { id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/task c1 is being created/),
    });
    await expect(harness.createTask("c2")).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/create task c2: the sandbox is still being created/),
    });
    made?.resolve();
    await create;
    await harness.task("Start", { id: "c1" });
    const container = harness.container("c1");
    const createProcess = container.createProcess.bind(container);
    container.createProcess = async (request) => {
      execBegun?.resolve();
      await execMade?.promise;
      return await createProcess(request);
    };
    const spec = { typeUrl: "process", value: Buffer.from('{"args":["sh"],"cwd":"/"}') };
    const exec = harness.task("Exec", { id: "c1", execId: "e1", spec });
    await execBegun?.promise;
    await expect(harness.task("State", { id: "c1", execId: "e1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/exec e1 of task c1 is being created/),
    });
    execMade?.resolve();
    await exec;
    expect(await harness.task("State", { id: "c1", execId: "e1" })).toMatchObject({ execId: "e1", status: 1 });
  });

  it("is deleted once, however many calls ask for it", async () => {
    await harness.runTask("c1");
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/kill it first/),
    });
    harness.container("c1").init.finish(3);
    const gate = Promise.withResolvers<void>();
    harness.sandbox.onDeleteContainer = () => gate.promise;
    await expect(harness.task("Delete", { id: "c1" }, { timeoutMs: 20 })).rejects.toMatchObject({
      code: "DeadlineExceeded",
    });
    const again = Promise.all([harness.task("Delete", { id: "c1" }), harness.task("Delete", { id: "c1" })]);
    await harness.task("Connect", { id: "c1" });
    gate.resolve();
    const answers = [...(await again), await harness.task("Delete", { id: "c1" })];
    expect(answers.map(({ pid, exitStatus }) => [pid, exitStatus])).toEqual([
      [4000, 3],
      [4000, 3],
      [4000, 3],
    ]);
    expect(harness.sandbox.deletions).toBe(1);
    expect(await harness.task("Wait", { id: "c1" })).toMatchObject({ exitStatus: 3 });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({
      id: "c1",
      pid: 4000,
      status: containerd.v1.types.Status.STOPPED,
      exitStatus: 3,
    });
    await expect(harness.task("Kill", { id: "c1", signal: 9 })).rejects.toMatchObject({ code: "NotFound" });
  });

  it("resumes a failed deletion where it stopped: the container once, then its VM", async () => {
    await harness.runTask("c1");
    harness.container("c1").init.finish(0);
    harness.sandbox.onStop = async () => {
      throw new FakeError("Unavailable", "the host does not answer");
    };
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({ code: "Unavailable" });
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual([]);
    harness.sandbox.onStop = async () => {};
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: 0 });
    expect([harness.sandbox.deletions, harness.sandbox.stops]).toEqual([1, 2]);
  });

  describe("that loses nothing with its VM", () => {
    const order: string[] = [];
    beforeEach(async () => {
      order.length = 0;
      await harness.createTask("c1");
      harness.container("c1").canEndWithVm = true;
      harness.sandbox.onStop = async () => void order.push("stop");
      harness.sandbox.onDeleteContainer = async () => void order.push("release");
    });
    const started = async (): Promise<void> => void (await harness.task("Start", { id: "c1" }));
    const remove = () => harness.task("Delete", { id: "c1" });

    it("is released when the VM has ended, with the same events", async () => {
      await started();
      harness.container("c1").init.finish(42);
      expect(await remove()).toMatchObject({ pid: 4000, exitStatus: 42, exitedAt });
      expect(order).toEqual(["stop", "release", "stop"]);
      expect(await harness.topics(4)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    });

    it("keeps its VM while it runs", async () => {
      await started();
      await expect(remove()).rejects.toMatchObject({ message: expect.stringMatching(/kill it first/) });
      expect(order).toEqual([]);
    });

    it("is released first if it has never run", async () => {
      await remove();
      expect(order).toEqual(["release", "stop"]);
    });

    it("is released first while an exec of it is not over", async () => {
      await started();
      const spec = { typeUrl: "process", value: Buffer.from('{"args":["sh"],"cwd":"/"}') };
      await harness.task("Exec", { id: "c1", execId: "e1", spec });
      await harness.task("Start", { id: "c1", execId: "e1" });
      harness.container("c1").init.finish(0);
      await remove();
      expect(order).toEqual(["release", "stop"]);
    });

    it("is released first while there is another container in its VM", async () => {
      await started();
      await harness.runMember("c2", "c1");
      harness.container("c1").init.finish(0);
      await remove();
      expect(order).toEqual(["release", "stop"]);
    });

    it("can have its deletion repeated when the VM could not be ended", async () => {
      await started();
      harness.container("c1").init.finish(3);
      harness.sandbox.onStop = async () => {
        throw new FakeError("Unavailable", "the host does not answer");
      };
      await expect(remove()).rejects.toMatchObject({ code: "Unavailable" });
      expect(order).toEqual([]);
      harness.sandbox.onStop = async () => void order.push("stop");
      expect(await remove()).toMatchObject({ exitStatus: 3 });
      expect(order).toEqual(["stop", "release", "stop"]);
    });
  });

  it("completes its waiters when it is deleted without having run, without an exit", async () => {
    await harness.createTask("c1");
    const wait = harness.task("Wait", { id: "c1" });
    await harness.task("Delete", { id: "c1" });
    expect(await wait).toMatchObject({ exitStatus: 255 });
    expect(await harness.topics(2)).toEqual(["/tasks/create", "/tasks/delete"]);
  });

  it("has no exit when it failed to start", async () => {
    await harness.createTask("c1");
    const { init } = harness.container("c1");
    init.onStart = async () => {
      init.finish(255);
      throw new FakeError("NotFound", 'exec: "nosuch": executable file not found in $PATH');
    };
    await expect(harness.task("Start", { id: "c1" })).rejects.toMatchObject({
      message: expect.stringMatching(/nosuch/),
    });
    await harness.task("Delete", { id: "c1" });
    expect(await harness.topics(2)).toEqual(["/tasks/create", "/tasks/delete"]);
  });

  it("is started once", async () => {
    await harness.runTask("c1");
    await expect(harness.task("Start", { id: "c1" })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/was already started/),
    });
    await harness.topics(2);
  });

  it("exits with 255 when its VM dies or is lost", async () => {
    await harness.runTask("c1");
    const wait = harness.task("Wait", { id: "c1" });
    harness.sandbox.end(1);
    expect(await wait).toMatchObject({ exitStatus: 255 });
    expect((await harness.topics(3)).at(-1)).toBe("/tasks/exit");
    expect(await harness.task("Delete", { id: "c1" })).toMatchObject({ exitStatus: 255 });
  });

  it("publishes an exit for a process that its platform lost", async () => {
    await harness.runTask("c1");
    harness.container("c1").init.lose(new Error("bridge closed"));
    expect((await harness.topics(3)).at(-1)).toBe("/tasks/exit");
    expect(harness.events.received.at(-1)?.fields).toMatchObject({ exitStatus: 255 });
  });
});
