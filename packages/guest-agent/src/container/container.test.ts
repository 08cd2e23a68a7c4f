import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GuestFault, type NotificationType } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters, OciProcess, OciSpec, OciUser } from "@uvm-shim/hcs-schema";
import type { ProcessExit } from "@uvm-shim/linux-calls";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StdioRelay } from "../process/stdio-relay.ts";
import { Container } from "./container.ts";
import type { OciRuntime } from "./runtime.ts";

const silent: LinuxProcessParameters = {
  EmulateConsole: false,
  CreateStdInPipe: false,
  CreateStdOutPipe: false,
  CreateStdErrPipe: false,
};
const none = new AbortController().signal;
const noDial = () => Promise.reject(new Error("unexpected dial"));
// Above every pid that the kernel assigns, so that signals of these tests reach no process.
const unusedPid = 0x7ffffffe;

let initPid: number;
let folder: string;
let calls: string[];
let exits: NotificationType[];
let errors: string[];
let endInit: (exit: ProcessExit) => void;
let failure: { readonly at: string; readonly error: Error } | undefined;
let hang: Promise<void> | undefined;
let group: number[];
let executed: OciProcess | undefined;

beforeEach(() => {
  initPid = unusedPid;
  folder = mkdtempSync(join(tmpdir(), "guest-agent-"));
  calls = [];
  exits = [];
  errors = [];
  failure = undefined;
  hang = undefined;
  group = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

async function step(name: string, signal?: AbortSignal): Promise<void> {
  calls.push(name);
  if (failure?.at === name) throw failure.error;
  if (hang === undefined || signal === undefined) return;
  await Promise.race([
    hang,
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
  ]);
}

const runtime: OciRuntime = {
  update: async (id, resources, signal) => await step(`update ${id} ${JSON.stringify(resources)}`, signal),
  create: async (_id, _bundle, _terminal, _stdio, signal) => {
    await step("create", signal);
    const exit = new Promise<ProcessExit>((resolve) => {
      endInit = resolve;
    });
    return { pid: initPid, exit, terminal: undefined };
  },
  start: (_id, signal) => step("start", signal),
  exec: async (_id, process: OciProcess) => {
    executed = process;
    await step(`exec ${process.args?.join(" ")}`);
    return {
      pid: initPid - 1,
      exit: Promise.resolve({ exited: true, exitCode: 3, signal: undefined }),
      terminal: undefined,
    };
  },
  freeze: (id, isFrozen, signal) => step(`${isFrozen ? "freeze" : "thaw"} ${id}`, signal),
  remove: () => step("remove"),
};

function makeContainer(more: Partial<OciSpec> = {}, user?: OciUser): Container {
  const spec = { ociVersion: "1.0.2", root: { path: "/x" }, process: { args: ["true"], cwd: "/" }, ...more };
  return new Container(
    "box",
    { bundle: join(folder, "bundle"), scratch: join(folder, "scratch"), sandboxRoot: undefined },
    { spec, outputCopy: undefined, user },
    {
      runtime,
      facts: {
        capabilities: new Set(),
        hardLimits: new Map(),
        oomScoreAdj: 0,
        hasAppArmor: false,
        hasSelinux: false,
      },
      group: {
        processes: () => group,
        lift: () => {},
        metrics: () => ({ LCOWMetrics: { pids: { current: group.length } } }),
        remove: () => {
          calls.push("remove group");
        },
      },
      onExit: (type) => exits.push(type),
      onError: (what, error) => errors.push(`${what}: ${String(error)}`),
    },
  );
}

async function createdContainer(): Promise<Container> {
  const container = makeContainer();
  expect(await container.create()).toBe(initPid);
  return container;
}

const relay = () => StdioRelay.connect(silent, {}, noDial, none);
const end = (exitCode: number) => endInit({ exited: true, exitCode, signal: undefined });

describe("a container", () => {
  it("is created, runs, runs an exec, ends and is deleted", async () => {
    mkdirSync(join(folder, "scratch", "upper"), { recursive: true });
    const container = await createdContainer();
    const init = await container.execute(silent, await relay(), none);
    expect(container.state).toBe("Running");
    const written = JSON.parse(readFileSync(join(folder, "bundle", "config.json"), "utf8")) as object;
    expect(written).toMatchObject({ root: { path: "/x" }, process: { args: ["true"] } });
    const OCIProcess = { args: ["more"], cwd: "/" };
    const added = await container.execute({ ...silent, OCIProcess }, await relay(), none);
    expect(await added.exit).toBe(3);
    expect(() => added.signal(15)).toThrow("does not exist");
    await expect(container.delete()).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining("cannot delete the state of container box"),
    });
    end(42);
    expect(await init.exit).toBe(42);
    expect(existsSync(join(folder, "scratch"))).toBe(true);
    expect(await init.reported).toBe(42);
    expect(exits).toEqual([]);
    init.hasAnswered();
    await init.answered;
    expect(exits).toEqual(["UnexpectedExit"]);
    expect(container.metrics()).toEqual({ LCOWMetrics: { pids: { current: 0 } } });
    await container.delete();
    expect(existsSync(join(folder, "scratch"))).toBe(false);
    expect(container.state).toBe("Stopped");
    expect(calls).toEqual(["create", "start", "exec more", "remove", "remove group"]);
    expect(errors).toEqual([]);
    await expect(container.execute(silent, await relay(), none)).rejects.toThrow("is Stopped");
  });

  it("leaves nothing when the runtime fails to create it", async () => {
    failure = { at: "create", error: new GuestFault("E_FAIL", "the runtime's own words") };
    const container = makeContainer();
    await expect(container.create()).rejects.toThrow("the runtime's own words");
    expect(calls).toEqual(["create", "remove", "remove group"]);
    expect(container.state).toBe("Stopped");
    expect(existsSync(join(folder, "bundle"))).toBe(false);
  });

  it("leaves nothing when the runtime fails to start it", async () => {
    failure = { at: "start", error: new GuestFault("E_FAIL", "the runtime's own words") };
    const container = await createdContainer();
    await expect(container.execute(silent, await relay(), none)).rejects.toThrow("the runtime's own words");
    expect(calls.slice(-2)).toEqual(["remove", "remove group"]);
    expect(container.state).toBe("Stopped");
    await container.delete();
  });

  it("reports state that could not be removed, and is stopped all the same", async () => {
    failure = { at: "remove", error: new Error("busy") };
    const container = await createdContainer();
    const init = await container.execute(silent, await relay(), none);
    end(0);
    await init.exit;
    await container.delete();
    expect(errors).toEqual(["cannot remove all state of container box: Error: busy"]);
  });

  it("interrupts a start that hangs when it is shut down", async () => {
    const container = await createdContainer();
    hang = new Promise(() => {});
    const started = container.execute(silent, await relay(), none);
    started.catch(() => {});
    expect(container.state).toBe("Starting");
    await expect(container.delete()).rejects.toThrow("is Starting");
    await container.shutdown(9);
    await expect(started).rejects.toMatchObject({ hresultName: "HCS_E_TERMINATED_DURING_START" });
    await expect(container.shutdown(9)).rejects.toMatchObject({ hresultName: "HCS_E_SYSTEM_ALREADY_STOPPED" });
  });

  it("killed before its start sends no notification", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    const died = new Promise((resolve) => child.once("exit", resolve));
    initPid = child.pid ?? 0;
    const container = await createdContainer();
    const OCIProcess = { args: ["more"], cwd: "/" };
    await expect(container.execute({ ...silent, OCIProcess }, await relay(), none)).rejects.toThrow("is Created");
    await container.shutdown(9);
    await died;
    end(137);
    await vi.waitFor(() => expect(container.state).toBe("Stopped"));
    await container.delete();
    expect(exits).toEqual([]);
    expect(calls).toEqual(["create", "remove", "remove group"]);
  });

  it("that never ran can be deleted", async () => {
    const container = await createdContainer();
    await container.delete();
    expect(container.state).toBe("Stopped");
    expect(exits).toEqual([]);
    expect(calls).toEqual(["create", "remove", "remove group"]);
  });

  it("runs execs with its rlimits, and as its user if that was given by name", async () => {
    const rlimits = [{ type: "RLIMIT_CORE", hard: 2, soft: 1 }];
    const container = makeContainer({ process: { args: ["true"], cwd: "/", rlimits } }, { uid: 7, gid: 8 });
    await container.create();
    await container.execute(silent, await relay(), none);
    const OCIProcess = { args: ["more"], cwd: "/", user: { uid: 1, gid: 1 }, rlimits: [] };
    await container.execute({ ...silent, OCIProcess }, await relay(), none);
    expect(executed).toMatchObject({ rlimits, user: { uid: 7, gid: 8 } });
  });

  it("kills what its init leaves running", async () => {
    const container = await createdContainer();
    const init = await container.execute(silent, await relay(), none);
    group = [initPid - 2];
    expect(container.processIds()).toEqual([initPid - 2]);
    // The host can signal only what it started.
    expect(() => container.signal(initPid - 2, 15)).toThrow("does not exist");
    expect(() => container.signal(1, 15)).toThrow("process 1 does not exist");
    end(0);
    await init.exit;
    await container.delete();
    expect(errors).toEqual([]);
    expect(container.processIds()).toEqual([]);
  });

  it("has metrics once it is created, and can be limited only while it runs", async () => {
    const container = await createdContainer();
    const resources = { memory: { limit: 4096 } };
    group = [initPid];
    expect(container.processIds()).toEqual([initPid]);
    expect(container.metrics()).toEqual({ LCOWMetrics: { pids: { current: 1 } } });
    await expect(container.update(resources, none)).rejects.toThrow(
      "cannot change its limits: container box is Created, expected Running",
    );
    await container.execute(silent, await relay(), none);
    group = [1, 2];
    expect(container.metrics()).toEqual({ LCOWMetrics: { pids: { current: 2 } } });
    await container.update(resources, none);
    expect(calls.at(-1)).toBe('update box {"memory":{"limit":4096}}');
    failure = { at: 'update box {"memory":{"limit":1}}', error: new GuestFault("E_FAIL", "the runtime's own words") };
    await expect(container.update({ memory: { limit: 1 } }, none)).rejects.toThrow("the runtime's own words");
    expect(container.state).toBe("Running");
    group = [];
    end(0);
    await container.delete().catch(() => {});
  });

  it("is paused and resumed while it runs, and thawed before it is killed", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    const died = new Promise((resolve) => child.once("exit", resolve));
    initPid = child.pid ?? 0;
    const container = await createdContainer();
    await expect(container.freeze(true, none)).rejects.toThrow(
      "cannot pause it: container box is Created, expected Running",
    );
    await container.execute(silent, await relay(), none);
    await expect(container.freeze(false, none)).rejects.toThrow("is not paused");
    await container.freeze(true, none);
    await expect(container.freeze(true, none)).rejects.toThrow("is already paused");
    await container.freeze(false, none);
    await container.freeze(true, none);
    expect(calls.slice(2)).toEqual(["freeze box", "thaw box", "freeze box"]);
    container.signal(initPid, 15);
    expect(calls.slice(5)).toEqual([]);
    await container.shutdown(9);
    expect(calls.slice(5)).toEqual(["thaw box"]);
    await died;
    end(137);
    await container.delete().catch(() => {});
  });

  it.each<[NotificationType, readonly number[]]>([
    ["UnexpectedExit", []],
    ["UnexpectedExit", [1, 28]],
    ["GracefulExit", [15]],
    ["ForcedExit", [15, 9]],
    ["GracefulExit", [9, 15, 10]],
  ])("sends the notification %s if its init ends after the signals %j", async (type, signals) => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    initPid = child.pid ?? 0;
    const container = await createdContainer();
    const init = await container.execute(silent, await relay(), none);
    for (const signal of signals) container.signal(initPid, signal);
    end(0);
    await init.reported;
    init.hasAnswered();
    await init.answered;
    expect(exits).toEqual([type]);
    child.kill("SIGKILL");
  });

  it("forgets an exec once its exit was answered, but not the init", async () => {
    const container = await createdContainer();
    const init = await container.execute(silent, await relay(), none);
    const OCIProcess = { args: ["more"], cwd: "/" };
    const added = await container.execute({ ...silent, OCIProcess }, await relay(), none);
    await added.reported;
    expect(container.processes.get(added.pid)).toBe(added);
    end(0);
    await init.reported;
    for (const process of [added, init]) process.hasAnswered();
    await Promise.all([added.answered, init.answered]);
    expect(() => container.processes.get(added.pid)).toThrow("does not exist");
    expect(container.processes.get(init.pid)).toBe(init);
  });
});
