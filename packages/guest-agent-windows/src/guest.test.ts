import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { WindowsContainer, WindowsProcess } from "@uvm-shim/guest-wcow";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestMachine } from "./testing/machine.ts";

const bootTimeoutMs = 120_000;

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("a booted Windows guest", () => {
  let machine: TestMachine;
  let container: WindowsContainer;
  let root: string;
  beforeAll(async () => {
    machine = await TestMachine.boot();
    await machine.connect();
    root = await machine.makeRoot(1);
    container = await machine.guest.createContainer("first", documentOf(root, { GuestOs: { HostName: "first-host" } }));
    await container.start();
  }, bootTimeoutMs);
  afterAll(async () => {
    await machine?.powerOff();
  }, bootTimeoutMs);

  it("runs a program in a container, and tells its output and its exit code", async () => {
    const process = await container.execute(asked("cmd.exe /c echo %COMPUTERNAME%& exit 42"));
    expect(await finished(process)).toEqual({ code: 42, output: "FIRST-HOST\r\n", errors: "" });
  });
});

function documentOf(root: string, more: object = {}): object {
  const Storage = { Layers: [], Path: root };
  return { SchemaVersion: { Major: 2, Minor: 1 }, Container: { Storage, ...more } };
}

function asked(CommandLine: string, more: Partial<WindowsProcessParameters> = {}): WindowsProcessParameters {
  const pipes = { CreateStdInPipe: false, CreateStdOutPipe: true, CreateStdErrPipe: true, EmulateConsole: false };
  return { CommandLine, ...pipes, ...more };
}

async function finished(process: WindowsProcess): Promise<{ code: number; output: string; errors: string }> {
  const read = (stream: WindowsProcess["stdout"]): Promise<string> =>
    stream === undefined ? Promise.resolve("") : text(stream);
  const [code, output, errors] = await Promise.all([process.wait(), read(process.stdout), read(process.stderr)]);
  await process.close();
  return { code, output, errors };
}
