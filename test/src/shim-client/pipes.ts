import { createServer, type Server, type Socket } from "node:net";
import { basename } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { ClientStdio } from "./client-stdio.ts";

/** The client's ends of a process's stdio on Windows: pipes that it serves, each for the shim alone. */
export class Pipes implements ClientStdio {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly paths: ClientStdio["paths"];
  readonly #ends: readonly PipeEnd[];

  private constructor(ends: { readonly [Name in "stdin" | "stdout" | "stderr"]: PipeEnd }, terminal: boolean) {
    this.#ends = Object.values(ends);
    this.stdin = ends.stdin.stream;
    this.stdout = ends.stdout.stream;
    this.stderr = ends.stderr.stream;
    const { path: stdin } = ends.stdin;
    this.paths = { stdin, stdout: ends.stdout.path, stderr: terminal ? "" : ends.stderr.path, terminal };
  }

  /** Serves them; a terminal has no standard error of its own. */
  static async serve(directory: string, stem: string, terminal: boolean): Promise<Pipes> {
    const path = (name: string): string => String.raw`\\.\pipe\uvm-shim-client-${basename(directory)}-${stem}-${name}`;
    const [stdin, stdout, stderr] = [
      new PipeEnd(path("stdin"), (socket, stream) => void stream.pipe(socket)),
      new PipeEnd(path("stdout"), (socket, stream) => void socket.pipe(stream)),
      new PipeEnd(path("stderr"), (socket, stream) => void socket.pipe(stream)),
    ];
    const served = terminal ? [stdin, stdout] : [stdin, stdout, stderr];
    if (terminal) stderr.stream.end();
    await Promise.all(served.map((end) => end.listen()));
    return new Pipes({ stdin, stdout, stderr }, terminal);
  }

  async output(): Promise<{ readonly stdout: Buffer; readonly stderr: Buffer }> {
    const [stdout, stderr] = await Promise.all([buffer(this.stdout), buffer(this.stderr)]);
    return { stdout, stderr };
  }

  close(): void {
    for (const end of this.#ends) end.close();
  }
}

/** One pipe, which is there until somebody has dialled it. */
class PipeEnd {
  readonly path: string;
  readonly stream = new PassThrough();
  readonly #server: Server;
  #socket: Socket | undefined;

  constructor(path: string, join: (socket: Socket, stream: PassThrough) => void) {
    this.path = path;
    this.#server = createServer((socket) => {
      this.#server.close();
      this.#socket = socket;
      // The process may end before it has read its input; a shim that was killed ends what it wrote.
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.stream.end());
      join(socket, this.stream);
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.path, resolve);
    });
  }

  close(): void {
    this.#server.close();
    this.#socket?.destroy();
    this.stream.destroy();
  }
}
