/** Sockets bound for a program that is started again and again, as systemd does it. */
import { renameSync } from "node:fs";
import { createServer } from "node:net";

/** A socket that is bound, for a program that gets its descriptor. */
export interface BoundSocket {
  readonly descriptor: number;
  /** Closes this process's own copy, which would accept connections too; the file stays. */
  readonly leave: () => void;
}

/** Binds a socket. Until it is left, this process accepts what comes: leave it as soon as another one has it. */
export async function bindSocket(file: string): Promise<BoundSocket> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(file, resolve));
  const { fd: descriptor } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const leave = (): void => {
    // Node removes the file of what it closes.
    renameSync(file, `${file}.kept`);
    server.close();
    renameSync(`${file}.kept`, file);
  };
  return { descriptor, leave };
}

/**
 * The command line of a shell that runs a program whenever it has ended, with the sockets that the shell itself has from
 * descriptor 3 on, passed on as systemd does it.
 */
export function servingForEver(sockets: number, command: readonly string[]): readonly string[] {
  const passing = `export LISTEN_PID=$$ LISTEN_FDS=${sockets}; exec "$0" "$@"`;
  return ["/bin/sh", "-c", 'while :; do /bin/sh -c "$0" "$@"; done', passing, ...command];
}
