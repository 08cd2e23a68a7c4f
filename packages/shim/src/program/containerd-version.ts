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

const frames = { data: 0, headers: 1, reset: 3, settings: 4 } as const;
const flags = { endStream: 1, acknowledgement: 1, endHeaders: 4, padded: 8 } as const;
const frameHeaderBytes = 9;
/** The first stream of a client. */
const stream = 1;
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/**
 * Calls containerd.services.version.v1.Version/Version, a unary gRPC call without fields, over containerd's socket. By hand:
 * loading Node's HTTP/2 takes almost half as long as the runtime takes to start, and every `start` would load it.
 */
function callVersion(grpcAddress: string): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const socket = net.connect(grpcAddress.replace(/^unix:\/\//, ""));
    const body: Uint8Array[] = [];
    let rest = Buffer.alloc(0);
    let received = 0;
    // Its callback is one of those of this promise, each of which closes the socket.
    const timer = setTimeout(
      () => fail(new Error(`containerd did not report its version within ${answerMilliseconds} ms`)),
      answerMilliseconds,
    );
    const release = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (error: Error): void => {
      release();
      reject(error);
    };
    const finish = (): void => {
      release();
      try {
        resolve(textField(decodeFields(unframe(Buffer.concat(body))), 1));
      } catch (error) {
        reject(error);
      }
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("containerd has closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (received > longestAnswer)
        return fail(new Error(`version response of containerd exceeds ${longestAnswer} bytes`));
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= frameHeaderBytes) {
        const end = frameHeaderBytes + rest.readUIntBE(0, 3);
        if (rest.length < end) return;
        const [type, flag, id] = [rest.readUInt8(3), rest.readUInt8(4), rest.readUInt32BE(5)];
        const payload = rest.subarray(frameHeaderBytes, end);
        rest = rest.subarray(end);
        if (type === frames.settings && (flag & flags.acknowledgement) === 0) {
          socket.write(frame(frames.settings, flags.acknowledgement, 0));
        }
        if (id !== stream) continue;
        if (type === frames.data) body.push(withoutPadding(payload, flag));
        const isLast = (type === frames.data || type === frames.headers) && (flag & flags.endStream) !== 0;
        // A stream that is reset leaves a body without a message.
        if (isLast || type === frames.reset) return finish();
      }
    });
    socket.write(
      Buffer.concat([
        Buffer.from(preface),
        frame(frames.settings, 0, 0),
        frame(frames.headers, flags.endHeaders, stream, requestHeaders()),
        // One empty gRPC message: compression flag 0, length 0.
        frame(frames.data, flags.endStream, stream, Buffer.alloc(5)),
      ]),
    );
  });
}

function frame(type: number, flag: number, id: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flag, 4);
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, payload]);
}

/** In HPACK: names that its static table has by their number in it, values as they are. */
function requestHeaders(): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  return Buffer.concat([
    // :method POST, :scheme http
    Buffer.of(0x83, 0x86),
    // :path
    Buffer.of(0x04),
    text("/containerd.services.version.v1.Version/Version"),
    // :authority
    Buffer.of(0x01),
    text("containerd"),
    // content-type
    Buffer.of(0x0f, 0x10),
    text("application/grpc"),
    Buffer.of(0x00),
    text("te"),
    text("trailers"),
  ]);
}

function withoutPadding(payload: Buffer, flag: number): Uint8Array {
  if ((flag & flags.padded) === 0) return payload;
  return payload.subarray(1, payload.length - payload.readUInt8(0));
}

function unframe(body: Buffer): Buffer {
  if (body.length < 5 || body[0] !== 0) throw new Error("version response of containerd has no uncompressed message");
  return body.subarray(5, 5 + body.readUInt32BE(1));
}
