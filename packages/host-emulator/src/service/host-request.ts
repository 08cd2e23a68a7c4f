import { connect } from "node:net";
import {
  checkEmulatedHostMessage,
  type EmulatedHostCallName,
  type EmulatedHostCalls,
  emulatedHostMaximumLineBytes,
  JsonLines,
} from "@uvm-shim/host-protocol";

/** Makes one call to the emulated host on the socket. Rejects with the message of the host if the call fails. */
export async function requestHost<Name extends EmulatedHostCallName>(
  socketPath: string,
  call: Name,
  parameters: EmulatedHostCalls[Name],
): Promise<void> {
  const socket = connect(socketPath);
  const lines = new JsonLines(emulatedHostMaximumLineBytes);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error(`${socketPath}: the host closed the connection without an answer`)));
      socket.on("data", (chunk: Buffer) => {
        try {
          for (const line of lines.push(chunk)) {
            const answer = checkEmulatedHostMessage(JSON.parse(line));
            if (answer.kind === "error") throw new Error(answer.error.message);
            if (answer.kind === "result") resolve();
          }
        } catch (error) {
          reject(error);
        }
      });
      socket.write(`${JSON.stringify({ id: 1, call, arguments: parameters })}\n`);
    });
  } finally {
    socket.destroy();
  }
}
