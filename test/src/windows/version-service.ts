/** Run under Wine: the one call of containerd's own service that a shim makes, by which it learns the version. */
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";

const CALL = "/containerd.services.version.v1.Version/Version";

/** Serves it on a named pipe, until the server is closed. */
export async function serveVersion(pipe: string, version: string): Promise<Http2Server> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    if (headers[":path"] !== CALL) return stream.respond({ ":status": 404 }, { endStream: true });
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(framed(versionResponse(version)));
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(pipe, resolve));
  return server;
}

/** The version is the message's first field, a text. */
function versionResponse(version: string): Buffer {
  const text = Buffer.from(version);
  return Buffer.concat([Buffer.of(0x0a, text.length), text]);
}

/** In gRPC's framing: not compressed, and the length. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
