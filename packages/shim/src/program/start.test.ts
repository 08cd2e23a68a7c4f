import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { containerd, google } from "../generated/messages.js";
import { fileThreads, mostCallsInAll } from "../system/file-calls.ts";
import { processStartTime } from "../system/process-identity.ts";
import { eachTestWithProcesses, isAlive, type ShimProcesses } from "../testing/shim-processes.ts";
import { serveVersion } from "../testing/version-server.ts";

const { Task } = containerd.task.v3;
const { BootstrapParams, BootstrapResult } = containerd.runtime.bootstrap.v1;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

describe("start", () => {
  it("answers containerd 1.6 with only the address, once the socket accepts", async () => {
    const bundle = shim.makeBundle("c1", { process: { args: ["0"] } });
    const address = await shim.start("c1");
    const socket = address.replace("unix://", "");
    expect(address).toBe(`unix://${socket}`);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(bundle, "address"), "utf8")).toBe(address);
    expect(Number(readFileSync(path.join(bundle, "shim.pid"), "utf8"))).toBe(shim.servingPid("c1"));
    const connected = await shim.connect(address).call(Task, "Connect", { id: "c1" });
    expect(connected).toMatchObject({ shimPid: shim.servingPid("c1"), version: "1.2.3" });
  });

  it("runs the serving process in a new session, without inherited descriptors", async () => {
    shim.makeBundle("c1", {});
    await shim.start("c1");
    const pid = shim.servingPid("c1");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    expect(Number(stat[3])).toBe(pid);
    const standardStreams = [0, 1, 2].map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
    for (const stream of standardStreams) expect(stream).not.toMatch(/^(pipe|socket):/);
  });

  it("makes the serving process reserve little memory for future allocations", async () => {
    shim.makeBundle("c1", {});
    await shim.start("c1");
    const command = readFileSync(`/proc/${shim.servingPid("c1")}/cmdline`, "utf8").split("\0");
    expect(command).toContain("--max-semi-space-size=2");
  });

  it("gives the serving process enough threads for file calls that some may wait for a file system", async () => {
    shim.makeBundle("c1", {});
    await shim.start("c1");
    const environment = readFileSync(`/proc/${shim.servingPid("c1")}/environ`, "utf8").split("\0");
    expect(environment).toContain(`UV_THREADPOOL_SIZE=${fileThreads}`);
    expect(mostCallsInAll).toBeLessThan(fileThreads);
  });

  it.each([
    ["1.7.24", 2],
    ["2.1.9~ds1", 3],
  ])("asks containerd for its version, and answers %s in JSON with version %i", async (version, expected) => {
    shim.makeBundle("c1", {});
    const address = path.join(shim.directory, "containerd.sock");
    const close = await serveVersion(address, version);
    const reply = await shim.start("c1", { env: { MAX_SHIM_VERSION: "2", GRPC_ADDRESS: address } });
    expect(JSON.parse(reply)).toEqual({
      version: expected,
      address: expect.stringContaining("unix://"),
      protocol: "ttrpc",
    });
    await close();
  });

  it("answers version 2 to a containerd that does not state its version", async () => {
    shim.makeBundle("c1", {});
    expect(JSON.parse(await shim.start("c1", { env: { MAX_SHIM_VERSION: "2" } }))).toMatchObject({ version: 2 });
  });

  it("answers the parameters of containerd 2.3 in protobuf, and applies them", async () => {
    shim.makeBundle("c1", { process: { args: ["0"] } });
    const input = BootstrapParams.encode({
      instanceId: "c1",
      namespace: "ns",
      containerdTtrpcAddress: path.join(shim.directory, "events"),
      extensions: [{ value: { type_url: "containerd.runhcs.v1.Options", value: Uint8Array.of(8, 1) } }],
    }).finish();
    const outcome = await shim.run("c1", ["start"], { input, env: { MAX_SHIM_VERSION: "2", TTRPC_ADDRESS: "/none" } });
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const { version, address, protocol } = BootstrapResult.decode(outcome.stdout);
    expect([version, protocol]).toEqual([3, "ttrpc"]);
    await shim.connect(address).call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    expect(shim.record()).toContain('create c1 "containerd.runhcs.v1.Options"');
    await expect.poll(() => shim.events.topics).toEqual(["/tasks/create"]);
  });

  it("keeps warnings of Node out of its reply", async () => {
    shim.makeBundle("c1", {});
    expect(await shim.start("c1", { env: { FAKE_WARNS: "1" } })).toMatch(/^unix:[^\s]+$/);
  });

  it("passes bare runtime options to the platform", async () => {
    shim.makeBundle("c1", {});
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Uint8Array.of(1) }).finish();
    await shim.connect(await shim.start("c1", { input })).call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    expect(shim.record()).toContain('create c1 "my.Options"');
  });

  it("writes runtime options, which may contain secrets, to no file while it waits for its child", async () => {
    shim.makeBundle("c1", {});
    const value = Buffer.from("a secret of the options");
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value }).finish();
    const env = { FAKE_HANGS: "1", FAKE_START_MILLISECONDS: "300" };
    expect(await shim.run("c1", ["start"], { input, env })).toMatchObject({ code: 1 });
    const state = readFileSync(path.join(shim.bundle("c1"), "uvm-shim.json"), "utf8");
    expect(Object.keys(JSON.parse(state))).toEqual(["kind", "id", "namespace", "socket"]);
    for (const file of readdirSync(shim.bundle("c1"))) {
      const content = readFileSync(path.join(shim.bundle("c1"), file), "utf8");
      for (const form of ["utf8", "base64", "hex"] as const) expect(content).not.toContain(value.toString(form));
    }
  });

  it("passes on options larger than a pipe's buffer", async () => {
    shim.makeBundle("c1", {});
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Buffer.alloc(1 << 20) }).finish();
    await shim.connect(await shim.start("c1", { input })).call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    expect(shim.record()).toContain('create c1 "my.Options"');
  });

  it("fails at once, with the child's last output, when the child dies", async () => {
    shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["start"], { env: { FAKE_DIES: "1" } });
    expect(outcome.code).toBe(1);
    expect(outcome.combined).toMatch(
      /^containerd-shim-fake-v2: start c1: the serving process exited with code 7 before it accepted connections: fake: the disk is on fire\n$/,
    );
  });

  it("does not wait forever for a silent child", async () => {
    shim.makeBundle("c1", {});
    const outcome = await shim.run("c1", ["start"], { env: { FAKE_HANGS: "1", FAKE_START_MILLISECONDS: "300" } });
    expect(outcome).toMatchObject({
      code: 1,
      combined: expect.stringContaining("did not accept connections within 300 ms"),
    });
  });

  it("reports a limit of open files that is too low, and serves from the minimum on", async () => {
    shim.makeBundle("c1", {});
    const refused: number[] = [];
    let descriptors = 24;
    for (; descriptors < 64; descriptors += 2) {
      const { code, stdout, stderr } = await shim.run("c1", ["start"], { descriptors });
      if (code === 0) break;
      refused.push(descriptors);
      expect({ code, stdout: stdout.toString() }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(
        /^containerd-shim-fake-v2: .*EMFILE.*; the open file limit \(ulimit -n\) is too low for this shim\n$/,
      );
    }
    expect(refused).not.toEqual([]);
    expect(descriptors).toBeLessThan(64);
    expect(
      isAlive({ pid: shim.servingPid("c1"), processStartTime: processStartTime(shim.servingPid("c1")) ?? "" }),
    ).toBe(true);
  });

  it("refuses a second shim with the same id, and replaces a socket that no process serves", async () => {
    shim.makeBundle("c1", {});
    const address = await shim.start("c1");
    const again = await shim.run("c1", ["start"]);
    expect(again).toMatchObject({ code: 1, combined: expect.stringContaining("a shim already serves") });
    process.kill(shim.servingPid("c1"), "SIGKILL");
    await expect
      .poll(() =>
        isAlive({ pid: shim.servingPid("c1"), processStartTime: processStartTime(shim.servingPid("c1")) ?? "" }),
      )
      .toBe(false);
    expect(existsSync(address.replace("unix://", ""))).toBe(true);
    expect(await shim.start("c1")).toBe(address);
    await shim.connect(address).call(Task, "Connect", { id: "c1" });
  });

  it("answers a container that names a sandbox with that sandbox's shim", async () => {
    shim.makeBundle("s1", { annotations: { "io.kubernetes.cri.sandbox-id": "s1" } });
    const address = await shim.start("s1");
    shim.makeBundle("c1", { annotations: { "io.kubernetes.cri.sandbox-id": "s1" } });
    expect(await shim.start("c1")).toBe(address);
    expect(readFileSync(path.join(shim.bundle("c1"), "address"), "utf8")).toBe(address);
    shim.makeBundle("c2", { annotations: { "io.uvm-shim.sandbox-id": "nobody" } });
    const lost = await shim.run("c2", ["start"]);
    expect(lost).toMatchObject({
      code: 1,
      combined: expect.stringContaining("the shim of sandbox nobody does not accept connections on"),
    });
  });

  it("does not wait forever for an input that is never closed", async () => {
    shim.makeBundle("c1", {});
    expect(await shim.start("c1", { keepStdinOpen: true })).toMatch(/^unix:/);
  });

  it("leaves a malformed config.json to Create, which has an error code for it", async () => {
    shim.makeBundle("c1", "{");
    const create = shim.connect(await shim.start("c1")).call(Task, "Create", { id: "c1", bundle: shim.bundle("c1") });
    await expect(create).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringMatching(/config\.json is not JSON/),
    });
  });
});

describe("-v and -info", () => {
  it("print the version and the runtime information", async () => {
    const version = await shim.run("c1", ["-v"]);
    expect(version).toMatchObject({
      code: 0,
      stderr: "",
      combined: `containerd-shim-fake-v2:\n  Version:  1.2.3\n  Revision: abc123\n  Node version: ${process.version}\n\n`,
    });
    const input = google.protobuf.Any.encode({ type_url: "my.Options", value: Uint8Array.of(1) }).finish();
    const information = await shim.run("c1", ["-info"], { input });
    expect(information).toMatchObject({ code: 0, stderr: "" });
    expect(containerd.types.RuntimeInfo.decode(information.stdout)).toMatchObject({
      name: "io.containerd.fake.v2",
      version: { version: "1.2.3", revision: "abc123" },
      features: { value: Buffer.from('{"ociVersionMax":"1.2.0"}') },
    });
    expect(shim.record()).toEqual([]);
  });
});
