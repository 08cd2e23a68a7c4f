import type { Socket } from "node:net";

export interface Collected {
  readonly socket: Socket;
  /** All that came, when the stream has ended. */
  readonly all: Promise<Buffer>;
  /** Resolves when what came so far holds the text. */
  until(text: string): Promise<string>;
}

/** Closes what has been read to its end, as a host does, unless it is to be kept open. */
export function collect(socket: Socket, options: { readonly keepsOpen: boolean } = { keepsOpen: false }): Collected {
  const chunks: Buffer[] = [];
  const text = (): string => Buffer.concat(chunks).toString();
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const all = new Promise<Buffer>((resolve) => {
    const finish = (): void => {
      if (!options.keepsOpen) socket.end();
      resolve(Buffer.concat(chunks));
    };
    // A stream without a byte ends before anybody listens.
    if (socket.readableEnded) finish();
    else socket.on("end", finish);
  });
  return {
    socket,
    all,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!text().includes(wanted)) return;
          socket.off("data", check);
          resolve(text());
        };
        socket.on("data", check);
        socket.on("end", () => reject(new Error(`the stream ended without ${wanted}: ${text()}`)));
        check();
      }),
  };
}
