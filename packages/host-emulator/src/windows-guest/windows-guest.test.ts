import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import {
  type ComputeSystemDocument,
  hresults,
  type ModifyRequestType,
  resourcePaths,
  type VirtualSmbShare,
} from "@uvm-shim/hcs-schema";
import { readBootParameters, windowsGuestBoot } from "@uvm-shim/host-protocol/guest";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import { VmCgroups } from "../process-guest/cgroups.ts";
import { ProcessGuestKind } from "../process-guest/process-guest-kind.ts";
import { readSettings } from "../service/run-emulator.ts";
import type { ComputeSystem } from "../system/compute-system.ts";
import { TestFiles } from "../testing/fake-guest.ts";

/** Stands for the agent: it tells what it was given, and keeps the guest's folders off this machine's. */
const stub = `${windowsGuestBoot}
const { execFileSync } = require("node:child_process");
const { createReadStream, writeFileSync, writeSync } = require("node:fs");
const { dirname, join } = require("node:path");
execFileSync("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
writeFileSync(join(dirname(__filename), "told.json"), JSON.stringify(process.env));
writeSync(3, "up\\n");
createReadStream("", { fd: 3 }).on("data", () => {}).on("close", () => process.exit(0));
`;

describeWith("root", "mkfs.ext4")("a Windows guest", () => {
  const files = new TestFiles();
  const os = join(files.directory, "Files");
  const stateDirectory = join(files.directory, "state");
  const wine = join(files.directory, "wine");
  const reports: string[] = [];
  let host: EmulatedHost;
  let system: ComputeSystem;
  let server: Server | undefined;

  beforeEach(() => {
    for (const folder of [join(stateDirectory, "pipes"), join(os, "EFI/Microsoft/Boot"), wine]) {
      mkdirSync(folder, { recursive: true });
    }
    writeFileSync(join(os, "EFI/Microsoft/Boot/bootmgfw.efi"), stub);
    host = hostWith(wine);
  });
  afterEach(async () => {
    server?.close();
    server = undefined;
    await host.close();
    expect(traces()).toEqual([]);
    expect(reports.splice(0)).toEqual([]);
  });
  afterAll(() => files.remove());

  function hostWith(wineFolder: string): EmulatedHost {
    const report = (message: string): void => void reports.push(message);
    const kind = new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 10_000, wine: wineFolder, report });
    return new EmulatedHost({ stateDirectory, kinds: [kind], report });
  }

  function document(shares: readonly VirtualSmbShare[] = []): ComputeSystemDocument {
    const BootThis = { DeviceType: "VmbFs", DevicePath: "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" } as const;
    return {
      Owner: "test",
      SchemaVersion: { Major: 2, Minor: 1 },
      VirtualMachine: {
        Chipset: { Uefi: { BootThis } },
        ComputeTopology: { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } },
        Devices: { VirtualSmb: { Shares: [{ Name: "os", Path: os, Options: { ReadOnly: true } }, ...shares] } },
      },
    };
  }

  async function start(shares?: readonly VirtualSmbShare[]): Promise<void> {
    system = host.create("vm", document(shares));
    system.openHandle({ systemExited: () => {} });
    await system.start();
  }

  const modify = (RequestType: ModifyRequestType, ResourcePath: string, Settings?: unknown): Promise<void> =>
    system.modify({ RequestType, ResourcePath, ...(Settings !== undefined && { Settings }) });

  /** A file of the guest, by its path on this machine. */
  function inGuest(path: string): string {
    const init = new VmCgroups(basename(dirname(system.vsockBase)))
      .processes()
      .find((pid) => /^NSpid:\s+\d+\s+1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
    if (init === undefined) throw new Error("the guest has no init");
    return `/proc/${init}/root${path}`;
  }

  function folder(name: string, ...names: readonly string[]): string {
    const path = join(files.directory, name);
    mkdirSync(path, { recursive: true });
    for (const file of names) writeFileSync(join(path, file), `content of ${file}`);
    return path;
  }

  /** What is left of the VM on this machine. */
  function traces(): readonly string[] {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return [
      ...mounts.filter((line) => line.includes(files.directory)),
      ...["/run/host"].filter((path) => existsSync(path)),
      ...[dirname(system.vsockBase)].filter((path) => existsSync(path)),
      ...readdirSync(stateDirectory).filter((name) => name.includes("image")),
    ];
  }

  it("boots the file that its firmware names, and is told of its files and of Wine", async () => {
    await start();
    const environment = JSON.parse(readFileSync(join(os, "EFI/Microsoft/Boot/told.json"), "utf8"));
    const told = readBootParameters(environment);
    expect(told).toMatchObject({ kernelCommandLine: "", memoryMb: 256, processors: 1, windows: { os, wine } });
    for (const program of ["unshare", "nsenter", "setpriv", "mount", "sed", "tail", "sh"]) {
      expect(readdirSync(join(told.image, "usr/bin"))).toContain(program);
    }
    expect(system.properties(["Statistics"])).toMatchObject({ RuntimeOsType: "Windows", State: "Running" });
    await system.terminate();
  });

  it("sees the folders of its VSMB shares, except for the one that it boots from", async () => {
    const writable = folder("writable", "a");
    await start([{ Name: "S0", Path: folder("layer", "b"), Options: { ReadOnly: true } }]);
    await modify("Add", resourcePaths.virtualSmbShares, { Name: "s1", Path: writable, Options: {} });
    const shares = inGuest("/run/host/vsmb");
    expect(readdirSync(shares).sort()).toEqual(["S0", "s1"]);
    expect(readFileSync(`${shares}/S0/b`, "utf8")).toBe("content of b");
    expect(() => writeFileSync(`${shares}/S0/b`, "")).toThrow("EROFS");
    writeFileSync(`${shares}/s1/a`, "changed");
    expect(readFileSync(join(writable, "a"), "utf8")).toBe("changed");
    await modify("Remove", resourcePaths.virtualSmbShares, { Name: "s0" });
    expect(readdirSync(shares)).toEqual(["s1"]);
  });

  it("sees only the files of a restricted share, and those that are added later", async () => {
    const path = folder("configuration", "one", "two", "three");
    const allowing = (...names: readonly string[]) => ({
      Name: "s1",
      Path: path,
      AllowedFiles: names.map((name) => join(path, name)),
      Options: { ReadOnly: true, RestrictFileAccess: true },
    });
    await start([allowing("one")]);
    const share = inGuest("/run/host/vsmb/s1");
    expect(readdirSync(share)).toEqual(["one"]);
    await modify("Update", resourcePaths.virtualSmbShares, allowing("one", "two"));
    expect(readdirSync(share).sort()).toEqual(["one", "two"]);
    expect(readFileSync(`${share}/two`, "utf8")).toBe("content of two");
    expect(() => writeFileSync(`${share}/two`, "")).toThrow("EROFS");
    expect(() => writeFileSync(`${share}/four`, "")).toThrow("EROFS");
  });

  it("reaches pipes of the host while they are mapped, whatever the case of their names", async () => {
    server = createServer((socket) => socket.end("hello"));
    await new Promise<void>((resolve) => server?.listen(join(stateDirectory, "pipes", "docker_engine"), resolve));
    await start();
    const path = resourcePaths.mappedPipe("\\\\.\\pipe\\Docker_Engine");
    await modify("Add", path);
    expect(await text(connect(inGuest("/run/host/pipes/docker_engine")))).toBe("hello");
    await modify("Remove", path);
    expect(readdirSync(inGuest("/run/host/pipes"))).toEqual([]);
  });

  it.each([
    ["that nobody serves", "\\\\.\\pipe\\nobody", "ERROR_FILE_NOT_FOUND", "the socket for pipe \\\\.\\pipe\\nobody"],
    ["outside of their folder", "\\\\.\\pipe\\../../escape", "E_INVALIDARG", "name without slashes"],
  ] as const)("is not given pipes %s", async (_what, pipe, result, message) => {
    await start();
    const mapping = modify("Add", resourcePaths.mappedPipe(pipe));
    await expect(mapping).rejects.toMatchObject({ hresult: hresults[result] });
    await expect(mapping).rejects.toThrow(message);
  });

  it("does not start without Wine, and says how to get it", async () => {
    await host.close();
    host = hostWith("/nowhere/wine");
    await expect(start()).rejects.toThrow(
      "Windows guests need Wine in /nowhere/wine: run npm run e2e:windows once, which fetches it",
    );
  });

  it("finds Wine where the environment says", () => {
    expect(readSettings([], { UVM_SHIM_HOST_WINE: "/srv/wine" })).toHaveProperty("wine", "/srv/wine");
    expect(readSettings([], { UVM_SHIM_HOST_WINE: "" })).not.toHaveProperty("wine");
    expect(() => readSettings([], { UVM_SHIM_HOST_WINE: "wine" })).toThrow(
      'UVM_SHIM_HOST_WINE: expected an absolute path, got "wine"',
    );
  });

  it("is no guest of a boot manager that it does not know", () => {
    writeFileSync(join(os, "EFI/Microsoft/Boot/bootmgfw.efi"), "MZ");
    expect(() => host.create("foreign", document())).toThrow(
      "VirtualMachine.Chipset.Uefi.BootThis.DevicePath: unsupported boot manager",
    );
  });
});
