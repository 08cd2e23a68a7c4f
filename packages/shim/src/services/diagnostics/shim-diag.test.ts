import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../../generated/messages.js";
import type { VmProgram } from "../../platform.ts";
import { Harness } from "../../testing/harness.ts";

const { ShimDiag } = containerd.runhcs.v1.diag;

let harness: Harness;
beforeEach(async () => {
  harness = new Harness();
  await harness.open();
});
afterEach(() => harness.close());

const noWishes = { workdir: "", terminal: false, stdin: "", stdout: "", stderr: "" };
const never = new Promise<never>(() => {});

describe("DiagExecInHost", () => {
  it("runs a program in the VM and answers its exit code", async () => {
    await harness.runTask("c1");
    const programs: VmProgram[] = [];
    harness.sandbox.onExecute = async (program) => {
      programs.push(program);
      return { status: 3, exitedAt: new Date(0) };
    };
    const request = { args: ["sh", "-c", "exit 3"], workdir: "/tmp", terminal: true, stdin: "/in", stdout: "/out" };
    expect(await harness.client.call(ShimDiag, "DiagExecInHost", request)).toMatchObject({ exitCode: 3 });
    const stdio = { stdin: "/in", stdout: "/out", stderr: "", terminal: true, endsWithWriter: true };
    expect(programs).toEqual([{ args: request.args, workingDirectory: "/tmp", stdio }]);
  });

  it("answers exit codes of Windows as the signed numbers that the protocol has", async () => {
    await harness.runTask("c1");
    harness.sandbox.onExecute = async () => ({ status: 0xc000013a, exitedAt: new Date(0) });
    const { exitCode } = await harness.client.call(ShimDiag, "DiagExecInHost", { args: ["cmd"] });
    expect(exitCode >>> 0).toBe(0xc000013a);
  });

  it("ends the program when its caller leaves", async () => {
    await harness.runTask("c1");
    const ended = Promise.withResolvers<void>();
    const began = Promise.withResolvers<void>();
    harness.sandbox.onExecute = (_, signal) => {
      signal?.addEventListener("abort", () => ended.resolve());
      began.resolve();
      return never;
    };
    const other = harness.connect();
    const call = other.call(ShimDiag, "DiagExecInHost", { args: ["sleep"] });
    call.catch(() => {});
    await began.promise;
    other.close();
    await ended.promise;
    await expect(call).rejects.toThrow();
  });

  it.each([
    ["without a program", { ...noWishes, args: [] }, "args is empty, expected a program of the guest"],
    ["with an empty program", { ...noWishes, args: [""] }, "args is empty, expected a program of the guest"],
  ])("is refused %s", async (_what, request, message) => {
    await harness.runTask("c1");
    const call = harness.client.call(ShimDiag, "DiagExecInHost", request);
    await expect(call).rejects.toMatchObject({ code: "InvalidArgument", message: expect.stringContaining(message) });
  });

  it("is refused while no VM runs, and beyond a number of programs", async () => {
    const run = () => harness.client.call(ShimDiag, "DiagExecInHost", { args: ["sleep"] });
    await expect(run()).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("the VM does not run: there is none yet"),
    });
    await harness.runTask("c1");
    harness.sandbox.onExecute = () => never;
    for (let count = 0; count < 32; count++) run().catch(() => {});
    await expect(run()).rejects.toMatchObject({ code: "ResourceExhausted" });
  });
});

describe("DiagStacks", () => {
  it("answers what the shim waits for and where the guest's programs are", async () => {
    await harness.runTask("c1");
    const wait = harness.task("Wait", { id: "c1" });
    const { stacks, guestStacks } = await harness.client.call(ShimDiag, "DiagStacks", {});
    expect(stacks).toMatch(/^sandbox: sandbox=c1 mode=classic state=running/);
    expect(stacks).toMatch(/^pending call: method=containerd.task.v3.Task\/Wait milliseconds=\d+$/m);
    expect(stacks).toMatch(/^stack: stack=\nat /m);
    expect(stacks).toContain("work under way: none");
    expect(guestStacks).toBe("guest stacks");
    harness.container("c1").init.finish(0);
    await wait;
  });

  it("answers without a guest that fails, has no such thing, or is not there", async () => {
    const guestStacks = async () => (await harness.client.call(ShimDiag, "DiagStacks", {})).guestStacks;
    expect(await guestStacks()).toBe("");
    await harness.runTask("c1");
    harness.sandbox.onDumpStacks = async () => undefined;
    expect(await guestStacks()).toBe("(this guest cannot dump its stacks)");
    harness.sandbox.onDumpStacks = async () => {
      throw new Error("denied due to policy");
    };
    expect(await guestStacks()).toBe("(no stacks of the guest: denied due to policy)");
  });
});

describe("DiagTasks", () => {
  it("lists tasks, with their execs if they are wanted", async () => {
    await harness.runTask("c1");
    await harness.runMember("c2", "c1");
    await harness.task("Exec", {
      id: "c2",
      execId: "e1",
      spec: { type_url: "", value: Buffer.from('{"args":["a"]}') },
    });
    const tasks = async (execs: boolean) => (await harness.client.call(ShimDiag, "DiagTasks", { execs })).tasks;
    expect(await tasks(false)).toMatchObject([
      { id: "c1", execs: [] },
      { id: "c2", execs: [] },
    ]);
    await harness.task("Pause", { id: "c1" });
    expect(await tasks(true)).toMatchObject([
      { id: "c1", execs: [{ id: "", state: "PAUSED" }] },
      {
        id: "c2",
        execs: [
          { id: "", state: "RUNNING" },
          { id: "e1", state: "CREATED" },
        ],
      },
    ]);
    harness.container("c2").init.finish(0);
    expect((await tasks(true))[1]?.execs[0]).toMatchObject({ id: "", state: "STOPPED" });
  });
});

describe("DiagShare", () => {
  it("shows folders and single files of the host in the VM", async () => {
    await harness.runTask("c1");
    const folder = path.join(harness.directory, "data");
    mkdirSync(folder);
    writeFileSync(path.join(folder, "file"), "");
    const share = (hostPath: string) =>
      harness.client.call(ShimDiag, "DiagShare", { hostPath, uvmPath: "/mnt/data", readOnly: true });
    await share(folder);
    await share(path.join(folder, "file"));
    const common = { guestPath: "/mnt/data", readOnly: true };
    expect(harness.sandbox.shared).toEqual([
      { ...common, hostPath: folder, kind: "directory" },
      { ...common, hostPath: path.join(folder, "file"), kind: "file" },
    ]);
  });

  it.each([
    ["without a path of the host", { hostPath: "", uvmPath: "/mnt" }, "InvalidArgument", "host_path is empty"],
    ["without a path of the guest", { hostPath: "/etc", uvmPath: "" }, "InvalidArgument", "uvm_path is empty"],
    ["of what does not exist", { hostPath: "/does/not/exist", uvmPath: "/mnt" }, "NotFound", "/does/not/exist"],
    ["of a device", { hostPath: "/dev/null", uvmPath: "/mnt" }, "InvalidArgument", "expected a folder or a file"],
  ])("is refused %s", async (_what, request, code, message) => {
    await harness.runTask("c1");
    const call = harness.client.call(ShimDiag, "DiagShare", request);
    await expect(call).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(harness.sandbox.shared).toEqual([]);
  });
});

describe("DiagPid", () => {
  it("answers the shim's pid, also without a sandbox", async () => {
    expect(await harness.client.call(ShimDiag, "DiagPid", {})).toMatchObject({ pid: 77 });
  });
});
