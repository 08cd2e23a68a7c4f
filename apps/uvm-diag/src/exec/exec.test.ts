import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { constants, open } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { makeFifos } from "./fifos.ts";
import { LeavingKey } from "./leaving.ts";
import { makePipes, outputOf } from "./pipes.ts";

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

describe("the pipes of a program in the VM", () => {
  const folder = (): string => `${mkdtempSync(path.join(tmpdir(), "pipes-"))}/`;
  const connected = (name: string): Promise<net.Socket> =>
    new Promise((resolve) => {
      const socket = net.connect(name, () => resolve(socket));
    });

  it("carry its streams, and end when it has", async () => {
    const ends = await makePipes({ input: true, terminal: false }, folder());
    const { names } = ends;
    const [stdin, stdout, stderr] = await Promise.all([names.stdin, names.stdout, names.stderr].map(connected));
    (await ends.stdin)?.end("to the program");
    expect(stdin && (await text(stdin))).toBe("to the program");
    const outputs = Promise.all([text(ends.stdout), ends.stderr && text(ends.stderr)]);
    stdout?.end("out");
    stderr?.end("err");
    ends.finish();
    expect(await outputs).toEqual(["out", "err"]);
    ends.close();
  });

  it("end when a connection breaks, which has no end", async () => {
    const connection = new PassThrough();
    const output = text(outputOf({ connected: Promise.resolve(connection) }));
    connection.destroy();
    expect(await output).toBe("");
  });

  it("end without anybody at the other end", async () => {
    const ends = await makePipes({ input: false, terminal: true }, folder());
    expect([ends.names.stdin, ends.names.stderr, ends.stdin, ends.stderr]).toEqual(["", "", undefined, undefined]);
    ends.finish();
    expect(await text(ends.stdout)).toBe("");
    ends.close();
  });

  it("leave none open when one cannot be made", async () => {
    const place = folder();
    // The longer name of another stream does not fit into the address of a socket.
    const longest = place.padEnd(108 - "uvm-diag--stdin".length - 36, "x");
    await expect(makePipes({ input: true, terminal: false }, longest)).rejects.toThrow("EINVAL");
    await expect.poll(() => readdirSync(place)).toEqual([]);
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
