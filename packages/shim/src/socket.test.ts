import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { listen } from "./socket.ts";

it("leaves a socket to the shim that serves it", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "shim-socket-"));
  const socket = path.join(directory, "s");
  const first = net.createServer((connection) => connection.destroy());
  try {
    await listen(first, socket);
    await expect(listen(net.createServer(), socket)).rejects.toMatchObject({
      code: "AlreadyExists",
      message: `another shim is serving ${socket}; delete its tasks and sandbox first`,
    });
  } finally {
    await new Promise((resolve) => first.close(resolve));
    rmSync(directory, { recursive: true });
  }
});
