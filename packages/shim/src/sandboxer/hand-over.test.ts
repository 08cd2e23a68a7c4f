import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { deleteAnswerFile } from "../program/delete-answer.ts";
import { readState } from "../program/state-file.ts";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

/** A pod of one task, as containerd makes it for `ctr run`. */
async function runPod(id: string, env: { readonly [name: string]: string }) {
  shim.makeBundle(id, { process: { args: ["0"] } });
  const client = shim.connect(await shim.start(id, { env }));
  await client.call(Task, "Create", { id, bundle: shim.bundle(id) });
  return client;
}

describe("start with a sandboxer", () => {
  it("hands the pod over: no process is started for it, and delete finds nothing to do", async () => {
    const sandboxer = await shim.startSandboxer();
    const env = { UVM_SHIM_SANDBOXER: sandboxer.socket };
    const one = await runPod("c1", env);
    await runPod("c2", env);
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "hosted", pid: sandboxer.pid });
    expect(await one.call(Task, "Connect", { id: "c1" })).toMatchObject({ shimPid: sandboxer.pid });
    await one.call(Task, "Start", { id: "c1" });
    expect(await one.call(Task, "Wait", { id: "c1" })).toMatchObject({ exitStatus: 0 });
    await one.call(Task, "Delete", { id: "c1" });
    await one.call(Task, "Shutdown", { id: "c1" });
    await one.closed;
    await shim.delete("c1", { env });
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "ended", isReleased: true });
    expect(shim.record().filter((line) => line.startsWith("cleanUp"))).toEqual([]);
    expect(readState(shim.bundle("c2"))).toMatchObject({ kind: "hosted" });
    expect(readdirSync(path.join(shim.directory, "s"))).toHaveLength(1);
  });

  it("has containers of the pod join it", async () => {
    const sandboxer = await shim.startSandboxer();
    const env = { UVM_SHIM_SANDBOXER: sandboxer.socket };
    await runPod("c1", env);
    shim.makeBundle("c2", { annotations: { "io.uvm-shim.sandbox-id": "c1" }, process: { args: ["0"] } });
    const address = await shim.start("c2", { env });
    expect(address).toBe(readFileSync(path.join(shim.bundle("c1"), "address"), "utf8"));
    const client = shim.connect(address);
    await client.call(Task, "Create", { id: "c2", bundle: shim.bundle("c2") });
    await client.call(Task, "Start", { id: "c2" });
    await client.call(Task, "Wait", { id: "c2" });
    await client.call(Task, "Delete", { id: "c2" });
    // The pod goes on, and so nothing is left in its own bundle.
    expect(readFileSync(path.join(shim.bundle("c2"), deleteAnswerFile), "utf8")).toMatch(/^c2 /);
    expect(existsSync(path.join(shim.bundle("c1"), deleteAnswerFile))).toBe(false);
  });

  it("fails, and starts no process, where the sandboxer that is named does not answer or serves another flavour", async () => {
    shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["start"], { env: { UVM_SHIM_SANDBOXER: "/nowhere" } });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toContain("no sandboxer answers at /nowhere.ttrpc");
    expect(readState(shim.bundle("c1"))).toBeUndefined();
    const relative = await shim.run("c1", ["start"], { env: { UVM_SHIM_SANDBOXER: "nowhere" } });
    expect(relative).toMatchObject({ code: 2, stderr: expect.stringContaining("expected an absolute path or none") });
  });

  it("starts a process of the pod's own where it is told to", async () => {
    await shim.startSandboxer();
    shim.makeBundle("c1", {});
    await shim.start("c1", { env: { UVM_SHIM_SANDBOXER: "none" } });
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "serving" });
  });
});

describe("delete of a pod that a sandboxer serves", () => {
  it("has it end the pod, and spares the others", async () => {
    const sandboxer = await shim.startSandboxer();
    const env = { UVM_SHIM_SANDBOXER: sandboxer.socket };
    await runPod("c1", env);
    const other = await runPod("c2", env);
    await shim.delete("c1", { env });
    expect(shim.record()).toContain("stop c1");
    expect(await other.call(Task, "State", { id: "c2" })).toMatchObject({ id: "c2" });
    await shim.delete("c1", { env });
  });

  it("cleans up itself where the sandboxer was killed", async () => {
    const sandboxer = await shim.startSandboxer();
    const env = { UVM_SHIM_SANDBOXER: sandboxer.socket };
    const client = await runPod("c1", env);
    expect(await sandboxer.end("SIGKILL")).toBeNull();
    await client.closed;
    await shim.delete("c1", { env });
    expect(shim.record()).toContain("cleanUp c1");
    expect(readdirSync(path.join(shim.directory, "s"))).toEqual([]);
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "ended" });
  });
});

describe("a sandboxer", () => {
  it("ends its pods in order on SIGTERM if it is told to drain, and leaves nothing", async () => {
    const sandboxer = await shim.startSandboxer({ drains: true });
    await runPod("c1", { UVM_SHIM_SANDBOXER: sandboxer.socket });
    expect(await sandboxer.end("SIGTERM")).toBe(0);
    expect(shim.record()).toContain("stop c1");
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "ended", isReleased: true });
    expect(readdirSync(path.join(shim.directory, "s"))).toEqual([]);
    expect(existsSync(sandboxer.socket)).toBe(false);
  });

  it("ends at once on SIGTERM otherwise", async () => {
    const sandboxer = await shim.startSandboxer();
    await runPod("c1", { UVM_SHIM_SANDBOXER: sandboxer.socket });
    expect(await sandboxer.end("SIGTERM")).toBe(0);
    expect(shim.record()).not.toContain("stop c1");
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "hosted" });
  });

  it("forgets a pod that nobody comes to", async () => {
    const sandboxer = await shim.startSandboxer({ env: { FAKE_ORPHAN_MILLISECONDS: "50" } });
    shim.makeBundle("c1", {});
    await shim.start("c1", { env: { UVM_SHIM_SANDBOXER: sandboxer.socket } });
    await expect.poll(() => readState(shim.bundle("c1"))).toMatchObject({ kind: "ended", isReleased: true });
    await shim.delete("c1");
  });
});
