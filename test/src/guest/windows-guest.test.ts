/** Host and guest of this project together, as a pod of Windows containers uses them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { WindowsContainer, WindowsProcess } from "@uvm-shim/guest-wcow";
import {
  endpointForWindowsGuest,
  namespaceForWindowsGuest,
  resourcePaths,
  windowsGuestPaths,
} from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, expect, it } from "vitest";
import { LoneWindowsVm } from "./lone-windows-vm.ts";

const timeoutMs = 180_000;
const withOutput = { EmulateConsole: false, CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };

describeWith(
  "Linux on x64",
  "root",
  "Wine",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
)("a Windows VM on the emulated host", () => {
  let lone: LoneWindowsVm | undefined;
  let server: Server | undefined;

  afterEach(async () => {
    const { directory } = lone ?? {};
    await lone?.close();
    lone = undefined;
    server?.close();
    server = undefined;
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    expect(mounts.filter((line) => directory !== undefined && line.includes(directory))).toEqual([]);
    expect(existsSync("/run/host/vsmb")).toBe(false);
  }, timeoutMs);

  /** A container of the base layer over a scratch disk. */
  async function container(vm: LoneWindowsVm, lun: number, more: object = {}): Promise<WindowsContainer> {
    const Path = await vm.share(`layer-${lun}`, vm.base, { ReadOnly: true, ShareRead: true, CacheIo: true });
    const layers = [{ Id: await vm.services.layerId("base"), Path }];
    const root = await vm.scratch(lun);
    await vm.guest.addCombinedLayers({ ContainerRootPath: root, Layers: layers });
    const made = await vm.guest.createContainer(`c${lun}`, {
      SchemaVersion: { Major: 2, Minor: 1 },
      Container: {
        GuestOs: { HostName: `host-${lun}` },
        Processor: {},
        Storage: { Layers: layers, Path: root },
        ...more,
      },
    });
    await made.start();
    return made;
  }

  async function outcome(process: WindowsProcess): Promise<readonly [code: number, output: string, errors: string]> {
    process.stdin?.end();
    const [output, errors] = await Promise.all(
      [process.stdout, process.stderr].map((stream) => text(stream ?? Readable.from([]))),
    );
    return [await process.wait(), output ?? "", errors ?? ""];
  }

  it(
    "boots, runs a program of Windows in a container with its streams, and leaves nothing behind",
    async () => {
      lone = await LoneWindowsVm.boot("windows");
      expect(lone.guest.supportsNetworkNamespaces).toBe(true);
      const hosted = await container(lone, 1);
      const commandLine = 'cmd.exe /c "echo out %COMPUTERNAME%&echo err>&2&exit 42"';
      const process = await hosted.execute({ CommandLine: commandLine, WorkingDirectory: "C:\\", ...withOutput });
      const [code, output, errors] = await outcome(process);
      expect([code, output.trim(), errors.trim()]).toEqual([42, "out HOST-1", "err"]);
      await hosted.shutdown();
      await hosted.exited;
      const [statistics] = [await lone.system.properties(["Statistics", "Memory"])];
      expect(statistics).toMatchObject({ RuntimeOsType: "Windows", State: "Running" });
      expect(statistics.Statistics?.Processor?.TotalRuntime100ns).toBeGreaterThan(0);
      await lone.system.terminate();
      await lone.system.exited;
      expect(lone.traces).toEqual([]);
    },
    timeoutMs,
  );

  it(
    "shows the host's folders to a container, as they are shared",
    async () => {
      lone = await LoneWindowsVm.boot("windows-shares");
      const folder = join(lone.directory, "data");
      mkdirSync(folder);
      writeFileSync(join(folder, "greeting.txt"), "hello from the host");
      const HostPath = await lone.share("data", folder, {});
      const hosted = await container(lone, 1);
      const mapped = { HostPath, ContainerPath: "C:\\data", ReadOnly: false };
      await hosted.modify({ ResourcePath: "Container/MappedDirectories", RequestType: "Add", Settings: mapped });
      const commandLine = 'cmd.exe /c "type C:\\data\\greeting.txt&echo back>C:\\data\\answer.txt"';
      const process = await hosted.execute({ CommandLine: commandLine, WorkingDirectory: "C:\\", ...withOutput });
      const [code, output] = await outcome(process);
      expect([code, output]).toEqual([0, "hello from the host"]);
      expect(readFileSync(join(folder, "answer.txt"), "utf8").trim()).toBe("back");
      await hosted.terminate();
      await hosted.exited;
    },
    timeoutMs,
  );

  it(
    "shows single files of a folder, and more of them later",
    async () => {
      lone = await LoneWindowsVm.boot("windows-files");
      const folder = join(lone.directory, "configuration");
      mkdirSync(folder);
      for (const name of ["one.txt", "two.txt"]) writeFileSync(join(folder, name), `content of ${name}`);
      const options = { ReadOnly: true, RestrictFileAccess: true, SingleFileMapping: true };
      const files = [join(folder, "one.txt")];
      const share = await lone.share("one", folder, options, files);
      const hosted = await container(lone, 1, {
        MappedDirectories: [{ HostPath: `${share}\\one.txt`, ContainerPath: "C:\\one.txt", ReadOnly: true }],
      });
      await lone.system.modify({
        ResourcePath: resourcePaths.virtualSmbShares,
        RequestType: "Update",
        Settings: { Name: "one", Path: folder, Options: options, AllowedFiles: [...files, join(folder, "two.txt")] },
      });
      const Settings = { HostPath: `${share}\\two.txt`, ContainerPath: "C:\\two.txt", ReadOnly: true };
      await hosted.modify({ ResourcePath: "Container/MappedDirectories", RequestType: "Add", Settings });
      for (const name of ["one.txt", "two.txt"]) {
        const CommandLine = `cmd.exe /c "type C:\\${name}"`;
        const process = await hosted.execute({ CommandLine, WorkingDirectory: "C:\\", ...withOutput });
        expect(await outcome(process)).toEqual([0, `content of ${name}`, ""]);
      }
      await hosted.terminate();
      await hosted.exited;
    },
    timeoutMs,
  );

  it(
    "connects a container to a pipe of the host",
    async () => {
      lone = await LoneWindowsVm.boot("windows-pipes");
      const pipes = join(lone.directory, "pipes");
      mkdirSync(pipes);
      server = createServer((socket) => socket.end("said by the host\r\n"));
      await new Promise<void>((resolve) => server?.listen(join(pipes, "greeter"), resolve));
      const ResourcePath = resourcePaths.mappedPipe("\\\\.\\pipe\\Greeter");
      await lone.system.modify({ ResourcePath, RequestType: "Add" });
      const HostPath = `${windowsGuestPaths.vsmbShares}\\IPC$\\Greeter`;
      const hosted = await container(lone, 1, { MappedPipes: [{ HostPath, ContainerPipeName: "inside" }] });
      const CommandLine = 'cmd.exe /v:on /c "set /p line=<\\\\.\\pipe\\inside&echo !line!"';
      const process = await hosted.execute({ CommandLine, WorkingDirectory: "C:\\", ...withOutput });
      expect(await outcome(process)).toEqual([0, "said by the host\r\n", ""]);
      await hosted.terminate();
      await hosted.exited;
      await lone.system.modify({ ResourcePath, RequestType: "Remove" });
    },
    timeoutMs,
  );

  it(
    "joins a network of the host in the three steps, and leaves it",
    async () => {
      lone = await LoneWindowsVm.boot("windows-network");
      const { networks } = lone.host;
      const network = await networks.createNetwork({
        Name: "pods",
        Type: "L2Bridge",
        Ipams: [{ Type: "Static", Subnets: [{ IpAddressPrefix: "10.97.0.0/24" }] }],
        SchemaVersion: { Major: 2, Minor: 0 },
      });
      const { ID: endpointId } = await networks.createEndpoint(network.ID, {
        Name: "eth0",
        IpConfigurations: [{ IpAddress: "10.97.0.7", PrefixLength: 24 }],
        SchemaVersion: { Major: 2, Minor: 0 },
      });
      const namespace = await networks.createNamespace({ SchemaVersion: { Major: 2, Minor: 0 } });
      await networks.addNamespaceEndpoint(namespace.ID, endpointId);
      const endpoint = await networks.queryEndpoint(endpointId);
      const nic = "0a1b2c3d-0000-4000-8000-000000000001";
      const adapter = { EndpointId: endpoint.ID, MacAddress: endpoint.MacAddress };
      const ResourcePath = resourcePaths.networkAdapter(nic);
      await lone.guest.addNetworkNamespace(namespaceForWindowsGuest(await networks.queryNamespace(namespace.ID)));
      await lone.guest.preAddNetworkInterface(nic, endpointForWindowsGuest(endpoint));
      await lone.system.modify({ ResourcePath, RequestType: "Add", Settings: adapter });
      await lone.guest.addNetworkInterface(nic);
      const hosted = await container(lone, 1, { Networking: { Namespace: namespace.ID } });
      const process = await hosted.execute({ CommandLine: "ipconfig", WorkingDirectory: "C:\\", ...withOutput });
      expect(await outcome(process)).toMatchObject({ 0: 0, 1: expect.stringContaining("10.97.0.7") as string });
      await hosted.terminate();
      await hosted.exited;
      await lone.guest.removeNetworkInterface(nic);
      await lone.system.modify({ ResourcePath, RequestType: "Remove", Settings: adapter });
      await lone.guest.removeNetworkNamespace(namespaceForWindowsGuest(await networks.queryNamespace(namespace.ID)));
      await networks.deleteNamespace(namespace.ID);
      await networks.deleteEndpoint(endpoint.ID);
      await networks.deleteNetwork(network.ID);
    },
    timeoutMs,
  );

  it(
    "ends with its host, which leaves nothing that the next one does not remove",
    async () => {
      lone = await LoneWindowsVm.boot("windows-crash");
      const hosted = await container(lone, 1);
      const waiting = await hosted.execute({ CommandLine: "cmd.exe", WorkingDirectory: "C:\\", ...withOutput });
      const lost = waiting.wait();
      lone.killHost();
      await expect(lost).rejects.toMatchObject({ gone: true });
      const next = await LoneWindowsVm.connect(lone.directory);
      expect(await next.enumerateComputeSystems()).toEqual([]);
      await next.close();
      expect(lone.traces).toEqual([]);
      expect(readFileSync(join(lone.directory, "emulator.log"), "utf8")).not.toContain("cannot remove");
    },
    timeoutMs,
  );
});
