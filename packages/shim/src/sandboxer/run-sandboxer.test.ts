import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { readState } from "../program/state-file.ts";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

async function runPod(id: string, socket: string, { end = "0" }: { readonly end?: string } = {}) {
  shim.makeBundle(id, { process: { args: [end] } });
  const client = shim.connect(await shim.start(id, { env: { UVM_SHIM_SANDBOXER: socket } }));
  await client.call(Task, "Create", { id, bundle: shim.bundle(id) });
  return client;
}

describe("a signal to a sandboxer", () => {
  it("that is the second ends it at once, while it still stops its pods", async () => {
    const sandboxer = await shim.startSandboxer({ drains: true, env: { FAKE_STOP_HANGS: "1" } });
    await runPod("c1", sandboxer.socket);
    sandboxer.signal("SIGTERM");
    await expect.poll(() => shim.record()).toContain("stop c1");
    expect(await sandboxer.end("SIGTERM")).toBe(1);
    expect(sandboxer.log()).toMatch(/msg="ending at once, on a second signal" reason=SIGTERM pods=1/);
    expect(readState(shim.bundle("c1"))).toMatchObject({ kind: "hosted" });
  });

  it("that says the terminal is gone changes nothing, and is answered in the log", async () => {
    const sandboxer = await shim.startSandboxer();
    const client = await runPod("c1", sandboxer.socket);
    sandboxer.signal("SIGHUP");
    await expect.poll(() => sandboxer.log()).toContain("signal=SIGHUP");
    expect(await client.call(Task, "State", { id: "c1" })).toMatchObject({ id: "c1" });
  });
});

describe("two sandboxers", () => {
  it("are not served by one socket: the second says which, and leaves the first alone", async () => {
    const sandboxer = await shim.startSandboxer();
    const other = path.join(shim.directory, "other-state");
    const outcome = await shim.runAlone(["-socket", sandboxer.socket, "-state", other, "sandboxer"]);
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `another process serves ${sandboxer.socket}.ttrpc: expected no other sandboxer there`,
      ),
    });
    await runPod("c1", sandboxer.socket);
  });

  it("have no state folder in common: the pods of one are not lost to the other", async () => {
    const sandboxer = await shim.startSandboxer();
    const client = await runPod("c1", sandboxer.socket);
    const state = path.join(shim.directory, "state");
    const socket = path.join(shim.directory, "other");
    const outcome = await shim.runAlone(["-socket", socket, "-state", state, "sandboxer"]);
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        `the state folder ${state} is that of the sandboxer at ${sandboxer.socket}, process ${sandboxer.pid}: expected one of its own`,
      ),
    });
    expect(existsSync(socket)).toBe(false);
    expect(await client.call(Task, "State", { id: "c1" })).toMatchObject({ id: "c1" });
    expect(await sandboxer.end("SIGTERM")).toBe(0);
    expect(readdirSync(state)).toEqual([]);
  });

  it("come one after another where the first was killed", async () => {
    const sandboxer = await shim.startSandboxer();
    expect(await sandboxer.end("SIGKILL")).toBeNull();
    const state = path.join(shim.directory, "state");
    expect(readFileSync(path.join(state, "owner"), "utf8")).toMatch(new RegExp(`^${sandboxer.pid} \\d+ `));
    await runPod("c1", (await shim.startSandboxer()).socket);
  });
});

describe("an exception that nobody has caught", () => {
  it.each(["crash", "reject", "crash on data"])("ends the pod whose work it was, by %s, and no other", async (how) => {
    const sandboxer = await shim.startSandboxer();
    const good = await runPod("c1", sandboxer.socket);
    const bad = await runPod("c2", sandboxer.socket, { end: how });
    await expect(bad.call(Task, "Wait", { id: "c2" })).rejects.toMatchObject({ code: expect.any(String) });
    await expect
      .poll(() => sandboxer.log())
      .toMatch(/level=error msg="pod failed" namespace=\S+ id=c2 error="a bug in the shim" stack=/);
    await expect.poll(() => shim.record()).toContain("cleanUp c2");
    expect(await good.call(Task, "State", { id: "c1" })).toMatchObject({ id: "c1" });
    // What is in no context afterwards does not pass for the failed pod's.
    expect(await sandboxer.end("SIGUSR2")).toBe(1);
    await expect.poll(() => sandboxer.log()).toContain(`msg="sandboxer failed" error="nobody's bug"`);
    expect(sandboxer.log().match(/pod failed/g)).toHaveLength(1);
  });
});

describe("a sandboxer whose containerd is away", () => {
  it("keeps the events of its pods, and tells them in order when it is back", async () => {
    const sandboxer = await shim.startSandboxer();
    const client = await runPod("c1", sandboxer.socket, { end: "3" });
    const isTold = (topic: string): boolean => shim.events.topics.includes(topic);
    await expect.poll(() => isTold("/tasks/create")).toBe(true);
    await shim.events.close();
    await client.call(Task, "Start", { id: "c1" });
    expect(await client.call(Task, "Wait", { id: "c1" })).toMatchObject({ exitStatus: 3 });
    await client.call(Task, "Delete", { id: "c1" });
    await expect.poll(() => sandboxer.log()).toMatch(/msg="cannot forward event, retrying".* id=c1/);
    await shim.events.listen(path.join(shim.directory, "events"));
    await expect.poll(() => isTold("/tasks/delete"), { timeout: 10_000 }).toBe(true);
    const told = shim.events.received.filter(({ topic }) => topic.startsWith("/tasks/"));
    expect(told.map(({ topic }) => topic)).toEqual(
      ["create", "start", "exit", "delete"].map((name) => `/tasks/${name}`),
    );
    expect(told[2]?.fields).toMatchObject({ exitStatus: 3 });
  });

  it("starts without it, and without one that answers, by a file that names it", async () => {
    const file = path.join(shim.directory, "sandboxer.toml");
    const away = path.join(shim.directory, "nowhere.sock");
    writeFileSync(file, `containerd = ${JSON.stringify(away)}\nlog_level = "debug"\n`);
    const sandboxer = await shim.startSandboxer({ configuration: file });
    await runPod("c1", sandboxer.socket);
    expect(sandboxer.log()).toMatch(new RegExp(`msg=serving socket=${sandboxer.socket} .*containerd=${away}`));
  });
});
