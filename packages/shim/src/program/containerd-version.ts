import net from "node:net";
import type { ReplyDialect } from "./bootstrap.ts";
import { decodeFields, textField } from "./wire.ts";

const answerMilliseconds = 2000;
const longestAnswer = 64 * 1024;

/**
 * How to answer a `start` whose input does not say it. containerd 1.6 sets no MAX_SHIM_VERSION. 1.7 and 2.0 to 2.2
 * call alike, but 1.7 refuses version 3 and 2.x needs it to use the Sandbox API, so containerd is asked which it is.
 * One that does not answer is told version 2: every containerd can work with that.
 */
export async function findReplyDialect(
  env: { readonly [name: string]: string | undefined },
  grpcAddress: string,
): Promise<ReplyDialect> {
  if (env.MAX_SHIM_VERSION === undefined) return { kind: "address" };
  const { major } = await askVersion(grpcAddress);
  return { kind: "json", version: major >= 2 ? 3 : 2 };
}

/**
 * Whether containerd tells of a pod whose shim has ended, and of all the others beside it. In 2.0 the figures of every
 * container fail for one of a pod that has none. False where it does not answer.
 */
export async function sparesCompletedPods(grpcAddress: string): Promise<boolean> {
  const { major, minor } = await askVersion(grpcAddress);
  return major > 2 || (major === 2 && minor >= 1);
}

/** Zeros where it does not answer, or not with a version. */
async function askVersion(grpcAddress: string): Promise<{ readonly major: number; readonly minor: number }> {
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
    // One of the callbacks of this promise, which close the socket as soon as one of them has come.
    const timer = setTimeout(() => fail(new Error("containerd did not say its version in time")), answerMilliseconds);
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
      if (received > longestAnswer) fail(new Error("containerd's version is too long"));
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
    // One empty message in gRPC's framing: not compressed, no bytes.
    call.end(Buffer.alloc(5));
  });
}

function unframe(body: Buffer): Buffer {
  if (body.length < 5 || body[0] !== 0) throw new Error("containerd answered with an error");
  return body.subarray(5, 5 + body.readUInt32BE(1));
}
