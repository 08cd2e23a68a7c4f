/** What the executable says to people, and what it refuses before it has made anything. */
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it } from "vitest";
import { google } from "../generated/messages.js";
import { eachTestWithProcesses, type Outcome, type ShimProcesses } from "../testing/shim-processes.ts";
import { exitCodes } from "./refusal.ts";

let shim: ShimProcesses;
let executable: string;
eachTestWithProcesses((processes, main) => {
  shim = processes;
  executable = main;
});

/** The one line on standard error, without the program's name. */
function sentenceOf({ stdout, stderr }: Outcome): string {
  expect(stdout.toString()).toBe("");
  expect(stderr).toMatch(/^containerd-shim-fake-v2: [^\n]+\n$/);
  return stderr.slice("containerd-shim-fake-v2: ".length, -1);
}

describe("help", () => {
  it.each(["-h", "--help"])("is printed for %s, and nothing else happens", async (flag) => {
    const { code, stdout, stderr } = await shim.runAlone([flag]);
    expect({ code, stderr }).toEqual({ code: exitCodes.done, stderr: "" });
    const text = stdout.toString();
    expect(text).toMatch(/^containerd-shim-fake-v2: containerd shim that runs each pod/);
    for (const part of ["containerd starts this program by itself", "Usage:", "Options:", "Exit codes:", "Examples:"]) {
      expect(text).toContain(part);
    }
    expect(shim.record()).toEqual([]);
  });

  it("is what somebody is told of who says nothing", async () => {
    const outcome = await shim.runAlone([]);
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toBe(
      "containerd starts this program, once for each pod, with flags and an action; containerd-shim-fake-v2 -h tells which",
    );
  });
});

describe("a command line that is wrong", () => {
  it.each([
    [["-adress", "x"], "unknown flag -adress: did you mean -address? Expected one of -namespace, "],
    [["-nonsense", "start"], "unknown flag -nonsense: expected one of -namespace, "],
    [["strat"], "unknown action strat: did you mean start? Expected one of start, delete"],
    [["restart", "now"], "unknown action restart: did you mean start? Expected one of start, delete"],
    [["-debug=maybe", "start"], 'invalid value "maybe" for flag -debug: expected true or false'],
  ])("names in %j the word that was probably meant, and what is accepted", async (argumentList, message) => {
    const outcome = await shim.run("c1", argumentList);
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toContain(message);
  });
});

describe("start", () => {
  const files = (): readonly string[] => readdirSync(shim.directory).filter((name) => name !== "events");

  it("is refused outside of a bundle, and leaves nothing there", async () => {
    const outcome = await shim.run("c1", ["start"]);
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toBe(
      `start c1: ${shim.directory} is not a bundle: it has no config.json, and standard input names no sandbox. containerd makes a bundle and starts this program in it`,
    );
    expect(files()).toEqual([]);
  });

  it("is refused for a bundle that does not exist", async () => {
    const outcome = await shim.run("c1", ["-bundle", path.join(shim.directory, "none"), "start"]);
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toContain("/none is not a bundle");
  });

  it("accepts the bundle of a sandbox, in which containerd writes no config.json", async () => {
    symlinkSync(shim.directory, path.join(shim.makeBundle("s1"), "work"));
    expect(await shim.start("s1")).toMatch(/^unix:/);
  });

  it("accepts a folder without config.json when standard input describes a sandbox", async () => {
    shim.makeBundle("s1");
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Uint8Array.of(1) }).finish();
    expect(await shim.start("s1", { input })).toMatch(/^unix:/);
  });

  it.each([
    [{ UVM_SHIM_SOCKET_DIRECTORY: "s" }, 'environment variable UVM_SHIM_SOCKET_DIRECTORY is "s", expected an absolute'],
    [
      { UVM_SHIM_TELEMETRY_FILE: "t" },
      'environment variable UVM_SHIM_TELEMETRY_FILE is "t", expected an absolute path',
    ],
    [{ UVM_SHIM_RECORDS: "off" }, 'environment variable UVM_SHIM_RECORDS is "off", expected an absolute path or none'],
    [{ UVM_SHIM_LINGER_MS: "99" }, 'environment variable UVM_SHIM_LINGER_MS is "99", expected a whole number of mill'],
    [{ UVM_SHIM_HOST: "tcp:1" }, 'fake host "tcp:1" is unknown'],
    [{ TTRPC_ADDRESS: "here" }, 'environment variable TTRPC_ADDRESS is "here", expected the absolute path of contai'],
    [{ GRPC_ADDRESS: "a:1" }, 'environment variable GRPC_ADDRESS is "a:1", expected the absolute path of containerd'],
  ])("refuses the environment %j, and leaves no file", async (env, message) => {
    const bundle = shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["start"], { env });
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toContain(message);
    expect(readdirSync(bundle)).toEqual(["config.json"]);
    expect(files()).toEqual(["c1"]);
  });

  it("refuses an address that cannot be containerd's", async () => {
    const bundle = shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["-address", "containerd.sock", "start"]);
    expect(outcome.code).toBe(exitCodes.refused);
    expect(sentenceOf(outcome)).toBe(
      'flag -address is "containerd.sock", expected the absolute path of containerd\'s socket, such as /run/containerd/containerd.sock',
    );
    expect(sentenceOf(await shim.run("c1", ["-address=", "start"]))).toMatch(/^flag -address is missing, expected/);
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });

  const notRoot = "tells a user who is not root who starts shims, and leaves no file";
  itWith(notRoot, "root")(notRoot, async () => {
    const nobody = 65_534;
    for (const folder of [shim.directory, path.dirname(executable), tmpdir()]) {
      chmodSync(folder, statSync(folder).mode | 0o111);
    }
    mkdirSync(path.join(shim.directory, "s"), { mode: 0o711 });
    const bundle = shim.makeBundle("c1");
    writeFileSync(path.join(bundle, "config.json"), "{}");
    chmodSync(bundle, 0o777);
    const outcome = await shim.run("c1", ["start"], { user: nobody });
    expect(outcome.code).toBe(exitCodes.failed);
    expect(sentenceOf(outcome)).toMatch(
      /EACCES: permission denied, access '.*\/s'; this process runs as user 65534, and containerd starts shims as root$/,
    );
    expect(readdirSync(bundle)).toEqual(["config.json"]);
  });
});
