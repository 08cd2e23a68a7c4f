import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SandboxerFlags } from "../program/flags.ts";
import { Refusal } from "../program/refusal.ts";
import { readSettings } from "./settings.ts";

const noFlags: SandboxerFlags = {
  ...{ configuration: undefined, address: undefined, socket: undefined, state: undefined },
  ...{ warmPool: undefined, drain: undefined, logFile: undefined, service: false, debug: false },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "settings-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function file(text: string): string {
  const configuration = path.join(directory, "sandboxer.toml");
  writeFileSync(configuration, text);
  return configuration;
}

const read = (flags: Partial<SandboxerFlags>) => readSettings({ ...noFlags, ...flags }, "lcow", systemClock, "linux");

describe("the settings of a sandboxer", () => {
  it("are the usual ones unless somebody says otherwise", async () => {
    expect(await read({})).toEqual({
      ...{ containerd: "/run/containerd/containerd.sock", socket: "/run/uvm-shim/lcow.sock" },
      ...{ state: "/run/uvm-shim/sandboxer/lcow", drain: false, level: "info" },
    });
    expect(await readSettings(noFlags, "wcow", systemClock, "win32")).toMatchObject({
      containerd: String.raw`\\.\pipe\containerd-containerd`,
      socket: String.raw`\\.\pipe\ProtectedPrefix\Administrators\uvm-shim-wcow`,
    });
  });

  it("come from a file, and flags outrank it", async () => {
    const text = 'containerd = "/c"\nsocket = "/s"\nstate = "/f"\ndrain = true\nlog_level = "debug"\n';
    const configuration = file(text);
    const fromFile = { containerd: "/c", socket: "/s", state: "/f", drain: true, level: "debug" };
    expect(await read({ configuration })).toEqual(fromFile);
    expect(await read({ configuration, socket: "/other" })).toEqual({ ...fromFile, socket: "/other" });
  });

  it.each([
    [
      'sockt = "/s"',
      'unknown key "sockt", expected containerd, socket, state, warm_pool, warm_pool_memory_mb, drain, log_level',
    ],
    ["warm_pool = -1", "warm_pool is -1, expected a number of VMs from 0 to 64"],
    ["warm_pool = 65", "warm_pool is 65, expected a number of VMs from 0 to 64"],
    ["warm_pool = true", "warm_pool is a boolean, expected a number of VMs from 0 to 64"],
    ["warm_pool_memory_mb = 0", "warm_pool_memory_mb is 0, expected a number of mebibytes, at least 1"],
    ['socket = "s"', 'socket is "s", expected an absolute path'],
    ["socket = 7", "socket is 7, expected an absolute path"],
    ['drain = "yes"', 'drain is "yes", expected true or false'],
    ['log_level = "loud"', 'log_level is "loud", expected "info" or "debug"'],
    ["socket =", "is not valid TOML"],
  ])("are refused where the file says %s", async (text, message) => {
    const refused = read({ configuration: file(text) });
    await expect(refused).rejects.toThrow(Refusal);
    await expect(refused).rejects.toThrow(message);
  });

  it("have VMs kept ready only where that is asked for", async () => {
    const configuration = file("warm_pool = 2\n");
    expect((await read({})).warmPool).toBeUndefined();
    expect((await read({ configuration })).warmPool).toEqual({ size: 2, memoryInMb: 4096 });
    expect((await read({ configuration, warmPool: "0" })).warmPool).toBeUndefined();
    const limited = file("warm_pool = 2\nwarm_pool_memory_mb = 512\n");
    expect((await read({ configuration: limited, warmPool: "3" })).warmPool).toEqual({ size: 3, memoryInMb: 512 });
    for (const warmPool of ["two", "", "1.5"]) {
      await expect(read({ warmPool })).rejects.toThrow(
        `flag -warm-pool is "${warmPool}", expected a number of VMs from 0 to 64`,
      );
    }
    const windows = readSettings({ ...noFlags, configuration }, "wcow", systemClock, "win32");
    await expect(windows).rejects.toThrow("expected 0: the VM of a Windows pod boots from a disk of that pod");
  });

  it("are refused where a flag is no absolute path, or the file is not there", async () => {
    await expect(read({ state: "here" })).rejects.toThrow('flag -state is "here", expected an absolute path');
    const missing = path.join(directory, "none.toml");
    await expect(read({ configuration: missing })).rejects.toThrow(`flag -config: ${missing} cannot be read`);
  });
});
