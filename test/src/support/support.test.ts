import { describe as describeResult, mustRun, runCommand, startCommand } from "@uvm-shim/test-support/command";
import { vhdFooter } from "@uvm-shim/test-support/disk";
import { describe, expect, it } from "vitest";
import { poll } from "./wait.ts";

describe("vhdFooter", () => {
  const size = 32 * 1024 * 1024;
  const footer = vhdFooter(size, "00112233-4455-6677-8899-aabbccddeeff");

  it("is that of a fixed disk of the size, with the id", () => {
    expect(footer.byteLength).toBe(512);
    expect(footer.toString("latin1", 0, 8)).toBe("conectix");
    expect(footer.readUInt32BE(60)).toBe(2);
    expect(footer.readBigUInt64BE(48)).toBe(BigInt(size));
    expect(footer.toString("hex", 68, 84)).toBe("00112233445566778899aabbccddeeff");
  });

  it("has the complement of the other bytes' sum as its checksum", () => {
    const sum = footer.reduce((total, byte, index) => (index >= 64 && index < 68 ? total : total + byte), 0);
    expect(footer.readUInt32BE(64)).toBe(~sum >>> 0);
  });

  it("has a geometry that does not exceed the size", () => {
    expect(footer.readUInt16BE(56) * footer.readUInt8(58) * footer.readUInt8(59) * 512).toBeLessThanOrEqual(size);
  });
});

describe("commands", () => {
  it("give output and exit code, and take input", async () => {
    const result = await runCommand("sh", ["-c", "cat; echo problem >&2; exit 3"], { input: "text" });
    expect(result).toMatchObject({ status: 3, stderr: "problem\n" });
    expect(result.stdout.toString()).toBe("text");
    expect(describeResult(result)).toContain("exit code 3");
  });

  it("count a signal as a shell does", async () => {
    expect((await runCommand("sh", ["-c", "kill -TERM $$"])).status).toBe(143);
  });

  it("are killed when their time is over", async () => {
    const result = await runCommand("sleep", ["60"], { timeoutMs: 50 });
    expect(result.status).toBe(137);
    expect(result.stderr).toContain("killed after 50 ms");
  });

  it("reject where success was demanded, with what they said", async () => {
    await expect(mustRun("sh", ["-c", "echo why >&2; exit 1"])).rejects.toThrow(/exit code 1[\s\S]*why/);
    await expect(mustRun("no-such-program-at-all", [])).rejects.toThrow(/ENOENT/);
  });

  it("can be waited for by their output", async () => {
    const running = startCommand("sh", ["-c", "echo first; read line; echo got $line"]);
    await running.outputMatches(/first/, 5_000);
    running.write("it\n");
    expect((await running.outputMatches(/got (\w+)/, 5_000))[1]).toBe("it");
    expect((await running.finished).status).toBe(0);
    await expect(running.outputMatches(/never/, 5_000)).rejects.toThrow(/before it ended/);
  });
});

describe("poll", () => {
  it("asks until there is an answer", async () => {
    let asked = 0;
    const ask = () => (++asked === 3 ? "answer" : undefined);
    await expect(poll("an answer", ask, { timeoutMs: 5_000, intervalMs: 1 })).resolves.toBe("answer");
  });

  it("says what it waited for in vain", async () => {
    await expect(poll("Godot", () => undefined, { timeoutMs: 5, intervalMs: 1 })).rejects.toThrow(
      "waited 5 ms for Godot",
    );
  });
});
