import net from "node:net";
import type { ReplyDialect } from "./bootstrap.ts";
import { decodeFields, textField } from "./protobuf-wire.ts";

const answerMilliseconds = 2000;
const longestAnswer = 64 * 1024;

/**
 * The format of the reply to a `start` whose input does not name one. containerd 1.6 sets no MAX_SHIM_VERSION. 1.7 and
 * 2.0 to 2.2 call `start` alike, but 1.7 refuses version 3 and 2.x needs it for the Sandbox API, so the shim queries the
 * version. Without a response it replies with version 2, which every containerd supports.
 */
export async function findReplyDialect(
  env: { readonly [name: string]: string | undefined },
  grpcAddress: string,
): Promise<ReplyDialect> {
  if (env.MAX_SHIM_VERSION === undefined) return { kind: "address" };
  const { major } = await queryVersion(grpcAddress);
  return { kind: "json", version: major >= 2 ? 3 : 2 };
}

/**
 * Whether containerd can still list pods when the shim of one has exited: in 2.0, the statistics of all containers fail
 * because of one pod without a shim. False when containerd does not respond.
 */
export async function sparesCompletedPods(grpcAddress: string): Promise<boolean> {
  const { major, minor } = await queryVersion(grpcAddress);
  return major > 2 || (major === 2 && minor >= 1);
}

/** Zeros when there is no response, or no version in it. */
async function queryVersion(grpcAddress: string): Promise<{ readonly major: number; readonly minor: number }> {
  const version = await callVersion(grpcAddress).catch(() => "");
  const [, major = 0, minor = 0] = version.match(/^v?(\d+)\.(\d+)/) ?? [];
  return { major: Number(major), minor: Number(minor) };
}

/** Calls containerd.services.version.v1.Version/Version, a unary gRPC call without fields, over containerd's socket. */
async function callVersion(grpcAddress: string): Promise<string> {
  const { connect } = await import("node:http2");
  return await new Promise<string>((resolve, reject) => {
    const socket = net.connect(grpcAddress.replace(/^unix:\/\//, ""));
    const session = connect("http://containerd", { createConnection: () => socket });
    const chunks: Buffer[] = [];
    let received = 0;
    // Its callback is one of those of this promise, each of which closes the socket.
    const timer = setTimeout(
      () => fail(new Error(`containerd did not report its version within ${answerMilliseconds} ms`)),
      answerMilliseconds,
    );
    const release = (): void => {
      clearTimeout(timer);
      session.destroy();
      socket.destroy();
    };
    const fail = (error: Error): void => {
      release();
      reject(error);
    };
    session.on("error", fail);
    const call = session.request({
      ":method": "POST",
      ":path": "/containerd.services.version.v1.Version/Version",
      "content-type": "application/grpc",
      te: "trailers",
    });
    call.on("error", fail);
    call.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (received > longestAnswer) fail(new Error(`version response of containerd exceeds ${longestAnswer} bytes`));
      else chunks.push(chunk);
    });
    call.on("end", () => {
      release();
      try {
        resolve(textField(decodeFields(unframe(Buffer.concat(chunks))), 1));
      } catch (error) {
        reject(error);
      }
    });
    // One empty gRPC message: compression flag 0, length 0.
    call.end(Buffer.alloc(5));
  });
}

function unframe(body: Buffer): Buffer {
  if (body.length < 5 || body[0] !== 0) throw new Error("version response of containerd has no uncompressed message");
  return body.subarray(5, 5 + body.readUInt32BE(1));
}
