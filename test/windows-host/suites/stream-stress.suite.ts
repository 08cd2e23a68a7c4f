/** Run under Wine: streams, listeners, pipes, events and jobs come and go, and leave nothing behind. */
import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WindowsHvsockets } from "../../../packages/hcs-bindings/src/windows/io/hvsocket.ts";
import { winsockFunctions } from "../../../packages/hcs-bindings/src/windows/native/winsock-functions.ts";
import { administratorsOnly } from "../../../packages/hcs-bindings/src/windows/system/security-descriptor.ts";
import { leavesNothing } from "./leaves-nothing.ts";
import { controls, system } from "./system-under-test.ts";

const loopback = "e0e16197-dd56-4a10-9195-5ee7a155a838";

let sockets: WindowsHvsockets;

beforeAll(async () => {
  const winsock = system.machine.library(system.paths.winsock, winsockFunctions);
  sockets = await WindowsHvsockets.open(system.machine, winsock, system.port);
});

afterAll(async () => {
  await sockets.close();
  expect(controls.counts().sockets).toBe(0);
});

async function closed(stream: Duplex): Promise<void> {
  const close = once(stream, "close");
  stream.destroy();
  await close;
}

it("streams", async () => {
  const listener = await sockets.listen(loopback, 6000);
  await leavesNothing("streams", async () => {
    const [left, right] = await Promise.all([listener.accept(), sockets.connect(loopback, 6000)]);
    left.write("x");
    // Not always the two ends of one stream: who dials first is not always accepted first.
    await Promise.all([closed(left), closed(right)]);
  });
  await listener.close();
}, 300_000);

it("listeners", async () => {
  await leavesNothing("listeners", async (lane) => (await sockets.listen(loopback, 6001 + lane)).close());
}, 300_000);

it("diallers that are refused", async () => {
  await leavesNothing("diallers that are refused", async () => {
    await sockets.connect(loopback, 7000).catch(() => {});
  });
}, 300_000);

it("pipes", async () => {
  const path = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\uvm-shim-stress";
  const server = await system.servePipe({
    path,
    onConnection: (stream) => stream.pipe(stream),
    onError: (error) => {
      throw error;
    },
  });
  await leavesNothing("pipes", async () => {
    const client = connect(path);
    client.write("x");
    await once(client, "data");
    await closed(client);
  });
  await server.close();
}, 300_000);

it("events", async () => {
  await leavesNothing("events", async (lane) => {
    const event = system.events.create(`uvm-shim-stress-${lane}`, administratorsOnly);
    const waited = event.wait();
    event.set();
    await waited;
    await event.close();
  });
}, 300_000);

it("jobs", async () => {
  await leavesNothing("jobs", async () => system.createJob().close());
}, 300_000);
