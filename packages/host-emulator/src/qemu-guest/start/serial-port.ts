/** The socket of a machine's serial port, which stands for the pipe that a document names. */
import { closeSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { connectUnixSocket, listenAtUnixSocket } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../../hcs-failure.ts";

/** A serial line has one other end; QEMU takes the next client when the first has gone. */
const backlog = 1;

/** The end of a serial line that QEMU gets. */
export interface SerialPort {
  /** Of a listening socket, of which QEMU gets a copy. */
  readonly descriptor: number;
  /** Removes the socket. */
  close(): void;
}

/**
 * Listens at the socket; undefined without one. What an earlier machine has left is replaced: a pipe of Windows is gone with
 * its server. ERROR_SHARING_VIOLATION if another machine serves the socket.
 */
export function openSerialPort(socket: string | undefined): SerialPort | undefined {
  if (socket === undefined) return undefined;
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  if (isServed(socket)) {
    const field = "VirtualMachine.Devices.ComPorts.0.NamedPipe";
    throw new HcsFailure("ERROR_SHARING_VIOLATION", `${field}: another machine serves ${socket}`);
  }
  rmSync(socket, { force: true });
  const descriptor = listenAtUnixSocket(socket, backlog);
  return {
    descriptor,
    close: () => {
      closeSync(descriptor);
      rmSync(socket, { force: true });
    },
  };
}

function isServed(socket: string): boolean {
  try {
    const connection = connectUnixSocket(socket);
    if (connection !== undefined) closeSync(connection);
    return true;
  } catch {
    return false;
  }
}
