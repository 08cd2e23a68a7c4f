import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, expect, it } from "vitest";
import { sandboxProgram } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "sandbox-program-"));
const native = process.arch === "arm64" ? "arm64" : "x64";
const program = join(directory, "sandbox");
writeFileSync(program, sandboxProgram(native), { mode: 0o755 });
const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
});
afterAll(() => rmSync(directory, { recursive: true }));

/** A field of /proc/<pid>/status. */
const status = (pid: number, field: string): string =>
  new RegExp(`^${field}:\\s+(\\S+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
const start = async (command: string, parameters: readonly string[] = []): Promise<ChildProcess & { pid: number }> => {
  const child = spawn(command, parameters, { stdio: "ignore" });
  running.push(child);
  await once(child, "spawn");
  return child as ChildProcess & { pid: number };
};
/** The program needs only microseconds; polls until it is done. */
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
};

describeWith("Linux")("the program of a sandbox", () => {
  it("sleeps, and lets the kernel reap its children", async () => {
    const { pid } = await start(program);
    const sigchld = 1n << 16n;
    await until(() => (BigInt(`0x${status(pid, "SigIgn")}`) & sigchld) !== 0n && status(pid, "State") === "S");
    expect(status(pid, "Threads")).toBe("1");
  });

  it("continues to sleep after a stop signal, and ends on a fatal one", async () => {
    const child = await start(program);
    child.kill("SIGSTOP");
    await until(() => status(child.pid, "State") === "T");
    child.kill("SIGCONT");
    await until(() => status(child.pid, "State") === "S");
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([null, "SIGTERM"]);
  });

  itWith("as process 1", "root")("as process 1 ends only on SIGKILL, and leaves no zombies", async () => {
    const unshare = await start("unshare", ["--pid", "--fork", "--kill-child", program]);
    const childrenOf = (pid: number): string => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    await until(() => childrenOf(unshare.pid) !== "");
    const pid = Number(childrenOf(unshare.pid));
    await until(() => readFileSync(`/proc/${pid}/comm`, "utf8") === "sandbox\n" && status(pid, "State") === "S");
    process.kill(pid, "SIGTERM");
    process.kill(pid, "SIGINT");
    // The shell's child becomes a child of process 1 when the shell ends.
    const orphan = await start("nsenter", [`--pid=/proc/${pid}/ns/pid`, "sh", "-c", "(sleep 0.05) & exit 0"]);
    await once(orphan, "exit");
    await until(() => childrenOf(pid) === "");
    expect(status(pid, "State")).toBe("S");
    const exited = once(unshare, "exit");
    process.kill(pid, "SIGKILL");
    await exited;
  });
});

it("is an ELF program of either architecture", () => {
  for (const [architecture, machine] of [
    ["x64", 62],
    ["arm64", 183],
  ] as const) {
    const view = new DataView(sandboxProgram(architecture).buffer);
    expect([view.getUint32(0), view.getUint16(16, true), view.getUint16(18, true)]).toEqual([0x7f454c46, 2, machine]);
    // One segment, loaded as a whole, readable and executable, not writable.
    expect([view.getUint16(56, true), view.getUint32(64, true), view.getUint32(68, true)]).toEqual([1, 1, 5]);
    expect(view.getBigUint64(96, true)).toBe(BigInt(view.byteLength));
    expect(view.getBigUint64(24, true) - view.getBigUint64(80, true)).toBe(120n);
  }
});

it("for arm64 consists of these instructions", () => {
  const view = new DataView(sandboxProgram("arm64").buffer, 120);
  const words = Array.from({ length: view.byteLength / 4 }, (_, index) => view.getUint32(index * 4, true).toString(16));
  // As GNU as assembles: sub sp, sp, #32; mov x9, #1; stp x9, xzr, [sp]; stp xzr, xzr, [sp, #16]; mov x0, #17; mov x1,
  // sp; mov x2, #0; mov x3, #8; mov x8, #134; svc #0; 1: mov x0, #0; … x3; mov x8, #73; svc #0; b 1b.
  expect(words).toEqual([
    ...["d10083ff", "d2800029", "a9007fe9", "a9017fff", "d2800220", "910003e1", "d2800002", "d2800103"],
    ...["d28010c8", "d4000001", "d2800000", "d2800001", "d2800002", "d2800003", "d2800928", "d4000001", "17fffffa"],
  ]);
});
