import { randomUUID } from "node:crypto";
import net from "node:net";
import { type Duplex, PassThrough, type Readable, type Writable } from "node:stream";
import type { Ends, WantedStreams } from "./fifos.ts";

/** Pipes that only administrators can open. */
const usualFolder = "\\\\.\\pipe\\ProtectedPrefix\\Administrators\\";

/** Named pipes of Windows, which the shim connects to. */
export async function makePipes({ input, terminal }: WantedStreams, folder = usualFolder): Promise<Ends> {
  const stem = `${folder}uvm-diag-${randomUUID()}`;
  const servers: Served[] = [];
  const made = async (stream: string): Promise<Served> => {
    const server = await serve(`${stem}-${stream}`);
    servers.push(server);
    return server;
  };
  const close = (): void => {
    for (const { server, connected } of servers) {
      server.close();
      connected.then(
        (socket) => socket.destroy(),
        () => {},
      );
    }
  };
  try {
    const stdin = input ? await made("stdin") : undefined;
    const stdout = await made("stdout");
    const stderr = terminal ? undefined : await made("stderr");
    return endsOf({ stdin, stdout, stderr }, servers, close);
  } catch (error) {
    close();
    throw error;
  }
}

function endsOf(
  {
    stdin,
    stdout,
    stderr,
  }: { readonly [stream in "stdin" | "stderr"]: Served | undefined } & { readonly stdout: Served },
  servers: readonly Served[],
  close: () => void,
): Ends {
  return {
    names: { stdin: stdin?.name ?? "", stdout: stdout.name, stderr: stderr?.name ?? "" },
    stdin: stdin?.connected.then((socket): Writable => socket),
    stdout: outputOf(stdout),
    stderr: stderr && outputOf(stderr),
    finish: () => {
      for (const server of servers) server.giveUp();
    },
    close,
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

/** What arrives by a connection, when it is made. */
export function outputOf({ connected }: { readonly connected: Promise<Duplex> }): Readable {
  const output = new PassThrough();
  connected.then(
    // A connection that breaks closes without an end.
    (socket) => socket.once("close", () => output.end()).pipe(output),
    () => output.end(),
  );
  return output;
}
