import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, unlinkSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { isAccepting, listen, removeDeadSocket } from "./socket.ts";
import type { Listener } from "./system.ts";

let directory: string;
let socket: string;
const listeners: Listener[] = [];

async function serve(): Promise<Listener> {
  const listener = await listen(
    net.createServer((connection) => connection.destroy()),
    socket,
  );
  listeners.push(listener);
  return listener;
}

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-socket-"));
  socket = path.join(directory, "s");
});
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close();
  rmSync(directory, { recursive: true });
});

it("leaves a socket to the shim that serves it", async () => {
  await serve();
  await expect(serve()).rejects.toMatchObject({
    code: "AlreadyExists",
    message: `another shim serves ${socket}, delete its tasks and sandbox first`,
  });
  await removeDeadSocket(socket);
  expect(await isAccepting(socket)).toBe(true);
});

it("removes its own socket, and never another's", async () => {
  const first = await serve();
  unlinkSync(socket);
  const second = await serve();
  first.close();
  expect(await isAccepting(socket)).toBe(true);
  second.close();
  expect(existsSync(socket)).toBe(false);
  const third = await serve();
  second.close();
  expect(await isAccepting(socket)).toBe(true);
  third.close();
  expect(existsSync(socket)).toBe(false);
});

it("does not take a dead socket for its successor's, which appears during the check", async () => {
  const child = spawn(process.execPath, ["-e", `net.createServer().listen(${JSON.stringify(socket)})`]);
  await expect.poll(() => isAccepting(socket), { timeout: 10_000 }).toBe(true);
  child.kill("SIGKILL");
  await expect.poll(() => isAccepting(socket)).toBe(false);
  const removing = removeDeadSocket(socket);
  unlinkSync(socket);
  const listener = net.createServer().listen(socket);
  await removing;
  expect(existsSync(socket)).toBe(true);
  await new Promise((resolve) => listener.close(resolve));
});

it("does not take a shim for dead when its backlog of connections is full", async () => {
  const options = JSON.stringify({ path: socket, backlog: 1 });
  const child = spawn(process.execPath, ["-e", `net.createServer().listen(${options})`]);
  const connections: net.Socket[] = [];
  try {
    await expect.poll(() => isAccepting(socket), { timeout: 10_000 }).toBe(true);
    child.kill("SIGSTOP");
    for (let index = 0; index < 4; index++) {
      const connection = net.connect(socket).on("error", () => {});
      connections.push(connection);
    }
    expect(await isAccepting(socket)).toBe(true);
  } finally {
    child.kill("SIGKILL");
    for (const connection of connections) connection.destroy();
  }
});
