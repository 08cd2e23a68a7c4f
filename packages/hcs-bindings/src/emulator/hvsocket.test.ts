import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { withFewDescriptors } from "@uvm-shim/test-support/few-descriptors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connectToGuest, listenForGuest } from "./hvsocket.ts";

let directory: string;
let base: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "vsock-"));
  base = join(directory, "hv.vsock");
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("listenForGuest", () => {
  it("passes connections to waiting accepts, and keeps them for later ones", async () => {
    const listener = await listenForGuest("vm", base, 7);
    const first = connect(`${base}_7`);
    const accepted = await listener.accept();
    const second = connect(`${base}_7`);
    second.end("early words");
    await once(second, "finish");
    expect(await text(await listener.accept())).toBe("early words");
    accepted.destroy();
    first.destroy();
    second.destroy();
    await listener.close();
    expect(existsSync(`${base}_7`)).toBe(false);
  });

  it.each([0, 1, 2, 3])("refuses to listen with %i descriptors left, too few to accept a connection", (free) => {
    const { answer } = withFewDescriptors({
      free,
      module: import.meta.resolve("./hvsocket.ts"),
      names: ["listenForGuest"],
      prepare: `await listenForGuest("vm", ${JSON.stringify(base)}, 7);`,
      // A failed listen must not leave the port in use.
      body: `
        const said = await listenForGuest("vm", ${JSON.stringify(base)}, 8).then(() => "listens", (error) => error);
        release();
        if (said !== "listens") await listenForGuest("vm", ${JSON.stringify(base)}, 8);
        return [said.code ?? said, said.message];`,
    });
    const [code, message] = answer as string[];
    if (free === 0)
      expect({ code, message }).toMatchObject({ code: "Internal", message: expect.stringMatching(/EMFILE/) });
    else expect(code).toBe(free < 3 ? "ResourceExhausted" : "listens");
  });

  it("keeps the other direction open when the guest has ended its own", async () => {
    const listener = await listenForGuest("vm", base, 7);
    const guest = connect({ path: `${base}_7`, allowHalfOpen: true });
    guest.end("done");
    const stream = await listener.accept();
    // Reading by iteration would destroy the stream at its end.
    stream.resume();
    await once(stream, "end");
    stream.end("answer");
    expect(await text(guest)).toBe("answer");
    await listener.close();
  });

  it("ends connections that were not accepted, and keeps accepted streams", async () => {
    const listener = await listenForGuest("vm", base, 7);
    const taken = connect(`${base}_7`);
    const stream = await listener.accept();
    const left = connect(`${base}_7`);
    await once(left, "connect");
    const ended = once(left, "close");
    left.on("error", () => {});
    await listener.close();
    await ended;
    stream.write("still here");
    expect(String((await once(taken, "data"))[0])).toBe("still here");
    stream.destroy();
    taken.destroy();
  });

  it("survives a stream that breaks before it is accepted", async () => {
    const listener = await listenForGuest("vm", base, 7);
    const guest = connect(`${base}_7`);
    await once(guest, "connect");
    guest.destroy();
    (await listener.accept()).destroy();
    await listener.close();
  });

  it("reports that the VM is gone", async () => {
    await expect(listenForGuest("vm", join(directory, "gone", "hv.vsock"), 7)).rejects.toMatchObject({
      code: "NotFound",
      id: "vm port 7",
    });
  });
});

describe("connectToGuest", () => {
  let server: Server;
  afterEach(() => void server.close());

  async function answering(answer: string): Promise<string[]> {
    const heard: string[] = [];
    server = createServer((socket) => {
      socket.once("data", (chunk) => {
        heard.push(chunk.toString());
        socket.end(answer);
      });
    });
    server.listen(base);
    await once(server, "listening");
    return heard;
  }

  it("sends the port, and passes on the bytes after the answer", async () => {
    const heard = await answering("OK 1073741824\nfirst words");
    const stream = await connectToGuest("vm", base, 12);
    expect(heard).toEqual(["CONNECT 12\n"]);
    expect(await text(stream)).toBe("first words");
    stream.destroy();
  });

  it.each([
    ["a refusal", "", /the guest refused/],
    ["another protocol", "220 smtp\n", /invalid answer "220 smtp": expected "OK <number>"/],
    ["an answer without end", "O".repeat(100), /expected "OK <number>"/],
  ])("fails on %s", async (_what, answer, message) => {
    await answering(answer);
    await expect(connectToGuest("vm", base, 12)).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringMatching(message),
    });
  });

  it("stops when its signal aborts", async () => {
    await answering("");
    await expect(connectToGuest("vm", base, 12, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
  });
});
