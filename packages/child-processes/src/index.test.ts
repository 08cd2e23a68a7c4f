import { withFewDescriptors } from "@uvm-shim/test-support/few-descriptors";
import { describe, expect, it } from "vitest";
import { startProgram } from "./index.ts";

describe("startProgram", () => {
  it("resolves with a running program and all its streams", async () => {
    const pids: number[] = [];
    const child = await startProgram("cat", [], { stdio: ["pipe", "pipe", "ignore", "pipe"] }, (pid) => pids.push(pid));
    expect(pids).toEqual([child.pid]);
    expect(child.stdio.map((stream) => stream !== null)).toEqual([true, true, false, true]);
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.stdin?.end();
    expect(await exit).toBe(0);
  });

  it("rejects with the system's error if the program is missing or not executable", async () => {
    await expect(startProgram("/no/such", [], {})).rejects.toMatchObject({ code: "ENOENT" });
    await expect(startProgram("/etc/passwd", [], {})).rejects.toMatchObject({ code: "EACCES" });
    await expect(startProgram("true", ["x".repeat(200_000)], {})).rejects.toMatchObject({ code: "E2BIG" });
    await expect(startProgram("true\0", [], {})).rejects.toMatchObject({ code: "ERR_INVALID_ARG_VALUE" });
  });

  it("misses no exit, however early", async () => {
    for (let round = 0; round < 20; round += 1) {
      const child = await startProgram("true", [], { stdio: "ignore" });
      await new Promise((resolve) => child.once("exit", resolve));
    }
  });

  it("survives an error event of a running program", async () => {
    const child = await startProgram("sleep", ["1000"], { stdio: "ignore" });
    expect(child.emit("error", new Error("the signal could not be sent"))).toBe(true);
    child.kill("SIGKILL");
  });

  it.each([0, 1, 2, 5, 6, 7, 8, 12, 13])("leaks no descriptor with %i left, whether it starts or rejects", (free) => {
    const started = withFewDescriptors({
      free,
      module: import.meta.resolve("./index.ts"),
      names: ["startProgram"],
      // Node keeps some of what it opens for its first child.
      prepare: `
        const first = await startProgram("true", [], { stdio: "pipe" });
        for (const stream of first.stdio) stream.resume?.();
        await new Promise((resolve) => first.once("close", resolve));`,
      body: `try {
        const child = await startProgram("cat", [], { stdio: ["pipe", "pipe", "pipe"] });
        const closed = new Promise((resolve) => child.once("close", resolve));
        for (const stream of child.stdio) stream.resume?.();
        child.stdin.end();
        await closed;
        return "ran";
      } catch (error) { return error.code + ": " + error.message; }`,
    });
    expect(started).toEqual({ answer: free < 13 ? "EMFILE: spawn cat EMFILE" : "ran", left: 0 });
  });
});
