import { randomUUID } from "node:crypto";
import net from "node:net";
import { PassThrough, type Readable, type Writable } from "node:stream";
import type { Ends, WantedStreams } from "./fifos.ts";

/** Named pipes of Windows, which the shim connects to. */
export async function makePipes({ input, terminal }: WantedStreams): Promise<Ends> {
  const stem = String.raw`\\.\pipe\ProtectedPrefix\Administrators\uvm-diag-${randomUUID()}`;
  const stdin = input ? await serve(`${stem}-stdin`) : undefined;
  const stdout = await serve(`${stem}-stdout`);
  const stderr = terminal ? undefined : await serve(`${stem}-stderr`);
  const servers = [stdin, stdout, stderr].filter((one) => one !== undefined);
  return {
    names: { stdin: stdin?.name ?? "", stdout: stdout.name, stderr: stderr?.name ?? "" },
    stdin: stdin?.connected.then((socket): Writable => socket),
    stdout: outputOf(stdout),
    stderr: stderr && outputOf(stderr),
    finish: () => {
      for (const server of servers) server.giveUp();
    },
    close: () => {
      for (const { server, connected } of servers) {
        server.close();
        connected.then(
          (socket) => socket.destroy(),
          () => {},
        );
      }
    },
  };
}

interface Served {
  readonly name: string;
  readonly server: net.Server;
  readonly connected: Promise<net.Socket>;
  /** Ends the wait for a shim that has not connected. */
  readonly giveUp: () => void;
}

async function serve(name: string): Promise<Served> {
  const { promise: connected, resolve, reject } = Promise.withResolvers<net.Socket>();
  connected.catch(() => {});
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    server.close();
    resolve(socket);
  });
  await new Promise<void>((listening, failed) => server.once("error", failed).listen(name, listening));
  return { name, server, connected, giveUp: () => reject(new Error("the shim did not connect")) };
}

function outputOf({ connected }: Served): Readable {
  const output = new PassThrough();
  connected.then(
    (socket) => socket.pipe(output),
    () => output.end(),
  );
  return output;
}
