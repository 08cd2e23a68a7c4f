import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { ownCommand } from "../program/executable.ts";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

/** The TCP sockets on which a process listens, by inode. */
function listeningSockets(pid: number): readonly string[] {
  const own = readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
  const listening = ["tcp", "tcp6"].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === "0A")
      .map((columns) => `socket:[${columns[9]}]`),
  );
  return listening.filter((socket) => own.includes(socket));
}

async function startServing(id: string): Promise<{ readonly pid: number; readonly log: () => string }> {
  const log = path.join(shim.makeBundle(id, { process: { args: ["0"] } }), "log");
  writeFileSync(log, "");
  await shim.start(id);
  return { pid: shim.servingPid(id), log: () => readFileSync(log, "utf8") };
}

describeWith("Linux")("SIGUSR1", () => {
  it("makes a serving shim dump its calls and state, and opens no debugger", async () => {
    const { pid, log } = await startServing("c1");
    const client = shim.connect(
      `unix://${JSON.parse(readFileSync(path.join(shim.bundle("c1"), "uvm-shim.json"), "utf8")).socket}`,
    );
    await client.call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    const wait = client.call(Task, "Wait", { id: "c1" });
    wait.catch(() => {});
    await client.call(Task, "State", { id: "c1" });
    process.kill(pid, "SIGUSR1");
    await expect.poll(log).toContain("=== END state dump ===");
    expect(listeningSockets(pid)).toEqual([]);
    for (const line of [
      /level=warning msg="=== BEGIN state dump ===" namespace=ns id=c1 pid=\d+$/m,
      /msg="dump: sandbox" .*sandbox=c1 mode=classic state=running/,
      /msg="dump: task" .*task=c1 state=present processes=1$/m,
      /msg="dump: process" .*task=c1 state=created pid=\d+$/m,
      /msg="dump: pending call" .*method=containerd.task.v3.Task\/Wait milliseconds=\d+$/m,
      /msg="dump: stack" .*stack=".*dumpState/,
      /msg="dump: handles" .*pipe=\d+/,
      /msg="dump: descriptors" .*open=\d+ soft=\S+ hard=\S+$/m,
      /msg="dump: memory" .*rss=\d+ heapUsed=\d+ external=\d+$/m,
    ]) {
      expect(log()).toMatch(line);
    }
    // The environment may hold secrets.
    expect(log()).not.toContain("FAKE_RECORD");
    await client.call(Task, "Start", { id: "c1" });
    expect(await wait).toMatchObject({ exitStatus: 0 });
  });

  it("opens no reachable debugger before the shim handles it, and does not end the process", async () => {
    const script = path.join(shim.directory, "idle.cjs");
    writeFileSync(script, 'setInterval(() => {}, 1000); console.log("runs");');
    const host = { execPath: process.execPath, execArgv: ["--disable-sigusr1"], argv: [process.execPath, script] };
    const { file, arguments: argumentList } = ownCommand(host as unknown as NodeJS.Process);
    const child = spawn(file, argumentList, { stdio: ["ignore", "pipe", "pipe"] });
    try {
      await once(child.stdout, "data");
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      child.kill("SIGUSR1");
      await expect.poll(() => said).toMatch(/Starting inspector on \S+ failed/);
      expect(listeningSockets(child.pid ?? 0)).toEqual([]);
      expect(child.exitCode ?? child.signalCode).toBeNull();
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describe("the environment of a serving shim", () => {
  it("has no variables meant for other Node programs", async () => {
    const log = path.join(shim.makeBundle("c1", { process: { args: ["0"] } }), "log");
    writeFileSync(log, "");
    const redirected = path.join(shim.directory, "warnings");
    await shim.start("c1", { env: { NODE_REDIRECT_WARNINGS: redirected, NODE_PENDING_DEPRECATION: "0", KEPT: "1" } });
    const names = readFileSync(`/proc/${shim.servingPid("c1")}/environ`, "utf8")
      .split("\0")
      .map((variable) => variable.split("=")[0]);
    expect(names.filter((name) => name?.startsWith("NODE_"))).toEqual([]);
    expect(names).toContain("KEPT");
  });
});
