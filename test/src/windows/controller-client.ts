/** Run under Wine: containerd's client of a sandbox controller, over a pipe. */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import net from "node:net";
import { containerd } from "@uvm-shim/shim/protocol";

const { Controller } = containerd.services.sandbox.v1;
type Methods = typeof Controller.methods;
type Method = keyof Methods;

/** Before each message: whether it is compressed, and its length. */
const framePrefix = 5;

export const namespace = "pods";

/** What a call was refused with. */
export class GrpcRefusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** One connection. */
export class ControllerClient {
  readonly #session: ClientHttp2Session;
  readonly #authority: string;

  /** Its calls fail if nobody serves the pipe. */
  constructor(pipe: string) {
    // grpc-go makes this of the address that containerd dials: `npipe://` and the path with slashes.
    this.#authority = encodeURIComponent(`npipe://${pipe.replaceAll("\\", "/")}`).replaceAll("%3A", ":");
    this.#session = connectHttp2("http://pipe", { createConnection: () => net.connect(pipe) });
    this.#session.on("error", () => {});
  }

  async call<M extends Method>(
    method: M,
    request: Parameters<Methods[M]["request"]["encode"]>[0],
  ): Promise<ReturnType<Methods[M]["response"]["decode"]>> {
    const { request: requestType, response: responseType } = Controller.methods[method];
    const encoded = requestType.encode(request as never).finish();
    const prefix = Buffer.alloc(framePrefix);
    prefix.writeUInt32BE(encoded.byteLength, 1);
    const answer = await this.#exchange(`/${Controller.name}/${method}`, Buffer.concat([prefix, encoded]));
    return responseType.decode(answer.subarray(framePrefix)) as never;
  }

  #exchange(path: string, message: Buffer): Promise<Buffer> {
    const stream = this.#session.request({
      ...{ ":method": "POST", ":path": path, ":authority": this.#authority },
      ...{ "content-type": "application/grpc", te: "trailers", "containerd-namespace": namespace },
    });
    return new Promise((resolve, reject) => {
      let status: readonly [code: unknown, message: unknown] | undefined;
      // A refusal without an answer comes in the headers, any other status in the trailers.
      const read = (headers: { readonly [name: string]: unknown }): void => {
        if (headers["grpc-status"] !== undefined) status = [headers["grpc-status"], headers["grpc-message"]];
      };
      const received: Buffer[] = [];
      stream.on("response", read).on("trailers", read).on("error", reject);
      stream.on("data", (chunk: Buffer) => received.push(chunk));
      stream.on("end", () => {
        const [code, text] = status ?? [2, "no status came"];
        if (String(code) === "0") resolve(Buffer.concat(received));
        else reject(new GrpcRefusal(Number(code), decodeURIComponent(String(text))));
      });
      stream.end(message);
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
