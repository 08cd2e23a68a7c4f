/** Run under Wine: the shims' executables on a Windows without a compute service. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { runCommand } from "@uvm-shim/test-support/command";
import { afterEach, describe, expect, it } from "vitest";
import { casePaths } from "./case-paths.ts";
import { diagnose, showBundle } from "./diagnosis.ts";
import { readPipe } from "./read-pipe.ts";
import { connect, executable, namespace, ShimProcess } from "./shim-process.ts";

const { Task } = containerd.task.v3;
/** The refusal of every call that needs the host. */
const noHost = /computecore\.dll: cannot load the library: expected Windows build 17763 or later/;

const started: ShimProcess[] = [];
const shim = (id: string): ShimProcess => {
  const made = new ShimProcess(id);
  started.push(made);
  return made;
};

const stateOf = ({ bundle }: ShimProcess): { readonly kind: string; readonly pid: number } =>
  JSON.parse(readFileSync(path.join(bundle, "uvm-shim.json"), "utf8"));

afterEach(async () => {
  for (const each of started.splice(0)) await each.delete();
});

describe("an executable", () => {
  it.each(["lcow", "wcow"] as const)("%s prints its version and its runtime", async (flavour) => {
    const version = await runCommand(executable(flavour), ["-v"]);
    expect(version.stderr).toBe("");
    expect(version.stdout.toString()).toMatch(
      new RegExp(
        `^containerd-shim-${flavour}-v2:\n  Version:  \\d+\\.\\d+\\.\\d+\n  Revision: \\S+\n  Node version: v26\\.`,
      ),
    );
    const info = await runCommand(executable(flavour), ["-info"]);
    expect(info).toMatchObject({ status: 0, stderr: "" });
    expect(info.stdout.toString()).toContain(`io.containerd.${flavour}.v2`);
  });

  it("names an unknown flag, and the known ones", async () => {
    const { status, stderr } = await runCommand(executable("lcow"), ["-nonsense"]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^containerd-shim-lcow-v2: unknown flag -nonsense: expected one of -namespace, /);
  });
});

describe("start", () => {
  it("answers once the protected pipe accepts, and holds none of its caller's streams", async () => {
    const one = shim("start-once");
    const address = await one.start();
    expect(address).toMatch(/^\\\\\.\\pipe\\ProtectedPrefix\\Administrators\\containerd-shim-\S+-[0-9a-f]{16}-pipe$/);
    expect(readFileSync(path.join(one.bundle, "address"), "utf8")).toBe(address);
    const client = await connect(address);
    const answer = await client.call(Task, "Connect", { id: one.id });
    expect(answer.shimPid).toBe(stateOf(one).pid);
    expect(Number(readFileSync(path.join(one.bundle, "shim.pid"), "utf8"))).toBe(answer.shimPid);
    client.close();
  });

  it("opens no debugger for those who may make a thread in the serving process", async () => {
    const one = shim("no-debugger");
    await one.start();
    const { _debugProcess: openDebugger } = process as unknown as { _debugProcess(pid: number): void };
    const usual = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6); console.log('up')"]);
    try {
      await once(usual.stdout, "data");
      const announced = once(usual.stderr, "data");
      openDebugger(usual.pid ?? 0);
      expect(String((await announced)[0])).toContain("Debugger listening");
    } finally {
      usual.kill();
    }
    expect(() => openDebugger(stateOf(one).pid)).toThrow(/not found|cannot find/);
  });

  it("answers a containerd without a version with version 2 in JSON", async () => {
    const one = shim("start-old");
    const { stdout, stderr } = await one.run(["start"]);
    expect(stderr).toBe("");
    expect(JSON.parse(stdout.toString())).toMatchObject({ version: 2, protocol: "ttrpc" });
  });

  it("is refused while the shim of its id serves", async () => {
    const one = shim("start-twice");
    const address = await one.start();
    await expect(one.start()).rejects.toThrow(`a shim already serves ${address}`);
  });

  it("serves the log on the pipe that containerd dials, for one reader after the other", async () => {
    const one = shim("log");
    await one.start();
    const pipe = String.raw`\\.\pipe\containerd-shim-${namespace}-${one.id}-log`;
    const first = await readPipe(pipe, /msg=serving.*\n/);
    expect(first).toMatch(/^time="[^"]+" level=info msg=serving namespace=k8s\.io id=log socket=/);
    await expect(createTask(one)).rejects.toThrow(noHost);
    expect(await readPipe(pipe, /level=error.*\n/)).toMatch(noHost);
  });
});

