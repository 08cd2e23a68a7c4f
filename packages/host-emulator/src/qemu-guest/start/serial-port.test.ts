import { closeSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connectUnixSocket, listenAtUnixSocket } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openSerialPort } from "./serial-port.ts";

describeWith("Linux")("the socket of a serial port", () => {
  let folder: string;
  let socket: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "serial-"));
    socket = join(folder, "pipes", "console");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function canConnect(): boolean {
    const connection = connectUnixSocket(socket);
    if (connection !== undefined) closeSync(connection);
    return connection !== undefined;
  }

  it("is there for clients before the machine is, in a folder that is made for it, and until its end", () => {
    const port = openSerialPort(socket);
    expect(canConnect()).toBe(true);
    port?.close();
    expect(existsSync(socket)).toBe(false);
  });

  it("is not taken away from another machine", () => {
    const port = openSerialPort(socket);
    expect(() => openSerialPort(socket)).toThrow(`ComPorts.0.NamedPipe: another machine serves ${socket}`);
    expect(canConnect()).toBe(true);
    port?.close();
  });

  it("takes the place of one that an ended host has left", () => {
    mkdirSync(dirname(socket));
    closeSync(listenAtUnixSocket(socket, 1));
    const port = openSerialPort(socket);
    expect(canConnect()).toBe(true);
    port?.close();
  });

  it("is none where the document names none", () => {
    expect(openSerialPort(undefined)).toBeUndefined();
  });
});
