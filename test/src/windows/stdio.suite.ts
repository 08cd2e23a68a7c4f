/** Run under Wine: a shim's ends of standard input and output over Windows' own pipes. */
import { randomBytes } from "node:crypto";
import net from "node:net";
import { buffer, text } from "node:stream/consumers";
import { finished } from "node:stream/promises";
import { systemClock } from "@uvm-shim/lifecycle";
import { afterEach, describe, expect, it } from "vitest";
import { createPipeStdio } from "../../../packages/shim/src/system/stdio-pipe.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };
const servers = new Set<net.Server>();
const pipe = (name: string): string => String.raw`\\.\pipe\uvm-shim-stdio-` + name;
const stdio = createPipeStdio({ clock: systemClock, retryMilliseconds: async () => 20_000 });

/** Serves a pipe as a client of containerd does, and answers with who dials it first. */
async function serve(name: string): Promise<{ readonly server: net.Server; readonly client: Promise<net.Socket> }> {
  const { promise, resolve } = Promise.withResolvers<net.Socket>();
  const server = net.createServer(resolve);
  servers.add(server);
  await new Promise<void>((listening, reject) => server.listen(pipe(name), listening).once("error", reject));
  return { server, client: promise };
}

afterEach(() => {
  for (const server of servers) server.close();
  servers.clear();
});

describe("standard input and output", () => {
  it("carry every byte, and end when their other end does", async () => {
    const [input, output, errors] = [await serve("in"), await serve("out"), await serve("err")];
    const opened = await stdio.open({ ...none, stdin: pipe("in"), stdout: pipe("out"), stderr: pipe("err") });
    const sent = randomBytes(8 * 1024 * 1024);
    (await input.client).end(sent);
    const received = buffer(await output.client);
    const complaint = text(await errors.client);
    opened.stderr?.end("complaint");
    if (opened.stdin === undefined || opened.stdout === undefined) throw new Error("not opened");
    opened.stdin.pipe(opened.stdout);
    opened.closeStdin();
    await finished(opened.stdin);
    await opened.close();
    expect((await received).equals(sent)).toBe(true);
    expect(await complaint).toBe("complaint");
  });

  it("reach the next server after the first has gone", async () => {
    const first = await serve("again");
    const opened = await stdio.open({ ...none, stdout: pipe("again") });
    const client = await first.client;
    const gone = new Promise((resolve) => first.server.close(resolve));
    client.destroy();
    await gone;
    // The first write may still be taken by a pipe that nobody reads any more.
    opened.stdout?.write("lost or not,");
    const second = await serve("again");
    opened.stdout?.write("found");
    const received = text(await second.client);
    await opened.close();
    expect(await received).toMatch(/found$/);
  });

  it("are refused at once, by name, when nobody serves them", async () => {
    await expect(stdio.open({ ...none, stdin: pipe("none") })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/^stdin \\\\\.\\pipe\\uvm-shim-stdio-none cannot be opened: .*ENOENT/),
    });
  });
});