describe("without a compute service", () => {
  it("a task is refused with the DLL and the required build of Windows", async () => {
    const one = shim("refused");
    await one.start();
    await expect(createTask(one)).rejects.toMatchObject({ message: expect.stringMatching(noHost) });
  });

  it("delete ends the serving process, and gives the same reason", async () => {
    const one = shim("deleted");
    const address = await one.start();
    expect(await one.delete()).toMatchObject({ status: 1, stderr: expect.stringMatching(noHost) });
    await expect(connect(address)).rejects.toThrow("ENOENT");
  });

  it("delete after a crash reports its last output, and the id can be started again", async () => {
    const one = shim("crashed");
    const address = await one.start();
    const client = await connect(address);
    process.kill(stateOf(one).pid, "SIGKILL");
    await client.closed;
    appendFileSync(path.join(one.bundle, "panic.log"), "FATAL ERROR: no memory\n");
    expect((await one.delete()).stderr).toContain("shim of crashed wrote before it ended: FATAL ERROR: no memory");
    expect(await one.start()).toBe(address);
    expect(stateOf(one).kind).toBe("serving");
  });

  it("koffi's addon lies beside the executable", async () => {
    const addons = readdirSync(casePaths().executables).filter((name) => name.endsWith(".node"));
    expect(addons).toContainEqual(expect.stringMatching(/^uvm-shim-[0-9a-f]{16}\.node$/));
  });
});

describe("uvm-diag", () => {
  it("has help and a version", async () => {
    const help = await diagnose(["-h"]);
    expect(help).toMatchObject({ status: 0, stderr: "" });
    expect(help.stdout.toString()).toMatch(/^uvm-diag: show and explain the pods of uvm-shim\n/);
    const version = await diagnose(["-v"]);
    expect(version).toMatchObject({ status: 0, stderr: "" });
    expect(version.stdout.toString()).toMatch(/^uvm-diag:\n {2}Version: {2}\d+\.\d+\.\d+\n/);
  });

  it("ends as its program does, and says so where there is no Node", async () => {
    expect((await diagnose(["lsit"])).status).toBe(2);
    const { stderr } = await diagnose(["list"], { UVM_DIAG_NODE: "no-such-node.exe" });
    expect(stderr).toContain('uvm-diag: "no-such-node.exe" is not there: it needs Node 22 or later in PATH');
  });

  it("lists the shims that bundles tell of, since Wine has no list of pipes", async () => {
    const one = shim("diagnosed");
    await one.start();
    showBundle(one);
    const { status, stdout, stderr } = await diagnose(["list"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const row = /^k8s\.io\/diagnosed +pod +no sandbox +(\d+) .*containerd-shim-lcow-v2 /m.exec(stdout.toString());
    expect(row?.[1], stdout.toString()).toBe(`${stateOf(one).pid}`);
  });

  it("reads what a shim logged through its pipe", async () => {
    const one = shim("logged");
    await one.start();
    showBundle(one);
    const { status, stdout, stderr } = await diagnose(["logs", "k8s.io/logged"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.toString()).toContain("serving");
  });
});

async function createTask(one: ShimProcess): Promise<unknown> {
  const client = await connect(readFileSync(path.join(one.bundle, "address"), "utf8"));
  try {
    return await client.call(Task, "Create", { id: one.id, bundle: one.bundle });
  } finally {
    client.close();
  }
}
