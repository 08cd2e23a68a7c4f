import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { processStartTime } from "../system/process-identity.ts";
import { eachTestWithProcesses, isAlive, type ShimProcesses } from "../testing/shim-processes.ts";
import { deleteAnswerFile } from "./delete-answer.ts";
import { readState } from "./state-file.ts";

const { Task } = containerd.task.v3;
const { Sandbox } = containerd.runtime.sandbox.v1;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

describe("the life of a shim", () => {
  it("ends after Shutdown with nothing left, so that delete has nothing to do", async () => {
    shim.makeBundle("c1", { process: { args: ["42"] } });
    const address = await shim.start("c1");
    const pid = shim.servingPid("c1");
    const identity = { pid, processStartTime: processStartTime(pid) ?? "" };
    const client = shim.connect(address);
    await client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    await client.call(Task, "Start", { id: "c1" });
    expect(await client.call(Task, "Wait", { id: "c1" })).toMatchObject({ exitStatus: 42 });
    await client.call(Task, "Delete", { id: "c1" });
    const answer = path.join(shim.bundle("c1"), deleteAnswerFile);
    expect(existsSync(answer)).toBe(false);
    await client.call(Task, "Shutdown", { id: "c1" });
    expect(readFileSync(answer, "utf8")).toMatch(/^c1 (?:\\0[0-7]{3})+\n$/);
    expect(await client.closed).toBeUndefined();
    expect(await shim.delete("c1")).toMatchObject({ exitStatus: 137 });
    expect(isAlive(identity)).toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
    expect(shim.record()).toEqual(["load ns", "create c1 null", "stop c1"]);
    expect(shim.events.topics).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  });

  it("leaves the socket to its successor when it ends after the successor has started", async () => {
    shim.makeBundle("c1", { process: { args: ["0"] } });
    const address = await shim.start("c1");
    const pid = shim.servingPid("c1");
    const first = { pid, processStartTime: processStartTime(pid) ?? "" };
    const client = shim.connect(address);
    shim.events.onForward = () => new Promise(() => {});
    await client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    await client.call(Task, "Delete", { id: "c1" });
    await client.call(Task, "Shutdown", { id: "c1" });
    expect(await shim.start("c1")).toBe(address);
    expect(existsSync(path.join(shim.bundle("c1"), deleteAnswerFile))).toBe(false);
    const successor = shim.servingPid("c1");
    await expect.poll(() => isAlive(first), { timeout: 10_000 }).toBe(false);
    expect(await shim.connect(address).call(Task, "Connect", { id: "c1" })).toMatchObject({ shimPid: successor });
  });

  it("is cleaned up by delete after a crash, and a second delete does no harm", async () => {
    shim.makeBundle("c1", { process: { args: ["0"] } });
    const address = await shim.start("c1");
    const client = shim.connect(address);
    await client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    process.kill(shim.servingPid("c1"), "SIGKILL");
    await client.closed;
    expect(existsSync(path.join(shim.bundle("c1"), deleteAnswerFile))).toBe(false);
    const answer = await shim.delete("c1");
    expect(answer).toMatchObject({ exitStatus: 137 });
    expect(Math.abs((answer.exitedAt?.seconds ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    expect(shim.record().slice(-2)).toEqual(["load ns", "cleanUp c1"]);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
    await shim.delete("c1");
    expect(shim.record().filter((line) => line === "cleanUp c1")).toHaveLength(1);
  });

  it("is ended by delete if it still runs", async () => {
    shim.makeBundle("c1", {});
    const address = await shim.start("c1");
    const pid = shim.servingPid("c1");
    const identity = { pid, processStartTime: processStartTime(pid) ?? "" };
    await shim.delete("c1");
    expect(isAlive(identity)).toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
  });

  it("outlives its sandbox and the sandbox's own task until the last task is deleted", async () => {
    shim.makeBundle("s1", { process: { args: ["0"] } });
    const address = await shim.start("s1");
    const pid = shim.servingPid("s1");
    const identity = { pid, processStartTime: processStartTime(pid) ?? "" };
    const client = shim.connect(address);
    const annotations = { "io.uvm-shim.sandbox-id": "s1" };
    shim.makeBundle("c1", { process: { args: ["5"] }, annotations });
    for (const id of ["s1", "c1"]) {
      await client.call(Task, "Create", { id, bundle: shim.bundle(id) });
      await client.call(Task, "Start", { id });
    }
    await client.call(Task, "Delete", { id: "s1" });
    await client.call(Task, "Shutdown", { id: "s1" });
    expect(await shim.delete("s1")).toMatchObject({ exitStatus: 137 });
    expect(isAlive(identity)).toBe(true);
    expect(await client.call(Task, "Delete", { id: "c1" })).toMatchObject({ exitStatus: 5 });
    await client.closed;
    await expect.poll(() => isAlive(identity)).toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
    expect(shim.record().filter((line) => line.startsWith("cleanUp"))).toEqual([]);
  });

  it("is not touched by the delete of a container that joined it", async () => {
    shim.makeBundle("s1", {});
    const address = await shim.start("s1");
    shim.makeBundle("c1", { annotations: { "io.uvm-shim.sandbox-id": "s1" } });
    await shim.start("c1");
    await shim.delete("c1");
    // containerd 2.x starts no shim for a container of a sandbox, it writes the sandbox's id beside it.
    writeFileSync(path.join(shim.makeBundle("c2"), "sandbox"), "s1");
    await shim.delete("c2");
    expect(shim.record().filter((line) => line.startsWith("cleanUp"))).toEqual([]);
    await shim.connect(address).call(Task, "Connect", { id: "s1" });
  });

  it("never ends another process that has reused its pid", async () => {
    shim.makeBundle("c1", {});
    const bystander = spawn("sleep", ["60"]);
    const state = {
      kind: "serving",
      id: "c1",
      namespace: "ns",
      socket: path.join(shim.directory, "gone"),
      pid: bystander.pid,
      processStartTime: "1",
    };
    writeFileSync(path.join(shim.bundle("c1"), "uvm-shim.json"), JSON.stringify(state));
    await shim.delete("c1");
    expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
    bystander.kill("SIGKILL");
    expect(shim.record()).toContain("cleanUp c1");
  });

  it("makes delete fail within its bound when the clean-up hangs or the platform cannot be loaded", async () => {
    shim.makeBundle("c1", {});
    const hanging = await shim.run("c1", ["-bundle", shim.bundle("c1"), "delete"], {
      env: { FAKE_CLEAN_UP_HANGS: "1" },
    });
    expect(hanging).toMatchObject({ code: 1, stderr: expect.stringContaining("cleanup took longer than 500 ms") });
    const hostless = await shim.run("c1", ["-bundle", shim.bundle("c1"), "delete"], {
      env: { FAKE_PLATFORM_FAILS: "1" },
    });
    expect(hostless).toMatchObject({ code: 1, stderr: "containerd-shim-fake-v2: no host here\n" });
  });

  it("is found by delete even when its bundle is gone", async () => {
    await shim.delete("c1");
    expect(shim.record()).toEqual(["load ns", "cleanUp c1"]);
  });

  it.each([
    ["its state file", ["uvm-shim.json"]],
    ["its bundle", []],
  ])("leaves no socket that delete cannot find when %s is gone", async (_, remains) => {
    const bundle = shim.makeBundle("c1", {});
    const address = await shim.start("c1");
    await shim.kill("c1");
    rmSync(path.join(bundle, ...remains), { recursive: true });
    expect(existsSync(address.replace("unix://", ""))).toBe(true);
    await shim.delete("c1");
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
  });

  it("leaves no socket when the clean-up fails", async () => {
    const bundle = shim.makeBundle("c1", {});
    const address = await shim.start("c1");
    await shim.kill("c1");
    const outcome = await shim.run("c1", ["-bundle", bundle, "delete"], { env: { FAKE_PLATFORM_FAILS: "1" } });
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("no host here") });
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
  });

  it("shuts down cleanly on SIGTERM", async () => {
    shim.makeBundle("s1", {});
    const address = await shim.start("s1");
    const client = shim.connect(address);
    await client.call(Sandbox, "CreateSandbox", { sandboxId: "s1", bundlePath: shim.bundle("s1") });
    process.kill(shim.servingPid("s1"), "SIGTERM");
    await client.closed;
    expect(shim.record()).toContain("stop s1");
    await expect.poll(() => existsSync(address.replace("unix://", ""))).toBe(false);
    expect(readState(shim.bundle("s1"))).toMatchObject({ kind: "ended" });
  });

  it("ends by itself when no client calls it", async () => {
    shim.makeBundle("c1", {});
    const address = await shim.start("c1", { env: { FAKE_ORPHAN_MILLISECONDS: "100" } });
    await expect.poll(() => existsSync(address.replace("unix://", "")), { timeout: 5000 }).toBe(false);
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "ended" });
  });

  it("ends by itself even when its bundle has been removed", async () => {
    shim.makeBundle("c1", {});
    const address = await shim.start("c1", { env: { FAKE_ORPHAN_MILLISECONDS: "200" } });
    rmSync(shim.bundle("c1"), { recursive: true });
    await expect.poll(() => existsSync(address.replace("unix://", "")), { timeout: 5000 }).toBe(false);
  });

  it("fails pending calls and reports the reason when it crashes", async () => {
    const bundle = shim.makeBundle("c1", { process: { args: ["crash"] } });
    const client = shim.connect(await shim.start("c1"));
    await client.call(Sandbox, "CreateSandbox", { sandboxId: "s1", bundlePath: shim.directory });
    await client.call(Sandbox, "StartSandbox", { sandboxId: "s1" });
    const wait = client.call(Sandbox, "WaitSandbox", { sandboxId: "s1" });
    wait.catch(() => {});
    await client.call(Task, "Create", { id: "c1", bundle }).catch(() => {});
    await expect(wait).rejects.toMatchObject({ code: "Unavailable" });
    await client.closed;
    await expect.poll(() => readFileSync(path.join(bundle, "panic.log"), "utf8")).toContain("a bug in the shim");
    expect(readState(bundle)).toMatchObject({ kind: "serving" });
    const deleted = await shim.run("c1", ["-bundle", bundle, "delete"]);
    expect(deleted).toMatchObject({ code: 0, stderr: expect.stringContaining("wrote before it ended: ") });
    expect(deleted.stderr).toContain("a bug in the shim");
  });

  it("keeps answering while its log has no reader", async () => {
    const bundle = shim.makeBundle("c1", {});
    execFileSync("mkfifo", [path.join(bundle, "log")]);
    const address = await shim.start("c1", { env: {} });
    const client = shim.connect(address);
    for (let index = 0; index < 50; index++) await client.call(Task, "Connect", { id: "c1" });
    const reader = spawn("head", ["-n", "1", path.join(bundle, "log")]);
    const line = await new Promise<string>((resolve) => reader.stdout.once("data", (chunk) => resolve(`${chunk}`)));
    expect(line).toMatch(/level=info msg=serving namespace=ns id=c1/);
  });
});
