import type { Socket } from "node:net";

/** A stream whose bytes are kept. */
export interface Collected {
  readonly socket: Socket;
  /** Everything received, once the stream has ended. */
  readonly all: Promise<Buffer>;
  /** Resolves once the received text contains `text`. */
  until(text: string): Promise<string>;
}

/** Closes a stream that has ended, as a host does, unless `keepsOpen` is set. */
export function collect(socket: Socket, options: { readonly keepsOpen: boolean } = { keepsOpen: false }): Collected {
  const chunks: Buffer[] = [];
  const text = (): string => Buffer.concat(chunks).toString();
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const all = new Promise<Buffer>((resolve) => {
    const finish = (): void => {
      if (!options.keepsOpen) socket.end();
      resolve(Buffer.concat(chunks));
    };
    // A stream without a byte may end before there is a listener.
    if (socket.readableEnded) finish();
    else socket.on("end", finish);
  });
  return {
    socket,
    all,
    until: (expected) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!text().includes(expected)) return;
          socket.off("data", check);
          resolve(text());
        };
        socket.on("data", check);
        socket.on("end", () => reject(new Error(`the stream ended without ${expected}: ${text()}`)));
        check();
      }),
  };
}
