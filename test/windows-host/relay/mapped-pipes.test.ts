import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { MappedPipes, type PipeOpener } from "./mapped-pipes.ts";

const pipe = "\\\\.\\pipe\\Some_Pipe";
let directory: string;
let pipes: MappedPipes;
let socketPath: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mapped-pipes-"));
  pipes = new MappedPipes(directory);
  socketPath = join(directory, "pipes", "some_pipe");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A process with a pipe whose server answers what it reads in upper case. */
const answering: PipeOpener = {
  openPipe: (path, port) => {
    expect(path).toBe(pipe);
    const socket = connect(port, "127.0.0.1");
    socket.once("data", (bytes) => socket.end(bytes.toString().toUpperCase()));
  },
};

const dial = (): Socket => connect(socketPath);

it("has a connection of the pipe for each of the socket's", async () => {
  await pipes.add(pipe, answering);
  for (const said of ["first", "second"]) {
    const client = dial();
    client.write(said);
    expect(await text(client)).toBe(said.toUpperCase());
  }
  pipes.remove(pipe, answering);
});

it("ends a connection for which the pipe cannot be opened", async () => {
  const failing: PipeOpener = {
    openPipe: (_path, port) => {
      const socket = connect(port, "127.0.0.1", () => socket.destroy());
    },
  };
  await pipes.add(pipe, failing);
  const client = dial();
  client.resume();
  await once(client, "close");
  expect(client.bytesRead).toBe(0);
  pipes.forget(failing);
});

it("serves the socket until the last that mapped the pipe goes", async () => {
  const other: PipeOpener = { openPipe: () => {} };
  await pipes.add(pipe, answering);
  await pipes.add("\\\\?\\pipe\\some_pipe", other);
  pipes.forget(answering);
  expect(existsSync(socketPath)).toBe(true);
  pipes.remove(pipe, other);
  expect(existsSync(join(directory, "pipes"))).toBe(false);
});

it("refuses what is no pipe", async () => {
  await expect(pipes.add("\\\\.\\pipe\\", answering)).rejects.toThrow("is not a named pipe");
});
