import { once } from "node:events";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { vsockServiceGuid } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeStreams } from "../../testing/windows/fake-streams.ts";
import type { HvsocketListener } from "../../types.ts";
import { winsockFunctions } from "../native/winsock-functions.ts";
import type { CompletionPort } from "./completion-port.ts";
import { WindowsHvsockets } from "./hvsocket.ts";

const vm = "0a0b0c0d-0000-4000-8000-000000000001";

async function openOn(fake: FakeStreams, port: CompletionPort): Promise<WindowsHvsockets> {
  return WindowsHvsockets.open(fake.machine, fake.machine.library("winsock", winsockFunctions), port);
}

describe.each([
  ["are done at once", true],
  ["come through the port", false],
])("hvsockets whose calls %s", (_, atOnce) => {
  let fake: FakeStreams;
  let port: CompletionPort;
  let sockets: WindowsHvsockets;
  let listener: HvsocketListener;

  beforeEach(async () => {
    fake = new FakeStreams();
    fake.io.atOnce = atOnce;
    port = fake.openPort();
    sockets = await openOn(fake, port);
    listener = await sockets.listen(vm, 7);
  });

  afterEach(async () => {
    await sockets.close();
    await port.close();
    expect(fake.leftovers()).toEqual([]);
  });

  async function pair(): Promise<[accepted: Duplex, connected: Duplex]> {
    return Promise.all([listener.accept(), sockets.connect(vm, 7)]);
  }

  it("carry bytes both ways, and end each direction by itself", async () => {
    const [accepted, connected] = await pair();
    accepted.end("to the dialler");
    expect(String((await once(connected, "data"))[0])).toBe("to the dialler");
    await once(connected, "end");
    expect(connected.destroyed).toBe(false);
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
    connected.end(bytes);
    expect((await buffer(accepted)).equals(bytes)).toBe(true);
  });

  it("write many chunks in order, even empty ones", async () => {
    const [accepted, connected] = await pair();
    const pieces = Array.from({ length: 300 }, (_, index) => (index % 7 === 0 ? "" : `${index},`));
    connected.cork();
    for (const piece of pieces) connected.write(piece);
    connected.uncork();
    connected.end();
    expect(await text(accepted)).toBe(pieces.join(""));
  });

  it("make a writer wait for the reader", async () => {
    const [accepted, connected] = await pair();
    const bytes = Buffer.alloc(1024 * 1024, 7);
    let reading = false;
    const readWhenWritten = new Promise((resolve) => connected.end(bytes, () => resolve(reading)));
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    reading = true;
    expect((await buffer(accepted)).equals(bytes)).toBe(true);
    expect(await readWhenWritten).toBe(true);
  });

  it("fail with Node's codes when the other side is lost", async () => {
    const [accepted, connected] = await pair();
    const failed = once(connected, "error");
    for (const endpoint of fake.winsock.endpoints) endpoint.reset();
    fake.io.settle();
    expect(await failed).toMatchObject([{ code: "ECONNRESET", errno: 10054, syscall: "read" }]);
    accepted.destroy();
  });

  it("report a failed write", async () => {
    const [accepted, connected] = await pair();
    const failed = new Promise((resolve) => connected.write(Buffer.alloc(1024 * 1024), resolve));
    accepted.destroy();
    expect(await failed).toMatchObject({ code: "ECONNRESET" });
  });

  it("are closed once outstanding calls have completed", async () => {
    const [accepted, connected] = await pair();
    const failed = new Promise((resolve) => accepted.write(Buffer.alloc(1024 * 1024), resolve));
    accepted.destroy();
    expect(accepted.closed).toBe(false);
    await once(accepted, "close");
    expect(await failed).toBeInstanceOf(Error);
    connected.destroy();
  });

  it("lose no stream to a cancelled accept", async () => {
    const cancelled = new AbortController();
    const accepting = listener.accept(cancelled.signal);
    cancelled.abort();
    await expect(accepting).rejects.toMatchObject({ code: "Cancelled" });
    (await sockets.connect(vm, 7)).end("kept");
    expect(await text(await listener.accept())).toBe("kept");
  });

  it("leave accepted streams alone when the listener closes, and free its service", async () => {
    const [accepted, connected] = await pair();
    await expect(sockets.listen(vm, vsockServiceGuid(7).toUpperCase())).rejects.toMatchObject({
      code: "AlreadyExists",
      id: `${vm} port 7`,
    });
    const waiting = listener.accept();
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: "Cancelled", gone: true }), listener.close()]);
    await listener.close();
    await expect(sockets.connect(vm, 7)).rejects.toMatchObject({ code: "Unavailable" });
    accepted.end("still here");
    expect(await text(connected)).toBe("still here");
    listener = await sockets.listen(vm, 7);
  });

  it("reject an unknown VM, an invalid port and an invalid service", async () => {
    await expect(sockets.listen(fake.winsock.missingVm, 7)).rejects.toMatchObject({ code: "NotFound" });
    await expect(sockets.listen(vm, 2 ** 32)).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(sockets.listen(vm, "log")).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(sockets.connect(vm, 8)).rejects.toMatchObject({
      code: "Unavailable",
      operation: "connect to hvsocket",
      id: `${vm} port 8`,
      cause: { code: "ECONNREFUSED" },
    });
  });

  it("stop connecting when the signal aborts", async () => {
    const stop = new AbortController();
    const dialling = sockets.connect(fake.winsock.missingVm, 7, stop.signal);
    stop.abort(new Error("enough"));
    await expect(dialling).rejects.toMatchObject({ code: "Cancelled", cause: stop.signal.reason });
    await expect(sockets.connect(vm, 7, stop.signal)).rejects.toMatchObject({ code: "Cancelled" });
  });
});

it("leaves nothing open, whichever call of Windows fails", async () => {
  const fake = new FakeStreams();
  const scenario = async (): Promise<void> => {
    const port = fake.openPort();
    try {
      const sockets = await openOn(fake, port);
      try {
        const listener = await sockets.listen(vm, 7);
        const [accepted, connected] = await Promise.all([listener.accept(), sockets.connect(vm, 7)]);
        connected.end("x");
        await text(accepted);
      } finally {
        await sockets.close();
      }
    } finally {
      await port.close();
    }
  };
  let struck = 0;
  for (let failAt = 0; ; failAt++) {
    Object.assign(fake.io, { failAt, calls: 0 });
    const outcome = await scenario().catch((error: unknown) => error);
    expect(fake.leftovers()).toEqual([]);
    if (fake.io.calls <= failAt) {
      expect(outcome).toBeUndefined();
      break;
    }
    if (outcome !== undefined) struck++;
  }
  expect(struck).toBeGreaterThan(10);
});
