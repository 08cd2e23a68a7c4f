import { AsyncLocalStorage } from "node:async_hooks";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import type { TtrpcClient } from "@uvm-shim/ttrpc";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { containerd } from "../generated/messages.js";
import { posixSystem } from "../system/posix.ts";
import { FakeError } from "../testing/fake-platform.ts";
import { SandboxerBench as Bench } from "../testing/sandboxer-bench.ts";

const { Task } = containerd.task.v3;
let bench: Bench;
beforeEach(async () => {
  bench = new Bench();
  await bench.open();
});
afterEach(() => bench.close());

describe("a sandbox of containerd's controller API", () => {
  it("is created, started, found, stopped and shut down, and leaves nothing", async () => {
    expect(await bench.call("Create", { sandboxId: "s1" })).toEqual({ sandboxId: "s1" });
    const started = await bench.call("Start", { sandboxId: "s1" });
    expect(started).toMatchObject({ sandboxId: "s1", pid: 42, version: 3 });
    expect(started).toMatchObject({ address: expect.stringMatching(/^ttrpc\+unix:\/\/.*\/uvm-[0-9a-f]{32}$/) });
    expect(await bench.call("Status", { sandboxId: "s1" })).toMatchObject({
      ...{ state: "SANDBOX_READY", pid: 42, version: 3, address: (started as { address: string }).address },
    });
    const exit = bench.call("Wait", { sandboxId: "s1" });
    expect(await bench.call("Stop", { sandboxId: "s1", timeoutSecs: 5 })).toEqual({});
    expect(await exit).toMatchObject({ exitStatus: 0 });
    expect(await bench.call("Status", { sandboxId: "s1" })).toMatchObject({ state: "SANDBOX_NOTREADY" });
    await bench.call("Shutdown", { sandboxId: "s1" });
    expect(bench.left()).toEqual([]);
    expect(bench.platforms.every(({ closed }) => closed)).toBe(true);
  });

  it("is made from what containerd sends: annotations, network namespace, options, specification", async () => {
    const spec = { type_url: "spec", value: Buffer.from(JSON.stringify({ annotations: { a: "config" } })) };
    const runtime = { name: "io.containerd.fake.v2", options: { type_url: "options", value: Uint8Array.of(7) } };
    await bench.call("Create", {
      ...{ sandboxId: "s1", netnsPath: "/run/netns/x", annotations: { b: "request" } },
      sandbox: { sandboxId: "s1", spec, runtime },
    });
    expect(bench.sandbox("s1").request).toMatchObject({
      ...{ id: "s1", namespace: "k8s.io", bundle: path.join(bench.state, "k8s.io", "s1"), netnsPath: "/run/netns/x" },
      annotations: { a: "config", b: "request" },
      runtimeOptions: { typeUrl: "options", value: Uint8Array.of(7) },
      spec: { annotations: { a: "config" } },
    });
  });

  it("has a Task service of its own, which knows no other pod's tasks", async () => {
    const addresses = [];
    for (const id of ["s1", "s2"]) addresses.push(((await bench.run(id)) as { address: string }).address);
    const [one, other] = addresses.map((address) => bench.connect(address)) as [TtrpcClient, TtrpcClient];
    const bundle = path.join(bench.directory, "c1");
    mkdirSync(bundle);
    writeFileSync(path.join(bundle, "config.json"), JSON.stringify({ process: { args: ["true"] } }));
    await one.call(Task, "Create", { id: "c1", bundle });
    await one.call(Task, "Start", { id: "c1" });
    expect(await one.call(Task, "State", { id: "c1" })).toMatchObject({ id: "c1" });
    await expect(other.call(Task, "State", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    expect(readFileSync(path.join(bench.state, "k8s.io", "s1", "tasks"), "utf8")).toBe("c1\n");
    expect(existsSync(path.join(bench.state, "k8s.io", "s2", "tasks"))).toBe(false);
  });

  it("has a record of its own", async () => {
    const one = (await bench.run("s1")) as { address: string };
    const other = (await bench.run("s2")) as { address: string };
    await expect(bench.connect(one.address).call(Task, "State", { id: "in-s1" })).rejects.toThrow("in-s1");
    await expect(bench.connect(other.address).call(Task, "State", { id: "in-s2" })).rejects.toThrow("in-s2");
    const record = (id: string) => JSON.stringify(bench.record(id));
    await expect.poll(() => record("s1")).toContain("in-s1");
    await expect.poll(() => record("s2")).toContain("in-s2");
    expect(record("s1")).not.toContain("s2");
    expect(record("s2")).not.toContain("s1");
  });

  it("keeps namespaces apart", async () => {
    await bench.run("s1", "one");
    await bench.run("s1", "two");
    await bench.call("Shutdown", { sandboxId: "s1" }, "one");
    expect(await bench.call("Status", { sandboxId: "s1" }, "two")).toMatchObject({ state: "SANDBOX_READY" });
  });

  it("cannot be created twice, and its name is free once it is shut down", async () => {
    await bench.run("s1");
    await expect(bench.call("Create", { sandboxId: "s1" })).rejects.toMatchObject({ code: "AlreadyExists" });
    await bench.call("Shutdown", { sandboxId: "s1" });
    await bench.run("s1");
    expect(await bench.call("Status", { sandboxId: "s1" })).toMatchObject({ state: "SANDBOX_READY" });
  });

  it("is created once when two ask at the same time", async () => {
    const outcomes = await Promise.allSettled([
      bench.call("Create", { sandboxId: "s1" }),
      bench.call("Create", { sandboxId: "s1" }),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  it.each([
    ["Start", { sandboxId: "s1" }, "NotFound"],
    ["Wait", { sandboxId: "s1" }, "NotFound"],
    ["Status", { sandboxId: "s1" }, "NotFound"],
    ["Shutdown", { sandboxId: "s1" }, "NotFound"],
    ["Metrics", { sandboxId: "s1" }, "NotFound"],
    ["Update", { sandboxId: "s1" }, "NotFound"],
    ["Create", { sandboxId: "../s1" }, "InvalidArgument"],
    ["Create", { sandboxId: "" }, "InvalidArgument"],
  ] as const)("%s of %j is answered with %s", async (method, request, code) => {
    await expect(bench.call(method, request)).rejects.toMatchObject({ code });
    expect(bench.left()).toEqual([]);
  });

  it("that is gone counts as stopped", async () => {
    expect(await bench.call("Stop", { sandboxId: "s1" })).toEqual({});
  });

  it("leaves nothing when its creation or its start fails", async () => {
    bench.onPlatform = (platform) => {
      platform.onCreateSandbox = () => Promise.reject(new FakeError("ResourceExhausted", "no memory"));
    };
    await expect(bench.call("Create", { sandboxId: "s1" })).rejects.toMatchObject({ code: "ResourceExhausted" });
    bench.onPlatform = () => {};
    await bench.call("Create", { sandboxId: "s1" });
    bench.sandbox("s1").onStart = () => Promise.reject(new FakeError("Unavailable", "no kernel"));
    await expect(bench.call("Start", { sandboxId: "s1" })).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.sandbox("s1").state).toBe("stopped");
    await expect(bench.call("Status", { sandboxId: "s1" })).rejects.toMatchObject({ code: "NotFound" });
    expect(bench.left().filter((name) => !name.endsWith(".jsonl"))).toEqual([]);
  });

  const refuse = (what: string) => async () => {
    throw new FakeError("ResourceExhausted", what);
  };
  it.each<[string, (bench: Bench) => void]>([
    ["its bundle cannot be made", ({ state }) => writeFileSync(state, "a file, where a folder is expected")],
    [
      "its folder of sockets cannot be made",
      (bench) => {
        bench.system = { ...posixSystem, prepareSocket: refuse("no sockets") };
      },
    ],
    [
      "its socket cannot be listened at",
      (bench) => {
        bench.system = { ...posixSystem, listen: refuse("no descriptors") };
      },
    ],
    [
      "its VM cannot be created",
      (bench) => {
        bench.onPlatform = (platform) => {
          platform.onCreateSandbox = refuse("no memory");
        };
      },
    ],
  ])("is not there, and its name is free, where %s", async (_, spoil) => {
    spoil(bench);
    bench.begin();
    await expect(bench.call("Create", { sandboxId: "s1" })).rejects.toMatchObject({ code: expect.any(String) });
    await expect(bench.call("Status", { sandboxId: "s1" })).rejects.toMatchObject({ code: "NotFound" });
    const left = bench.left().filter((name) => !name.endsWith(".jsonl"));
    expect(left).toEqual([]);
    expect(bench.platforms.every(({ closed }) => closed)).toBe(true);
    rmSync(bench.state, { recursive: true, force: true });
    bench.system = posixSystem;
    bench.onPlatform = () => {};
    bench.begin();
    await bench.run("s1");
  });

  it("is measured", async () => {
    await bench.run("s1");
    expect(await bench.call("Metrics", { sandboxId: "s1" })).toMatchObject({ metrics: { id: "s1" } });
    await expect(bench.call("Update", { sandboxId: "s1", fields: ["labels"] })).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining("labels"),
    });
    expect(await bench.call("Platform", {})).toMatchObject({ platform: { os: "linux" } });
  });
});

describe("a sandboxer that comes after a crash", () => {
  it("ends the pods that are lost, reports the exits of their tasks, and serves new ones", async () => {
    await bench.run("s1");
    const bundle = path.join(bench.state, "k8s.io", "s1");
    writeFileSync(path.join(bundle, "tasks"), "c1\nc2\n");
    // This one is not really dead, and begins its record beside its other work: it must not remove what its successor adds.
    await vi.waitFor(() => expect(bench.record("s1")).not.toEqual([]));
    const before = bench.sandboxer;
    bench.begin();
    const { count, ended } = bench.sandboxer.takeOverLost();
    expect(count).toBe(1);
    const status = await bench.call("Status", { sandboxId: "s1" });
    expect(status).toMatchObject({ state: "SANDBOX_NOTREADY", exitedAt: expect.anything() });
    expect(await bench.call("Wait", { sandboxId: "s1" })).toMatchObject({ exitStatus: 137 });
    await bench.run("s2");
    await ended;
    expect(bench.platforms.flatMap(({ cleaned }) => cleaned)).toEqual([{ namespace: "k8s.io", id: "s1", bundle }]);
    expect(bench.events.topics).toEqual(["/tasks/exit", "/tasks/exit"]);
    const attributes = { pid: 77, wasRunning: false, withSandboxer: true };
    expect(bench.record("s1")).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: "header", by: "sandboxer", id: "s1", pid: 77 }),
        expect.objectContaining({ name: "shim lost", attributes }),
      ]),
    );
    await expect(bench.call("Start", { sandboxId: "s1" })).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(bench.call("Create", { sandboxId: "s1" })).rejects.toMatchObject({ code: "AlreadyExists" });
    expect(await bench.call("Stop", { sandboxId: "s1" })).toEqual({});
    await bench.call("Shutdown", { sandboxId: "s1" });
    expect(existsSync(bundle)).toBe(false);
    await before.drain("test");
  });

  it("ends the others where one cannot be read, and names it", async () => {
    await bench.run("s1");
    const before = bench.sandboxer;
    const bad = path.join(bench.state, "k8s.io", "bad");
    mkdirSync(path.join(bad, "tasks"), { recursive: true });
    bench.begin();
    const { count, ended } = bench.sandboxer.takeOverLost();
    await ended;
    expect(count).toBe(1);
    expect(bench.lines.filter((line) => line.includes("cannot read what an earlier sandboxer has left"))).toEqual([
      expect.stringContaining(bad),
    ]);
    await before.drain("test");
  });

  it("removes the sockets of the lost, which nobody serves", async () => {
    const { address } = (await bench.run("s1")) as { address: string };
    const bundle = path.join(bench.state, "k8s.io", "s1");
    const state = readFileSync(path.join(bundle, "uvm-shim.json"));
    await bench.sandboxer.drain("test");
    // As after a crash: both are there, and no process.
    const socket = address.replace("ttrpc+unix://", "");
    const dead = net.createServer().listen(socket);
    await new Promise((resolve) => dead.once("listening", resolve));
    renameSync(socket, `${socket}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    renameSync(`${socket}.kept`, socket);
    mkdirSync(bundle, { recursive: true });
    writeFileSync(path.join(bundle, "uvm-shim.json"), state);
    bench.begin();
    await bench.sandboxer.takeOverLost().ended;
    expect(existsSync(socket)).toBe(false);
  });

  it("says the same of a lost pod after another crash, and does not report its exits twice", async () => {
    await bench.run("s1");
    const before = bench.sandboxer;
    const bundle = path.join(bench.state, "k8s.io", "s1");
    writeFileSync(path.join(bundle, "tasks"), "c1\n");
    bench.begin();
    await bench.sandboxer.takeOverLost().ended;
    const first = await bench.call("Status", { sandboxId: "s1" });
    bench.begin();
    await bench.sandboxer.takeOverLost().ended;
    expect(await bench.call("Status", { sandboxId: "s1" })).toEqual(first);
    expect(bench.events.topics).toEqual(["/tasks/exit"]);
    await before.drain("test");
  });
});

describe("a pod of whose work an exception is not caught", () => {
  /** Two pods, and what ends the first: an exception in the context in which its VM was made. */
  async function twoPods() {
    let inContext: (work: () => boolean) => boolean = (work) => work();
    bench.onPlatform = (platform) => {
      platform.onCreateSandbox = async ({ id }) => {
        if (id === "s1") inContext = AsyncLocalStorage.snapshot();
      };
    };
    const [one, other] = [await bench.run("s1"), await bench.run("s2")] as { address: string }[];
    return { one, other, fail: (message: string) => inContext(() => bench.sandboxer.fail(new Error(message))) };
  }

  it("ends alone and is lost, which its log, its record and its exit say", async () => {
    const { one, other, fail } = await twoPods();
    writeFileSync(path.join(bench.state, "k8s.io", "s1", "tasks"), "c1\n");
    const exit = bench.call("Wait", { sandboxId: "s1" });
    const client = bench.connect(one?.address ?? "");
    await expect(client.call(Task, "State", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    const pending = client.call(containerd.runtime.sandbox.v1.Sandbox, "WaitSandbox", { sandboxId: "s1" });
    expect(fail("a bug")).toBe(true);
    await expect(pending).rejects.toMatchObject({ code: expect.stringMatching(/Unavailable|Cancelled/) });
    expect(await exit).toMatchObject({ exitStatus: 137 });
    expect(await bench.call("Status", { sandboxId: "s1" })).toMatchObject({ state: "SANDBOX_NOTREADY" });
    await expect.poll(() => bench.events.topics).toEqual(["/tasks/exit"]);
    expect(bench.platforms.flatMap(({ cleaned }) => cleaned)).toMatchObject([{ namespace: "k8s.io", id: "s1" }]);
    expect(bench.lines.filter((line) => line.includes("level=error"))).toEqual([
      expect.stringMatching(/msg="pod failed" namespace=k8s.io id=s1 error="a bug" stack=/),
    ]);
    expect(bench.record("s1").at(-1)).toMatchObject({ name: "shim crashed", attributes: { error: "a bug" } });
    await expect(bench.connect(other?.address ?? "").call(Task, "State", { id: "c1" })).rejects.toMatchObject({
      code: "NotFound",
    });
    expect(await bench.call("Status", { sandboxId: "s2" })).toMatchObject({ state: "SANDBOX_READY" });
    await bench.call("Shutdown", { sandboxId: "s1" });
    await bench.run("s1");
  });

  it("is ended once, however often its work fails, and after its end too", async () => {
    const { fail } = await twoPods();
    expect([fail("a bug"), fail("another")]).toEqual([true, true]);
    await bench.call("Shutdown", { sandboxId: "s1" });
    expect(fail("a late one")).toBe(true);
    expect(bench.lines.filter((line) => line.includes('msg="pod failed"'))).toHaveLength(1);
    expect(bench.left().filter((name) => name.includes("s1"))).toEqual(["s1.jsonl"]);
  });

  it("ends nothing where it was no pod's work", async () => {
    await bench.run("s1");
    expect(bench.sandboxer.fail(new Error("a bug"))).toBe(false);
    expect(await bench.call("Status", { sandboxId: "s1" })).toMatchObject({ state: "SANDBOX_READY" });
  });
});

describe("ending in order", () => {
  it("waits for a pod that is being created, and ends it too", async () => {
    const mayCreate = Promise.withResolvers<void>();
    bench.system = {
      ...posixSystem,
      prepareSocket: async (socket) => {
        await mayCreate.promise;
        await posixSystem.prepareSocket(socket);
      },
    };
    bench.begin();
    const created = bench.call("Create", { sandboxId: "s1" }).then(
      () => "created",
      () => "refused",
    );
    const drained = bench.sandboxer.drain("SIGTERM");
    mayCreate.resolve();
    await Promise.all([created, drained]);
    expect(bench.left().filter((name) => !name.endsWith(".jsonl"))).toEqual([]);
  });

  it("counts a pod that is ending as stopped", async () => {
    await bench.run("s1");
    const closing = bench.call("Shutdown", { sandboxId: "s1" });
    const stops = [];
    for (let turn = 0; turn < 5; turn++) {
      stops.push(bench.call("Stop", { sandboxId: "s1" }));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closing;
    expect(await Promise.all(stops)).toEqual(stops.map(() => ({})));
  });

  it("stops every pod and leaves nothing", async () => {
    await bench.run("s1");
    await bench.run("s2");
    await bench.sandboxer.drain("SIGTERM");
    expect(["s1", "s2"].map((id) => bench.sandbox(id).state)).toEqual(["stopped", "stopped"]);
    expect(bench.left()).toEqual([]);
    await expect(bench.call("Create", { sandboxId: "s3" })).rejects.toMatchObject({ code: "Unavailable" });
  });
});
