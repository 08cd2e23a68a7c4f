import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hostSocketOption, hostVariables } from "@uvm-shim/host-protocol";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { dumpState } from "./state-dump.ts";

it("a state dump has one line per item, whatever their names", () => {
  const lines: string[] = [];
  const id = "vm\nhcs-emulator: forged \u001b[2J\u0085\u2028\u202e\u{e0001}";
  const host = { enumerate: () => [{ Id: id, Owner: "o", State: "Running" }] as never };
  dumpState(host, 3, (line) => void lines.push(line));
  expect(lines[0]).toBe(`=== BEGIN state dump === ${process.pid}`);
  expect(lines[1]).toBe(
    'dump: system {"id":"vm\\nhcs-emulator: forged \\u001b[2J\\u0085\\u2028\\u202e\\udb40\\udc01","owner":"o","state":"Running"}',
  );
  expect(lines[2]).toBe("dump: clients 3");
  expect(lines[3]).toMatch(/^dump: stack \["Error: stack",".*dumpState/);
  expect(lines.slice(4).map((line) => line.split(/ [[{\d]| state/)[0])).toEqual([
    ...["dump: active resources", "dump: memory", "dump: descriptors", "=== END"],
  ]);
});

it("a state dump is marked as incomplete, and ended, if part of it cannot be read", () => {
  const lines: string[] = [];
  const host = {
    enumerate: (): never => {
      throw new Error("no\nsystems");
    },
  };
  dumpState(host, 0, (line) => void lines.push(line));
  expect(lines.slice(1)).toEqual(['dump: incomplete: "Error: no\\nsystems"', "=== END state dump ==="]);
});

/** Whether a process listens for TCP. */
function listens(pid: number): boolean {
  const own = readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`));
  return ["tcp", "tcp6"].some((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .some((columns) => columns[3] === "0A" && own.includes(`socket:[${columns[9]}]`)),
  );
}

itWith("root")("a host dumps its state on SIGUSR1, opens no debugger and keeps serving", async () => {
  const directory = mkdtempSync(join(tmpdir(), "dump-"));
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const parameters = ["--disable-sigusr1", main, `--${hostSocketOption}`, join(directory, "host.sock")];
  const child = spawn(process.execPath, parameters, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: process.env.PATH, [hostVariables.idleMs]: "60000" },
  });
  try {
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await expect.poll(() => readdirSync(directory), { timeout: 20_000 }).toContain("host.sock");
    for (const count of [1, 2]) {
      child.kill("SIGUSR1");
      await expect.poll(() => said.split("hcs-emulator: === END state dump ===\n").length - 1).toBe(count);
    }
    expect(said).toMatch(/^hcs-emulator: dump: descriptors \d+$/m);
    expect(said).not.toContain("Debugger listening");
    expect(listens(child.pid ?? 0)).toBe(false);
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
  } finally {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
