import http2 from "node:http2";
import { expect } from "vitest";
import { encodeFields } from "../program/protobuf-wire.ts";

/** Serves containerd's version service on a socket. Resolves with a function that closes it. */
export async function serveVersion(socket: string, version: string): Promise<() => Promise<void>> {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    expect(headers[":path"]).toBe("/containerd.services.version.v1.Version/Version");
    const message = encodeFields([
      [1, version],
      [2, "revision"],
    ]);
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(Buffer.concat([frame, message]));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return () => new Promise((resolve) => server.close(() => resolve()));
}
