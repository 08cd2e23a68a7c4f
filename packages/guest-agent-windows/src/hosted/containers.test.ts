import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { WindowsContainer } from "@uvm-shim/guest-wcow";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestMachine, vsmbPath } from "../testing/machine.ts";
import { asked, documentOf, finished, says } from "../testing/programs.ts";
import { compile } from "../wine.ts";

const bootTimeoutMs = 120_000;
const mebibyte = 1024 * 1024;
const probe = join(dirname(fileURLToPath(import.meta.url)), "..", "testing", "probe.c");

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("containers of a booted Windows guest", () => {
  let machine: TestMachine;
  let container: WindowsContainer;
  let root: string;
  let layer: string;
  let shared: string;
  let pipes: Server | undefined;
  let connections = 0;
  beforeAll(async () => {
    machine = await TestMachine.boot();
    await machine.connect();
    layer = join(machine.folder, "layer");
    shared = join(machine.folder, "shared");
    for (const folder of [layer, join(layer, "Files"), shared]) mkdirSync(folder);
    await compile(join(layer, "Files", "probe.exe"), [probe, "-municode"]);
    writeFileSync(join(shared, "given.txt"), "given");
    machine.share("d", shared, false);
    root = await machine.makeRoot(1, [layer]);
    const here = await finished(
      await machine.guest.execute(asked(String.raw`cmd /c mkdir C:\SandboxMounts\box & dir C:\SandboxMounts\box`)),
    );
    expect(here.code).toBe(0);
    const MappedDirectories = [
      { HostPath: vsmbPath("d"), ContainerPath: "C:\\mapped", ReadOnly: false },
      { HostPath: vsmbPath("D"), ContainerPath: "C:\\Windows\\Held", ReadOnly: true },
      { HostPath: vsmbPath("d\\given.txt"), ContainerPath: "C:\\single\\file.txt" },
      { HostPath: "C:\\sandboxmounts\\box", ContainerPath: "C:\\box" },
    ];
    pipes = createServer((socket) => {
      connections += 1;
      socket.on("data", (bytes) => socket.write(`got ${bytes.toString("latin1")}`)).on("error", () => {});
    });
    pipes.listen(join(machine.folder, "pipe"));
    await once(pipes, "listening");
    machine.mapPipe("outside", join(machine.folder, "pipe"));
    const MappedPipes = [{ HostPath: vsmbPath("IPC$\\Outside"), ContainerPipeName: "inside" }];
    const RegistryChanges = {
      AddValues: [
        {
          Key: { Hive: "System", Name: "ControlSet001\\Control" },
          Name: "WaitToKillServiceTimeout",
          Type: "String",
          StringValue: "2147483647",
        },
        { Key: { Hive: "Software", Name: "Some\\Thing" }, Name: "Count", Type: "DWord", DWordValue: 10 },
      ],
    };
    const more = { GuestOs: { HostName: "first-host" }, MappedDirectories, MappedPipes, RegistryChanges };
    const limits = { Memory: { SizeInMB: 256 }, Processor: { Count: 1, Maximum: 5000, Weight: 200 } };
    container = await machine.guest.createContainer("first", documentOf(root, { ...more, ...limits }));
    await container.start();
  }, bootTimeoutMs);
  afterAll(async () => {
    pipes?.close();
    await machine?.powerOff();
  }, bootTimeoutMs);

  const run = async (line: string, more = {}) => finished(await container.execute(asked(line, more)));

  it("run a program, and tell its output, its errors and its exit code", async () => {
    const told = await run("cmd.exe /c echo %COMPUTERNAME%& echo wrong>&2& exit 42");
    expect(told).toEqual({ code: 42, output: "FIRST-HOST\r\n", errors: expect.stringMatching(/^wrong\s*$/) });
  });

  it("give a program its folder, its environment and its user", async () => {
    const more = { WorkingDirectory: "C:\\windows", User: "ContainerAdministrator", Environment: { VARIABLE: "v" } };
    const { output } = await run("C:\\probe.exe see", more);
    expect(output).toContain("user=ContainerAdministrator");
    expect(output).toContain("folder=C:\\windows");
    expect(output).toContain("variable=v");
  });

  it.each([
    ["absent.exe", {}, "NotFound", "ERROR_FILE_NOT_FOUND"],
    ["C:\\probe.exe exit 0", { WorkingDirectory: "C:\\absent" }, "InvalidArgument", "ERROR_DIRECTORY"],
    ["C:\\windows\\win.ini", {}, "InvalidArgument", "ERROR_BAD_EXE_FORMAT"],
    ["cmd", { User: "Nobody" }, "FailedPrecondition", "E_ACCESSDENIED"],
  ])("refuse to start %s %j", async (line, more, code, hresultName) => {
    await expect(container.execute(asked(line, more))).rejects.toMatchObject({ code, hresultName });
  });

  it("copy 8 MiB each way", async () => {
    const bytes = randomBytes(8 * mebibyte);
    const process = await container.execute(asked("C:\\probe.exe copy", { CreateStdInPipe: true }));
    process.stdin?.end(bytes);
    const [copied, code] = await Promise.all([buffer(process.stdout ?? Readable.from([])), process.wait()]);
    await process.close();
    expect(copied.equals(bytes)).toBe(true);
    expect(code).toBe(0);
  });

  it("end a program that does not handle CtrlC with 0xC000013A", async () => {
    const process = await container.execute(asked("C:\\probe.exe wait"));
    await says(process.stdout, /ready/);
    await process.signal("CtrlC");
    expect(await process.wait()).toBe(0xc000013a);
    await process.close();
  });

  it("tell a program of CtrlShutdown", async () => {
    const process = await container.execute(asked("C:\\probe.exe handle"));
    await says(process.stdout, /ready/);
    await process.signal(15);
    expect(await says(process.stdout, /event \d/)).toContain("event 6");
    expect(await process.wait()).toBe(0xc000013a);
    await process.close();
  });

  it("end a program that is terminated, which then is gone", async () => {
    const process = await container.execute(asked("C:\\probe.exe wait"));
    await says(process.stdout, /ready/);
    await process.signal("KILL");
    expect(await process.wait()).toBe(1);
    const hresultName = "HCS_E_PROCESS_ALREADY_STOPPED";
    await expect(process.signal("KILL")).rejects.toMatchObject({ code: "NotFound", hresultName });
    await process.close();
  });

  it("have consoles, whose size can change", async () => {
    const more = {
      EmulateConsole: true,
      CreateStdInPipe: true,
      CreateStdErrPipe: false,
      ConsoleSize: [30, 100],
    } as const;
    const process = await container.execute(asked("C:\\probe.exe sizes", more));
    await says(process.stdout, /size=100x30/);
    await process.resize(40, 120);
    process.stdin?.write("\r");
    await says(process.stdout, /size=120x40/);
    process.stdin?.write("\x1a\r");
    expect(await process.wait()).toBe(0);
    await process.close();
  });

  it("see folders of the host, and keep what is read-only", async () => {
    expect((await run("cmd /c type C:\\mapped\\given.txt")).output).toBe("given");
    expect((await run("cmd /c type C:\\single\\file.txt")).output).toBe("given");
    expect((await run("cmd /c echo mine>C:\\mapped\\mine.txt")).code).toBe(0);
    expect(readFileSync(join(shared, "mine.txt"), "latin1")).toBe("mine\r\n");
    expect((await run("cmd /c type C:\\windows\\held\\given.txt")).output).toBe("given");
    await run("cmd /c echo mine>C:\\windows\\held\\not.txt");
    expect(existsSync(join(shared, "not.txt"))).toBe(false);
  });

  it("see folders of drive C: of the virtual machine, which sees what they write", async () => {
    expect((await run("cmd /c echo boxed>C:\\box\\it.txt")).code).toBe(0);
    const there = await machine.guest.execute(asked("cmd /c type C:\\SandboxMounts\\box\\it.txt"));
    expect((await finished(there)).output).toBe("boxed\r\n");
  });

  it("take folders while they run", async () => {
    const Settings = { HostPath: vsmbPath("d"), ContainerPath: "C:\\later", ReadOnly: true };
    await container.modify({ ResourcePath: "Container/MappedDirectories", RequestType: "Add", Settings });
    expect((await run("cmd /c type C:\\later\\given.txt")).output).toBe("given");
  });

  it("have values of the registry from their documents", async () => {
    const control = "reg query HKLM\\System\\CurrentControlSet\\Control /v WaitToKillServiceTimeout";
    expect((await run(control)).output).toContain("2147483647");
    expect((await run("reg query HKLM\\Software\\Some\\Thing /v Count")).output).toContain("0xa");
  });

  it("see the limits of memory and processors, also those that change", async () => {
    expect((await run("C:\\probe.exe limits")).output).toBe("memory=256 free=1 processors=1\r\n");
    await container.modify({ ResourcePath: "Container/Memory/SizeInMB", RequestType: "Update", Settings: 128 });
    await container.modify({ ResourcePath: "Container/Processor", RequestType: "Update", Settings: { Count: 2 } });
    expect((await run("C:\\probe.exe limits")).output).toBe("memory=128 free=1 processors=2\r\n");
  });

  it("measure what they use", async () => {
    const {
      Uptime100ns = 0,
      Processor = {},
      Memory = {},
      Timestamp,
      ContainerStartTime,
    } = await container.statistics();
    expect(Uptime100ns).toBeGreaterThan(0);
    expect(Processor.TotalRuntime100ns).toBeGreaterThan(0);
    expect(Processor.RuntimeUser100ns).toBeLessThanOrEqual(Processor.TotalRuntime100ns ?? 0);
    expect(Memory.MemoryUsagePrivateWorkingSetBytes).toBeGreaterThan(mebibyte);
    expect(Memory.MemoryUsageCommitBytes).toBeLessThanOrEqual(128 * mebibyte);
    expect(Date.parse(Timestamp ?? "")).toBeGreaterThan(Date.parse(ContainerStartTime ?? ""));
  });

  it("list their processes with times and memory", async () => {
    const process = await container.execute(asked("C:\\probe.exe wait"));
    await says(process.stdout, /ready/);
    const found = (await container.processes()).find(({ ProcessId }) => ProcessId === process.pid);
    expect(found).toMatchObject({ ImageName: "probe.exe" });
    expect(Math.abs(Date.parse(found?.CreateTimestamp ?? "") - Date.now())).toBeLessThan(60_000);
    expect(found?.MemoryCommitBytes).toBeGreaterThan(mebibyte);
    await process.signal("KILL");
    await process.wait();
    await process.close();
  });

  it("reach pipes of the host, with a connection for each client", async () => {
    const send = async (line: string): Promise<unknown> => {
      const process = await container.execute(
        asked("C:\\probe.exe pipe \\\\.\\pipe\\inside", { CreateStdInPipe: true }),
      );
      process.stdin?.end(line);
      return await finished(process);
    };
    const both = await Promise.all([send("one\r\ntwo\r\n"), send("three\r\n")]);
    expect(both).toEqual([
      { code: 0, output: "got one\r\ngot two\r\n", errors: "" },
      { code: 0, output: "got three\r\n", errors: "" },
    ]);
    expect(connections).toBe(2);
  });

  it("outlive their programs, and end when they are shut down", async () => {
    const place = await machine.makeRoot(2, [layer]);
    const other = await machine.guest.createContainer("second", documentOf(place));
    await expect(other.execute(asked("cmd"))).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
    await other.start();
    expect((await finished(await other.execute(asked("cmd /c exit 1")))).code).toBe(1);
    const waiting = await other.execute(asked("C:\\probe.exe wait"));
    await says(waiting.stdout, /ready/);
    await expect(machine.guest.removeCombinedLayers({ ContainerRootPath: place })).rejects.toMatchObject({
      hresultName: "ERROR_SHARING_VIOLATION",
    });
    await other.shutdown();
    expect(await other.exited).toBe("GracefulExit");
    expect(await waiting.wait()).toBe(0);
    await waiting.close();
    await machine.guest.removeCombinedLayers({ ContainerRootPath: place });
    await machine.guest.unmountDisk({ ContainerPath: place, Lun: 2 });
    await other.deleteState();
  });

  it("end with their programs when they are terminated", async () => {
    const place = await machine.makeRoot(3, [layer]);
    const Storage = { Layers: [], Path: place, QoS: { BandwidthMaximum: 50 * mebibyte, IopsMaximum: 5000 } };
    const other = await machine.guest.createContainer("third", documentOf(place, { Storage }));
    await other.start();
    const waiting = await other.execute(asked("C:\\probe.exe wait"));
    await says(waiting.stdout, /ready/);
    await other.terminate();
    expect(await other.exited).toBe("ForcedExit");
    expect(await waiting.wait()).not.toBe(0);
    await waiting.close();
    await other.deleteState();
    await machine.guest.removeCombinedLayers({ ContainerRootPath: place });
  });
});
