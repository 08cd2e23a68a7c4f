/** The shim as a process: its actions, replies, sockets, files and ends. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { containerd, google } from "./generated/messages.js";
import { isAlive, processStartTime } from "./process-identity.ts";
import { readState } from "./state-file.ts";
import { EventServer } from "./testing/event-server.ts";
import { encodeFields } from "./wire.ts";

const { Task } = containerd.task.v3;
const { Sandbox } = containerd.runtime.sandbox.v1;
const { BootstrapParams, BootstrapResult } = containerd.runtime.bootstrap.v1;

/** Bundled as the real ones are, which also makes the many processes of these tests start faster. */
let bundled: string;
let main: string;
beforeAll(async () => {
  bundled = mkdtempSync(path.join(tmpdir(), "shim-bundle-"));
  main = path.join(bundled, "shim.cjs");
  const entryPoint = path.join(import.meta.dirname, "testing", "shim-main.ts");
  await build({ entryPoints: [entryPoint], bundle: true, platform: "node", format: "cjs", outfile: main });
});
afterAll(() => rmSync(bundled, { recursive: true, force: true }));

let directory: string;
let events: EventServer;
const clients: TtrpcClient[] = [];

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-exe-"));
  events = new EventServer();
  await events.listen(path.join(directory, "events"));
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const id of ["s1", "c1", "c2"]) {
    const state = readState(bundleOf(id));
    if (state?.kind === "serving" && isAlive(state)) process.kill(state.pid, "SIGKILL");
  }
  await events.close();
  rmSync(directory, { recursive: true, force: true });
});

const bundleOf = (id: string): string => path.join(directory, id);

const makeBundle = (id: string, configuration?: object | string): string => {
  mkdirSync(bundleOf(id), { recursive: true });
  if (configuration !== undefined) {
    const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
    writeFileSync(path.join(bundleOf(id), "config.json"), text);
  }
  return bundleOf(id);
};

interface Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** What containerd reads of `start`. */
  readonly combined: string;
}

interface RunOptions {
  readonly env?: { readonly [name: string]: string };
  readonly input?: Uint8Array;
  readonly address?: string;
  readonly keepStdinOpen?: boolean;
}

const run = (id: string, argumentList: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const address = options.address ?? path.join(directory, "containerd.sock");
    const flags = ["-namespace", "ns", "-address", address, "-publish-binary", "/usr/bin/containerd", "-id", id];
    const child = spawn(process.execPath, [main, ...flags, ...argumentList], {
      cwd: existsSync(bundleOf(id)) ? bundleOf(id) : directory,
      env: {
        PATH: process.env.PATH,
        TTRPC_ADDRESS: path.join(directory, "events"),
        UVM_SHIM_SOCKET_DIRECTORY: path.join(directory, "s"),
        FAKE_RECORD: path.join(directory, "record"),
        ...options.env,
      },
    });
    const output: Buffer[] = [];
    let stdout = Buffer.alloc(0);
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout = Buffer.concat([stdout, chunk]);
      output.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      output.push(chunk);
    });
    child.stdin.on("error", () => {});
    if (options.keepStdinOpen !== true) child.stdin.end(options.input);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr, combined: Buffer.concat(output).toString() }));
  });

const start = async (id: string, options: RunOptions = {}): Promise<string> => {
  const outcome = await run(id, ["start"], options);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  return outcome.combined;
};

const connect = (address: string): TtrpcClient => {
  const client = new TtrpcClient(net.connect(address.replace("unix://", "")));
  clients.push(client);
  return client;
};

const record = (): string[] => {
  const file = path.join(directory, "record");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n") : [];
};

const deletion = async (id: string, options: RunOptions = {}) => {
  const outcome = await run(id, ["-bundle", bundleOf(id), "delete"], options);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  return containerd.task.v2.DeleteResponse.decode(outcome.stdout);
};

const servingPid = (id: string): number => {
  const state = readState(bundleOf(id));
  if (state?.kind !== "serving") throw new Error(`shim of ${id} is ${state?.kind}`);
  return state.pid;
};

