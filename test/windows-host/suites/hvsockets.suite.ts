/** Run under Wine: hvsockets on the completion port, between the ends of HV_GUID_LOOPBACK. */
import { once } from "node:events";
import { stat } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { HvsocketListener } from "../../../packages/hcs-bindings/src/types.ts";
import { WindowsHvsockets } from "../../../packages/hcs-bindings/src/windows/io/hvsocket.ts";
import { winsockFunctions } from "../../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { controls, paths, system } from "./system-under-test.ts";

const loopback = "e0e16197-dd56-4a10-9195-5ee7a155a838";
const port = 4000;

let sockets: WindowsHvsockets;
let listener: HvsocketListener;

beforeEach(async () => {
  const winsock = system.machine.library(system.paths.winsock, winsockFunctions);
  sockets = await WindowsHvsockets.open(system.machine, winsock, system.port);
  listener = await sockets.listen(loopback, port);
});

afterEach(async () => {
  await sockets.close();
  expect(controls.counts().sockets).toBe(0);
});

async function pair(): Promise<[accepted: Duplex, connected: Duplex]> {
  return Promise.all([listener.accept(), sockets.connect(loopback, port)]);
}

describe("streams", () => {
  it("carry bytes both ways, and end each way by itself", async () => {
    const [accepted, connected] = await pair();
    accepted.end("to the dialler");
    expect(String((await once(connected, "data"))[0])).toBe("to the dialler");
    await once(connected, "end");
    expect(connected.destroyed).toBe(false);
    connected.end(Buffer.alloc(3_000_000, "x"));
    expect((await buffer(accepted)).equals(Buffer.alloc(3_000_000, "x"))).toBe(true);
    for (const stream of [accepted, connected]) if (!stream.closed) await once(stream, "close");
  });

  it("hold a writer up while nobody reads, and then lose nothing", async () => {
    const [accepted, connected] = await pair();
    const bytes = Buffer.alloc(64 * 1024 * 1024, 7);
    let reading = false;
    const readWhenWritten = new Promise((resolve) => accepted.write(bytes, () => resolve(reading)));
    expect(accepted.writableNeedDrain).toBe(true);
    for (let count = 0; count < 100; count++) await stat(paths.files);
    reading = true;
    accepted.end();
    expect((await buffer(connected)).equals(bytes)).toBe(true);
    expect(await readWhenWritten).toBe(true);
  });

  it("are written in order, many small pieces at a time", async () => {
    const [accepted, connected] = await pair();
    const pieces = Array.from({ length: 5000 }, (_, index) => `${index},`);
    for (const piece of pieces) accepted.write(piece);
    accepted.end();
    expect(await text(connected)).toBe(pieces.join(""));
  });

  it("end for the other side when one is destroyed", async () => {
    const [accepted, connected] = await pair();
    const ended = once(connected.resume(), "end");
    accepted.destroy();
    await ended;
    connected.destroy();
  });

  it("are destroyed while they read and write", async () => {
    const [accepted, connected] = await pair();
    const failed = new Promise((resolve) => accepted.write(Buffer.alloc(64 * 1024 * 1024), resolve));
    accepted.destroy();
    expect(await failed).toBeInstanceOf(Error);
    if (!accepted.closed) await once(accepted, "close");
    connected.destroy();
  });

  it("end with the host", async () => {
    const [accepted, connected] = await pair();
    const closed = Promise.all([once(accepted, "close"), once(connected, "close")]);
    await sockets.close();
    await closed;
    sockets = await WindowsHvsockets.open(
      system.machine,
      system.machine.library(system.paths.winsock, winsockFunctions),
      system.port,
    );
  });

  it("do not take the threads that the file system needs, 200 at a time", async () => {
    const pairs: [Duplex, Duplex][] = [];
    for (let count = 0; count < 200; count++) pairs.push(await pair());
    const texts = pairs.map(([, connected]) => text(connected));
    for (let count = 0; count < 100; count++) expect((await stat(paths.files)).isDirectory()).toBe(true);
    for (const [index, [accepted]] of pairs.entries()) accepted.end(`stream ${index}`);
    expect(await Promise.all(texts)).toEqual(pairs.map((_, index) => `stream ${index}`));
  });
});

describe("listeners", () => {
  it("take who dialled before anybody accepted", async () => {
    const connected = await sockets.connect(loopback, port);
    connected.end("early");
    expect(await text(await listener.accept())).toBe("early");
  });

  it("lose no stream to an accept that was cancelled", async () => {
    const cancelled = new AbortController();
    const accepting = listener.accept(cancelled.signal);
    const dialled = sockets.connect(loopback, port);
    cancelled.abort();
    await expect(accepting).rejects.toMatchObject({ code: "Cancelled" });
    (await dialled).end("kept");
    expect(await text(await listener.accept())).toBe("kept");
  });

  it("leave accepted streams alone when they close", async () => {
    const [accepted, connected] = await pair();
    const waiting = listener.accept();
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: "Cancelled", gone: true }), listener.close()]);
    accepted.end("still here");
    expect(await text(connected)).toBe("still here");
    await expect(sockets.connect(loopback, port)).rejects.toMatchObject({ code: "Unavailable" });
    listener = await sockets.listen(loopback, port);
  });

  it("take the many who dial at once", async () => {
    const dialled = await Promise.all(Array.from({ length: 100 }, () => sockets.connect(loopback, port)));
    const accepted = await Promise.all(dialled.map(() => listener.accept()));
    for (const stream of accepted) stream.end("all");
    expect(await Promise.all(dialled.map(text))).toEqual(dialled.map(() => "all"));
  });
});

describe("dialling", () => {
  it("is refused where nobody listens", async () => {
    await expect(sockets.connect(loopback, port + 1)).rejects.toMatchObject({
      code: "Unavailable",
      cause: { code: "ECONNREFUSED" },
    });
  });

  it("stops on request", async () => {
    const cancelled = new AbortController();
    const dialled = sockets.connect(loopback, port, cancelled.signal);
    cancelled.abort(new Error("enough"));
    await expect(dialled).rejects.toMatchObject({ code: "Cancelled", cause: cancelled.signal.reason });
    await expect(sockets.connect(loopback, port, cancelled.signal)).rejects.toMatchObject({ code: "Cancelled" });
  });
});
