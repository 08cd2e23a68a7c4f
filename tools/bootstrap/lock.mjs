// @ts-check
/** One at a time: who prepares or builds in a checkout has others wait, and is forgotten when it ends, however it does. */
import { createHash } from "node:crypto";
import { connect, createServer } from "node:net";

/**
 * Runs a piece of work while nobody else holds the lock of this name.
 *
 * @template T
 * @param {string} name A path, or whatever is one's own.
 * @param {string} holder What others are told they wait for.
 * @param {() => Promise<T>} work
 * @param {(holder: string) => void} [waits] Told when it has to wait.
 * @returns {Promise<T>}
 */
export async function withLock(name, holder, work, waits = () => {}) {
  const address = addressOf(name);
  let server = await take(address, holder);
  for (let told = false; server === undefined; server = await take(address, holder)) {
    await untilReleased(address, (other) => {
      if (!told) waits(other);
      told = true;
    });
  }
  try {
    return await work();
  } finally {
    await server.release();
  }
}

/** A socket without a file, which the system removes with its process. @param {string} name */
function addressOf(name) {
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 32);
  return process.platform === "win32" ? `\\\\.\\pipe\\uvm-shim-lock-${digest}` : `\0uvm-shim-lock-${digest}`;
}

/** @param {string} address @param {string} holder @returns {Promise<{ release(): Promise<void> } | undefined>} */
function take(address, holder) {
  /** @type {Set<import("node:net").Socket>} */
  const waiting = new Set();
  const server = createServer((socket) => {
    waiting.add(socket);
    // A connection of one who waits keeps nobody running.
    socket.unref();
    socket.on("error", () => {}).on("close", () => waiting.delete(socket));
    socket.write(holder);
  });
  const release = () =>
    new Promise((resolve) => {
      server.close(() => resolve(undefined));
      for (const socket of waiting) socket.destroy();
    });
  return new Promise((resolve, reject) => {
    server.once("error", (/** @type {NodeJS.ErrnoException} */ error) =>
      error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(address, () => resolve({ release: async () => void (await release()) }));
  });
}

/** @param {string} address @param {(holder: string) => void} told @returns {Promise<void>} */
function untilReleased(address, told) {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.on("data", (holder) => told(holder.toString()));
    // It may have ended before the connection: then it is free.
    socket.on("error", () => {}).on("close", () => resolve());
  });
}
