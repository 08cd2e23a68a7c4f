import { AsyncLocalStorage } from "node:async_hooks";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { AcceptQueue } from "./accept-queue.ts";

it("has the listeners of an accepted stream run in the context of who listens", async () => {
  const context = new AsyncLocalStorage<string>();
  const queue = context.run("a pod", () => new AcceptQueue("vm port 1"));
  const socket = path.join(tmpdir(), `accept-queue-${process.pid}`);
  const server = createServer((stream) => queue.arrive(stream));
  await new Promise<void>((resolve) => void server.listen(socket, resolve));
  const client = connect(socket);
  const stream = await context.run("another pod", () => queue.accept());
  const seen: [string, string | undefined][] = [];
  const ended = new Promise<void>((resolve) => {
    stream.on("data", (chunk) => seen.push([`${chunk}`, context.getStore()]));
    stream.on("close", () => {
      seen.push(["close", context.getStore()]);
      resolve();
    });
  });
  client.end("hello");
  await ended;
  expect(seen).toEqual([
    ["hello", "a pod"],
    ["close", "a pod"],
  ]);
  server.close();
  rmSync(socket, { force: true });
});
