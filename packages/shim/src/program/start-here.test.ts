import { readFileSync, readlinkSync, statSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { containerd, google } from "../generated/messages.js";
import { fileThreads } from "../system/file-calls.ts";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

it("answers the launcher, and serves the pod in the same process", async () => {
  const bundle = shim.makeBundle("c1", { process: { args: ["0"] } });
  const { pid, output, errors, code } = await shim.runHere("c1");
  expect({ errors, code }).toEqual({ errors: "", code: "0" });
  expect(output).toMatch(/^unix:\/\//);
  expect(shim.servingPid("c1")).toBe(pid);
  expect(readFileSync(path.join(bundle, "shim.pid"), "utf8")).toBe(`${pid}`);
  expect(readFileSync(path.join(bundle, "address"), "utf8")).toBe(output);
  expect(statSync(path.join(bundle, "panic.log")).mode & 0o777).toBe(0o600);
  const connected = await shim.connect(output).call(Task, "Connect", { id: "c1" });
  expect(connected).toMatchObject({ shimPid: pid, version: "1.2.3" });
});

it("keeps nothing of its caller open, not even standard input", async () => {
  const bundle = shim.makeBundle("c1", {});
  const { pid } = await shim.runHere("c1", { input: Buffer.alloc(0) });
  const streams = [0, 1, 2].map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
  expect(streams).toEqual(["/dev/null", path.join(bundle, "panic.log"), path.join(bundle, "panic.log")]);
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(bundle);
});

it("passes runtime options to the platform, and threads for file calls to itself", async () => {
  shim.makeBundle("c1", { process: { args: ["0"] } });
  const input = google.protobuf.Any.encode({ type_url: "options.v1.Options", value: Buffer.from("x") }).finish();
  const { output, pid } = await shim.runHere("c1", { input });
  const request = { id: "c1", bundle: shim.bundle("c1") };
  await shim.connect(output).call(Task, "Create", request);
  expect(shim.record()).toContain('create c1 "options.v1.Options"');
  expect(Number(/^Threads:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])).toBeGreaterThan(
    fileThreads,
  );
});

it("gives a refusal to the launcher, and ends", async () => {
  shim.makeBundle("c1", {});
  const { ended, ...outcome } = await shim.runHere("c1", { env: { TTRPC_ADDRESS: "nowhere" } });
  await ended;
  expect(outcome).toMatchObject({ output: "", code: "2" });
  expect(outcome.errors).toMatch(
    /^containerd-shim-fake-v2: environment variable TTRPC_ADDRESS is "nowhere", expected /,
  );
});

it("refuses a second shim with the same id, and leaves the first one as it is", async () => {
  shim.makeBundle("c1", {});
  const { output } = await shim.runHere("c1");
  const { ended, ...second } = await shim.runHere("c1");
  await ended;
  expect(second).toMatchObject({ output: "", code: "1", errors: expect.stringContaining("a shim already serves") });
  await shim.connect(output).call(Task, "Connect", { id: "c1" });
});

it("leaves a container that joins a sandbox to the sandbox's shim, and ends", async () => {
  shim.makeBundle("s1", {});
  const { output } = await shim.runHere("s1");
  shim.makeBundle("c1", { annotations: { "io.kubernetes.cri.sandbox-id": "s1" } });
  const { ended, ...joined } = await shim.runHere("c1");
  await ended;
  expect(joined).toMatchObject({ output, errors: "", code: "0" });
});
