import net from "node:net";

/** What somebody who dials a pipe reads until it matches. */
export function readPipe(pipe: string, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(pipe);
    let text = "";
    socket.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      if (!pattern.test(text)) return;
      socket.destroy();
      resolve(text);
    });
    socket.on("error", reject);
    socket.on("end", () => reject(new Error(`${pipe} ended after ${text}`)));
  });
}
