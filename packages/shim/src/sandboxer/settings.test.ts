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
  ...{ drain: undefined, logFile: undefined, service: false, debug: false },
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
    ['sockt = "/s"', 'unknown key "sockt", expected containerd, socket, state, drain, log_level'],
    ['socket = "s"', 'socket is "s", expected an absolute path'],
    ["socket = 7", "socket is a number, expected an absolute path"],
    ['drain = "yes"', 'drain is "yes", expected true or false'],
    ['log_level = "loud"', 'log_level is "loud", expected "info" or "debug"'],
    ["socket =", "is not valid TOML"],
  ])("are refused where the file says %s", async (text, message) => {
    const refused = read({ configuration: file(text) });
    await expect(refused).rejects.toThrow(Refusal);
    await expect(refused).rejects.toThrow(message);
  });

  it("are refused where a flag is no absolute path, or the file is not there", async () => {
    await expect(read({ state: "here" })).rejects.toThrow('flag -state is "here", expected an absolute path');
    const missing = path.join(directory, "none.toml");
    await expect(read({ configuration: missing })).rejects.toThrow(`flag -config: ${missing} cannot be read`);
  });
});
