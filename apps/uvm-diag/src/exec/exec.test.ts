import { existsSync, readdirSync } from "node:fs";
import { constants, open } from "node:fs/promises";
import path from "node:path";
import { PassThrough } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { makeFifos } from "./fifos.ts";
import { LeavingKey } from "./leaving.ts";

describe("the FIFOs of a program in the VM", () => {
  it("carry its streams, and end when it has", async () => {
    const ends = await makeFifos({ input: true, terminal: false });
    const { names } = ends;
    const [stdin, stdout, stderr] = await Promise.all([
      open(names.stdin, constants.O_RDONLY),
      open(names.stdout, "w"),
      open(names.stderr, "w"),
    ]);
    const input = await ends.stdin;
    input?.end("to the program");
    expect(await text(stdin.createReadStream())).toBe("to the program");
    const large = Buffer.alloc(200_000, "o");
    const outputs = Promise.all([buffer(ends.stdout), ends.stderr && text(ends.stderr)]);
    await stdout.writeFile(large);
    await stderr.writeFile("an error");
    await Promise.all([stdout.close(), stderr.close()]);
    ends.finish();
    expect(await outputs).toEqual([large, "an error"]);
    ends.close();
    expect(existsSync(path.dirname(names.stdout))).toBe(false);
  });

  it("end without anybody at the other end, and leave nothing open", async () => {
    const before = readdirSync("/proc/self/fd").length;
    const ends = await makeFifos({ input: true, terminal: true });
    expect(ends.names.stderr).toBe("");
    expect(ends.stderr).toBeUndefined();
    const output = text(ends.stdout);
    ends.finish();
    expect(await output).toBe("");
    const input = await ends.stdin;
    await new Promise((resolve) => input?.once("close", resolve).destroy());
    ends.close();
    expect(readdirSync("/proc/self/fd").length).toBeLessThanOrEqual(before);
  });

  it("have no input if none is wanted", async () => {
    const ends = await makeFifos({ input: false, terminal: false });
    expect(ends.names.stdin).toBe("");
    expect(ends.stdin).toBeUndefined();
    ends.finish();
    ends.stdout.resume();
    ends.stderr?.resume();
    ends.close();
  });
});

describe("the leaving key", () => {
  async function pressed(...keys: string[]): Promise<{ left: boolean; passed: string }> {
    let left = false;
    const source = new PassThrough();
    const passed = text(source.pipe(new LeavingKey(() => (left = true))));
    for (const key of keys) source.write(key);
    source.end();
    return { passed: await passed, left };
  }

  it.each([
    [["ab\u001d\u001d\u001d"], true],
    [["\u001d", "\u001d", "\u001d"], true],
    [["\u001d\u001d", "x", "\u001d"], false],
    [["\u001d\u001dx\u001d\u001d"], false],
  ])("%j: %s", async (keys, left) => {
    // The program gets every key all the same.
    expect(await pressed(...keys)).toEqual({ left, passed: keys.join("") });
  });
});
