import { PassThrough } from "node:stream";
import { systemClock } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { isAlive, type SystemService, type WindowsCalls } from "./system.ts";
import { foldersToOwn, windowsSystem } from "./windows.ts";

class FakeCalls implements WindowsCalls {
  readonly served = new Map<string, (connection: PassThrough) => void>();
  readonly closed: string[] = [];

  async servePipe(path: string, onConnection: (connection: PassThrough) => void) {
    this.served.set(path, onConnection);
    return { close: async () => void this.closed.push(path) };
  }

  processStartTime(pid: number): string | undefined {
    return pid === 7 ? "123" : undefined;
  }

  makePrivateFolder(): void {}

  enterService(): Promise<SystemService> {
    return Promise.reject(new Error("not started by the service control manager"));
  }
}

const owner = { address: String.raw`\\.\pipe\containerd-containerd`, namespace: "k8s.io", id: "c1" };

describe("a shim's system on Windows", () => {
  it("has one protected pipe per containerd, namespace and id, which is what containerd dials", () => {
    const system = windowsSystem(undefined);
    const paths = [owner, { ...owner, address: "other" }, { ...owner, namespace: "other" }, { ...owner, id: "c2" }].map(
      (each) => system.socketPath(each),
    );
    expect(new Set(paths).size).toBe(4);
    // hcsshim's shimdiag looks for this form.
    expect(paths[0]).toMatch(
      /^\\\\\.\\pipe\\ProtectedPrefix\\Administrators\\containerd-shim-k8s\.io-c1-[0-9a-f]{16}-pipe$/,
    );
    expect(system.socketPath({ ...owner, directory: "/elsewhere" })).toBe(paths[0]);
    expect(system.address(paths[0] as string)).toBe(paths[0]);
  });

  it("keeps names that Windows takes, of pods with long names too", () => {
    const system = windowsSystem(undefined);
    const long = { ...owner, namespace: "n".repeat(128), id: "i".repeat(128) };
    const [one, other] = [system.socketPath(long), system.socketPath({ ...long, id: `${"i".repeat(127)}x` })];
    expect(one.length).toBe(256);
    expect(other).not.toBe(one);
    expect(one).toMatch(/-[0-9a-f]{16}-pipe$/);
  });

  it("serves the socket until it is closed", async () => {
    const calls = new FakeCalls();
    const connections: unknown[] = [];
    const listener = await windowsSystem(async () => calls).listen("the socket", (one) => connections.push(one));
    const connection = new PassThrough();
    calls.served.get("the socket")?.(connection);
    expect(connections).toEqual([connection]);
    listener.close();
    expect(calls.closed).toEqual(["the socket"]);
  });

  it("serves the log on the pipe that containerd dials", async () => {
    const calls = new FakeCalls();
    const log = windowsSystem(async () => calls).openLog({ ...owner, bundle: "", level: "info", clock: systemClock });
    const pipe = String.raw`\\.\pipe\containerd-shim-k8s.io-c1-log`;
    await expect.poll(() => [...calls.served.keys()]).toEqual([pipe]);
    log.close();
    await expect.poll(() => calls.closed).toEqual([pipe]);
  });

  it("distinguishes a process from another that has reused its pid", async () => {
    const system = windowsSystem(async () => new FakeCalls());
    expect(await isAlive({ pid: 7, processStartTime: "123" }, system)).toBe(true);
    expect(await isAlive({ pid: 7, processStartTime: "124" }, system)).toBe(false);
    expect(await isAlive({ pid: 8, processStartTime: "123" }, system)).toBe(false);
  });

  it("reports the missing calls when it was given none", async () => {
    await expect(windowsSystem(undefined).processStartTime(1)).rejects.toThrow("this shim has no Windows calls");
  });
});

describe("the folders that have to be private for one to be", () => {
  const of = (folder: string) => foldersToOwn(folder, { ProgramData: String.raw`D:\Data` });

  it("are all below the one in which every user can make some", () => {
    const top = String.raw`D:\Data\uvm-shim`;
    const all = [top, String.raw`D:\Data\uvm-shim\sandboxer`, String.raw`D:\Data\uvm-shim\sandboxer\lcow`];
    expect(of(String.raw`d:\data\uvm-shim\sandboxer\lcow`)).toEqual(all);
    expect(of("D:/Data/uvm-shim")).toEqual([top]);
  });

  it.each([String.raw`E:\state`, String.raw`D:\Other\state`, String.raw`D:\Data2\x`])(
    "is %s itself elsewhere",
    (folder) => {
      expect(of(folder)).toEqual([folder]);
    },
  );
});