describe("start", () => {
  it("answers containerd 1.6 with the address alone, once the socket accepts", async () => {
    const bundle = makeBundle("c1", { process: { args: ["0"] } });
    const address = await start("c1");
    const socket = address.replace("unix://", "");
    expect(address).toBe(`unix://${socket}`);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(bundle, "address"), "utf8")).toBe(address);
    expect(Number(readFileSync(path.join(bundle, "shim.pid"), "utf8"))).toBe(servingPid("c1"));
    const connected = await connect(address).call(Task, "Connect", { id: "c1" });
    expect(connected).toMatchObject({ shimPid: servingPid("c1"), version: "1.2.3" });
  });

  it("runs the serving process in a session of its own, with nothing of its caller's open", async () => {
    makeBundle("c1", {});
    await start("c1");
    const pid = servingPid("c1");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    expect(Number(stat[3])).toBe(pid);
    const open = execFileSync("ls", ["-l", `/proc/${pid}/fd`]).toString();
    expect(open).not.toMatch(/ [012] -> (pipe|socket):/);
  });

  it.each([
    ["1.7.24", 2],
    ["2.1.9~ds1", 3],
  ])("asks containerd which it is, and answers %s in JSON with version %i", async (version, expected) => {
    makeBundle("c1", {});
    const server = http2.createServer();
    server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
      expect(headers[":path"]).toBe("/containerd.services.version.v1.Version/Version");
      const message = encodeFields([
        [1, version],
        [2, "revision"],
      ]);
      const frame = Buffer.alloc(5);
      frame.writeUInt32BE(message.length, 1);
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.concat([frame, message]));
    });
    const address = path.join(directory, "containerd.sock");
    await new Promise<void>((resolve) => server.listen(address, resolve));
    const reply = await start("c1", { env: { MAX_SHIM_VERSION: "2", GRPC_ADDRESS: address } });
    expect(JSON.parse(reply)).toEqual({
      version: expected,
      address: expect.stringContaining("unix://"),
      protocol: "ttrpc",
    });
    await new Promise((resolve) => server.close(resolve));
  });

  it("answers a containerd that does not say its version with version 2", async () => {
    makeBundle("c1", {});
    expect(JSON.parse(await start("c1", { env: { MAX_SHIM_VERSION: "2" } }))).toMatchObject({ version: 2 });
  });

  it("answers the parameters of containerd 2.3 in protobuf, and takes from them what they say", async () => {
    makeBundle("c1", { process: { args: ["0"] } });
    const input = BootstrapParams.encode({
      instanceId: "c1",
      namespace: "ns",
      containerdTtrpcAddress: path.join(directory, "events"),
      extensions: [{ value: { type_url: "containerd.runhcs.v1.Options", value: Uint8Array.of(8, 1) } }],
    }).finish();
    const outcome = await run("c1", ["start"], { input, env: { MAX_SHIM_VERSION: "2", TTRPC_ADDRESS: "/none" } });
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const { version, address, protocol } = BootstrapResult.decode(outcome.stdout);
    expect([version, protocol]).toEqual([3, "ttrpc"]);
    await connect(address).call(Task, "Create", { id: "c1", bundle: bundleOf("c1") });
    expect(record()).toContain('create c1 "containerd.runhcs.v1.Options"');
    await expect.poll(() => events.topics).toEqual(["/tasks/create"]);
  });

  it("hands bare runtime options to the platform", async () => {
    makeBundle("c1", {});
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Uint8Array.of(1) }).finish();
    await connect(await start("c1", { input })).call(Task, "Create", { id: "c1", bundle: bundleOf("c1") });
    expect(record()).toContain('create c1 "my.Options"');
  });

  it("fails at once, with the child's own last words, when the child dies", async () => {
    makeBundle("c1", {});
    const outcome = await run("c1", ["start"], { env: { FAKE_DIES: "1" } });
    expect(outcome.code).toBe(1);
    expect(outcome.combined).toMatch(
      /^containerd-shim-fake-v2: start c1: the serving process exited with code 7 before it accepted connections: fake: the disk is on fire\n$/,
    );
  });

  it("does not wait for ever for a child that says nothing", async () => {
    makeBundle("c1", {});
    const outcome = await run("c1", ["start"], { env: { FAKE_HANGS: "1", FAKE_START_MILLISECONDS: "300" } });
    expect(outcome).toMatchObject({
      code: 1,
      combined: expect.stringContaining("did not accept connections in 300 ms"),
    });
  });

  it("refuses a second shim of the same id, and replaces a socket that nobody serves", async () => {
    makeBundle("c1", {});
    const address = await start("c1");
    const again = await run("c1", ["start"]);
    expect(again).toMatchObject({ code: 1, combined: expect.stringContaining("its shim is running") });
    process.kill(servingPid("c1"), "SIGKILL");
    await expect
      .poll(() => isAlive({ pid: servingPid("c1"), processStartTime: processStartTime(servingPid("c1")) ?? "" }))
      .toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(true);
    expect(await start("c1")).toBe(address);
    await connect(address).call(Task, "Connect", { id: "c1" });
  });

  it("answers a container that names a sandbox with that sandbox's shim", async () => {
    makeBundle("s1", { annotations: { "io.kubernetes.cri.sandbox-id": "s1" } });
    const address = await start("s1");
    makeBundle("c1", { annotations: { "io.kubernetes.cri.sandbox-id": "s1" } });
    expect(await start("c1")).toBe(address);
    expect(readFileSync(path.join(bundleOf("c1"), "address"), "utf8")).toBe(address);
    makeBundle("c2", { annotations: { "io.uvm-shim.sandbox-id": "nobody" } });
    const lost = await run("c2", ["start"]);
    expect(lost).toMatchObject({
      code: 1,
      combined: expect.stringContaining("the shim of its sandbox nobody is not serving"),
    });
  });

  it("does not wait for ever for an input that nobody closes", async () => {
    makeBundle("c1", {});
    expect(await start("c1", { keepStdinOpen: true })).toMatch(/^unix:/);
  });

  it("leaves a malformed config.json to Create, which has a code for it", async () => {
    makeBundle("c1", "{");
    const create = connect(await start("c1")).call(Task, "Create", { id: "c1", bundle: bundleOf("c1") });
    await expect(create).rejects.toMatchObject({ code: "InvalidArgument", message: /config\.json is not JSON/ });
  });

  it.each([
    [["-nonsense", "start"], "flag -nonsense is not known"],
    [["restart"], 'action "restart" is not start or delete'],
  ])("refuses %j in one sentence", async (argumentList, message) => {
    const outcome = await run("c1", argumentList);
    expect(outcome.code).toBe(1);
    expect(outcome.combined.trim().split("\n")).toEqual([expect.stringContaining(message)]);
  });
});

