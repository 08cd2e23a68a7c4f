/**
 * What `start` and `delete` ask of a sandboxer: one call on one connection. They run for milliseconds, so that the client and
 * the messages of the services would take longer to load than the call.
 */
import net from "node:net";
import { type ErrorCode, errorCodes } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import type { RuntimeOptions } from "../program/bootstrap.ts";
import { encodeAny } from "../program/bootstrap.ts";
import { bytesField, decodeFields, encodeFields, numberField, textField } from "../program/protobuf-wire.ts";
import type { PodName } from "./registry.ts";

/** containerd waits this long for `start`. In milliseconds. */
const hostMilliseconds = 10_000;

/** Has the sandboxer serve a pod. Throws Unavailable if it does not answer. */
export async function hostPod(
  control: string,
  pod: PodName & {
    readonly bundle: string;
    readonly socket: string;
    readonly debug: boolean;
    readonly ttrpcAddress: string;
    readonly grpcAddress: string;
    readonly flavour: string;
    /** What UVM_SHIM_HOST says. */
    readonly host: string;
    /** What UVM_SHIM_GUEST says. */
    readonly guest: string;
    readonly runtimeOptions: RuntimeOptions | undefined;
  },
): Promise<void> {
  const { runtimeOptions: options } = pod;
  const request = encodeFields([
    [1, pod.namespace],
    [2, pod.id],
    [3, pod.bundle],
    [4, pod.socket],
    [5, pod.debug ? 1 : 0],
    [6, pod.ttrpcAddress],
    [7, pod.grpcAddress],
    ...(options === undefined ? [] : ([[8, encodeAny(options.typeUrl, options.value)]] as const)),
    [9, pod.flavour],
    [10, pod.host],
    [11, pod.guest],
  ]);
  await call(control, "Host", request, hostMilliseconds);
}

/** Has the sandboxer end what is left of a pod. Throws Unavailable if it does not answer. */
export async function releasePod(control: string, { namespace, id }: PodName, milliseconds: number): Promise<void> {
  const request = encodeFields([
    [1, namespace],
    [2, id],
  ]);
  await call(control, "Release", request, Math.ceil(milliseconds));
}

const service = "uvmshim.sandboxer.v1.Sandboxer";
const headerBytes = 10;
const longestAnswer = 4 << 20;
const types = { request: 1, response: 2 } as const;
/** The first stream of a client. */
const stream = 1;

async function call(control: string, method: string, payload: Uint8Array, milliseconds: number): Promise<void> {
  const request = encodeFields([
    [1, service],
    [2, method],
    [3, payload],
    [4, milliseconds * 1_000_000],
  ]);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(request.length, 0);
  header.writeUInt32BE(stream, 4);
  header.writeUInt8(types.request, 8);
  readAnswer(method, await exchange(control, method, Buffer.concat([header, request]), milliseconds));
}

/** Sends the request, and answers with the whole frame that comes back. */
function exchange(control: string, method: string, request: Uint8Array, milliseconds: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    let connected = false;
    const socket = net.connect(control);
    // Its callback is one of those of this promise, each of which closes the socket.
    const timer = setTimeout(
      () => fail(new ShimError("DeadlineExceeded", `${method}: no answer from ${control} within ${milliseconds} ms`)),
      milliseconds,
    );
    const release = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (error: Error): void => {
      release();
      reject(error);
    };
    socket.on("connect", () => {
      connected = true;
      socket.write(request);
    });
    socket.on("error", (cause) => {
      const what = connected ? `${method}: the connection to ${control} failed` : `no sandboxer answers at ${control}`;
      fail(new ShimError("Unavailable", `${what}: ${cause.message}`, { cause }));
    });
    socket.on("close", () => fail(new ShimError("Unavailable", `${method}: ${control} has closed the connection`)));
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < headerBytes) return;
      const length = received.readUInt32BE(0);
      if (length > longestAnswer) fail(new ShimError("Internal", `${method}: an answer of ${length} bytes`));
      else if (received.length >= headerBytes + length) {
        release();
        resolve(received.subarray(0, headerBytes + length));
      }
    });
  });
}

/** Numbers of gRPC, as the wire has them, for the codes that a shim knows. */
const codes: readonly (ErrorCode | undefined)[] = [
  ...[undefined, "Cancelled", undefined, "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"],
  ...["PermissionDenied", "ResourceExhausted", "FailedPrecondition", undefined, undefined, "Unimplemented"],
  ...["Internal", "Unavailable"],
].map((name) => errorCodes.find((code) => code === name));

/** Throws what the answer says if it is a failure. */
function readAnswer(method: string, frame: Buffer): void {
  if (frame.readUInt8(8) !== types.response || frame.readUInt32BE(4) !== stream) {
    throw new ShimError("Internal", `${method}: the sandboxer did not answer the call`);
  }
  const status = bytesField(decodeFields(frame.subarray(headerBytes)), 1);
  if (status === undefined) return;
  const fields = decodeFields(status);
  const code = numberField(fields, 1);
  if (code === 0) return;
  throw new ShimError(codes[code] ?? "Internal", textField(fields, 2));
}