describe("-v and -info", () => {
  it("say what this is", async () => {
    const version = await run("c1", ["-v"]);
    expect(version).toMatchObject({
      code: 0,
      stderr: "",
      combined: "containerd-shim-fake-v2 1.2.3 (io.containerd.fake.v2)\n",
    });
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Uint8Array.of(1) }).finish();
    const information = await run("c1", ["-info"], { input });
    expect(information).toMatchObject({ code: 0, stderr: "" });
    expect(containerd.types.RuntimeInfo.decode(information.stdout)).toMatchObject({
      name: "io.containerd.fake.v2",
      version: { version: "1.2.3" },
    });
    expect(record()).toEqual([]);
  });
});

describe("the life of a shim", () => {
  it("ends after Shutdown with nothing left, and delete then has nothing to do", async () => {
    makeBundle("c1", { process: { args: ["42"] } });
    const address = await start("c1");
    const pid = servingPid("c1");
    const identity = { pid, processStartTime: processStartTime(pid) ?? "" };
    const client = connect(address);
    await client.call(Task, "Create", { id: "c1", bundle: bundleOf("c1") });
    await client.call(Task, "Start", { id: "c1" });
    expect(await client.call(Task, "Wait", { id: "c1" })).toMatchObject({ exitStatus: 42 });
    await client.call(Task, "Delete", { id: "c1" });
    await client.call(Task, "Shutdown", { id: "c1" });
    expect(await client.closed).toBeUndefined();
    expect(await deletion("c1")).toMatchObject({ exitStatus: 137 });
    expect(isAlive(identity)).toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
    expect(record()).toEqual(["load ns", "create c1 null", "stop c1"]);
    expect(events.topics).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  });

  it("is removed by delete after a crash, once, and again without harm", async () => {
    makeBundle("c1", { process: { args: ["0"] } });
    const address = await start("c1");
    const client = connect(address);
    await client.call(Task, "Create", { id: "c1", bundle: bundleOf("c1") });
    process.kill(servingPid("c1"), "SIGKILL");
    await client.closed;
    const answer = await deletion("c1");
    expect(answer).toMatchObject({ exitStatus: 137 });
    expect(Math.abs((answer.exitedAt?.seconds ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    expect(record().slice(-2)).toEqual(["load ns", "cleanUp c1"]);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
    await deletion("c1");
    expect(record().filter((line) => line === "cleanUp c1")).toHaveLength(1);
  });

  it("is ended by delete when it still runs", async () => {
    makeBundle("c1", {});
    const address = await start("c1");
    const pid = servingPid("c1");
    const identity = { pid, processStartTime: processStartTime(pid) ?? "" };
    await deletion("c1");
    expect(isAlive(identity)).toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(false);
  });

  it("is not touched by the delete of a container that joined it", async () => {
    makeBundle("s1", {});
    const address = await start("s1");
    makeBundle("c1", { annotations: { "io.uvm-shim.sandbox-id": "s1" } });
    await start("c1");
    await deletion("c1");
    // containerd 2.x starts no shim for a container of a sandbox, it writes the sandbox's id beside it.
    writeFileSync(path.join(makeBundle("c2"), "sandbox"), "s1");
    await deletion("c2");
    expect(record().filter((line) => line.startsWith("cleanUp"))).toEqual([]);
    await connect(address).call(Task, "Connect", { id: "s1" });
  });

  it("lets no other process that has its pid now suffer for it", async () => {
    makeBundle("c1", {});
    const bystander = spawn("sleep", ["60"]);
    const state = {
      kind: "serving",
      id: "c1",
      namespace: "ns",
      socket: path.join(directory, "gone"),
      pid: bystander.pid,
      processStartTime: "1",
    };
    writeFileSync(path.join(bundleOf("c1"), "uvm-shim.json"), JSON.stringify(state));
    await deletion("c1");
    expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
    bystander.kill("SIGKILL");
    expect(record()).toContain("cleanUp c1");
  });

  it("makes delete fail in time when cleaning up hangs or the platform cannot be loaded", async () => {
    makeBundle("c1", {});
    const hanging = await run("c1", ["-bundle", bundleOf("c1"), "delete"], { env: { FAKE_CLEAN_UP_HANGS: "1" } });
    expect(hanging).toMatchObject({ code: 1, stderr: expect.stringContaining("cleaning up took longer than 500 ms") });
    const hostless = await run("c1", ["-bundle", bundleOf("c1"), "delete"], { env: { FAKE_PLATFORM_FAILS: "1" } });
    expect(hostless).toMatchObject({ code: 1, stderr: "containerd-shim-fake-v2: no host here\n" });
  });

  it("is looked for by delete also when its bundle is gone", async () => {
    await deletion("c1");
    expect(record()).toEqual(["load ns", "cleanUp c1"]);
  });

  it("ends in order on SIGTERM", async () => {
    makeBundle("s1", {});
    const address = await start("s1");
    const client = connect(address);
    await client.call(Sandbox, "CreateSandbox", { sandboxId: "s1", bundlePath: bundleOf("s1") });
    process.kill(servingPid("s1"), "SIGTERM");
    await client.closed;
    expect(record()).toContain("stop s1");
    await expect.poll(() => existsSync(address.replace("unix://", ""))).toBe(false);
    expect(readState(bundleOf("s1"))).toMatchObject({ kind: "ended" });
  });

  it("ends by itself when nobody asks it for anything", async () => {
    makeBundle("c1", {});
    const address = await start("c1", { env: { FAKE_ORPHAN_MILLISECONDS: "100" } });
    await expect.poll(() => existsSync(address.replace("unix://", "")), { timeout: 5000 }).toBe(false);
    expect(readState(bundleOf("c1"))).toMatchObject({ kind: "ended" });
  });

  it("fails the calls under way and says why when it crashes", async () => {
    const bundle = makeBundle("c1", { process: { args: ["crash"] } });
    const client = connect(await start("c1"));
    await client.call(Sandbox, "CreateSandbox", { sandboxId: "s1", bundlePath: directory });
    await client.call(Sandbox, "StartSandbox", { sandboxId: "s1" });
    const wait = client.call(Sandbox, "WaitSandbox", { sandboxId: "s1" });
    wait.catch(() => {});
    await client.call(Task, "Create", { id: "c1", bundle }).catch(() => {});
    await expect(wait).rejects.toMatchObject({ code: "Unavailable" });
    await client.closed;
    await expect.poll(() => readFileSync(path.join(bundle, "shim-stderr.log"), "utf8")).toContain("a bug in the shim");
    expect(readState(bundle)).toMatchObject({ kind: "serving" });
    const deleted = await run("c1", ["-bundle", bundle, "delete"]);
    expect(deleted).toMatchObject({ code: 0, stderr: expect.stringContaining("ended with: ") });
    expect(deleted.stderr).toContain("a bug in the shim");
  });

  it("keeps answering while its log has no reader", async () => {
    const bundle = makeBundle("c1", {});
    execFileSync("mkfifo", [path.join(bundle, "log")]);
    const address = await start("c1", { env: {} });
    const client = connect(address);
    for (let index = 0; index < 50; index++) await client.call(Task, "Connect", { id: "c1" });
    const reader = spawn("head", ["-n", "1", path.join(bundle, "log")]);
    const line = await new Promise<string>((resolve) => reader.stdout.once("data", (chunk) => resolve(`${chunk}`)));
    expect(line).toMatch(/level=info msg=serving namespace=ns id=c1/);
  });
});
