/** Run under Wine: how pods and tasks begin and end with each containerd for Windows, and that nothing is left. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EventSink } from "../shim-client/events.ts";
import { Pod } from "../shim-client/pod.ts";
import { runDelete, Sandbox, ShimClient, type ShimIdentity, startShim, Task } from "../shim-client/shim.ts";
import { containerSpec } from "../shim-client/spec.ts";
import { makeStdio } from "../shim-client/stdio.ts";
import { casePaths } from "./case-paths.ts";
import { held, left, loseService, remember } from "./linux-side.ts";
import { connect, executable, ShimProcess } from "./shim-process.ts";
import { serveVersion } from "./version-service.ts";
import {
  exitOf,
  hostEnvironment,
  layers,
  podOptions,
  runToEnd,
  runtimeOptions,
  startContainer,
} from "./windows-pod.ts";

const { DeleteResponse } = containerd.task.v2;
const OldTask = containerd.task.v2.Task;
const containerdSocket = String.raw`\\.\pipe\uvm-shim-containerd`;

const started: (() => Promise<unknown>)[] = [];

beforeEach(remember);
afterEach(async () => {
  for (const end of started.splice(0).toReversed()) await end();
});

async function serveContainerd(version: string): Promise<void> {
  const server = await serveVersion(containerdSocket, version);
  started.push(() => new Promise((resolve) => server.close(resolve)));
}

describe("a pod of containerd 2.1, which gives options alone", () => {
  it("publishes its events in order, and leaves nothing", async () => {
    await serveContainerd("v2.1.9");
    const pod = await Pod.run({ ...podOptions("older"), dialect: "options", containerdSocket });
    started.push(() => pod.abandon());
    const ended = pod.shim.call(Sandbox, "WaitSandbox", { sandboxId: "older" });
    expect(await runToEnd(pod, { id: "one", args: ["sh", "-c", "exit 5"] })).toMatchObject({ status: 5 });
    await expect
      .poll(() => pod.sink.topics())
      .toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    const running = await startContainer(pod, { id: "two", args: ["sleep", "1000"] });
    await pod.remove();
    await ended;
    running.stdio.close();
    expect(await left()).toEqual([]);
  });
});

describe("a task of containerd 1.7, which has a VM of its own", () => {
  it("runs to its end, and leaves nothing", async () => {
    await serveContainerd("1.7.24");
    const id = "classic";
    const bundle = path.join(casePaths().directory, id);
    mkdirSync(bundle);
    writeFileSync(
      path.join(bundle, "config.json"),
      JSON.stringify(
        containerSpec({ args: ["sh", "-c", "read line; echo got $line; exit 4"], hostname: id, cgroup: `/pods/${id}` }),
      ),
    );
    const eventSocket = String.raw`\\.\pipe\uvm-shim-classic.ttrpc`;
    const sink = await EventSink.listen(eventSocket);
    started.push(() => sink.close());
    const identity: ShimIdentity = {
      ...{ executable: executable("lcow"), namespace: "classic", id, bundle, eventSocket, containerdSocket },
      ...{ dialect: "options", environment: hostEnvironment(), runtimeOptions: runtimeOptions() },
    };
    const { address, version } = await startShim(identity);
    expect(version).toBe(2);
    const shim = await ShimClient.connect(identity, address);
    const stdio = await makeStdio(bundle, "init", false);
    started.push(async () => stdio.close());
    await shim.call(OldTask, "Create", { id, bundle, rootfs: [layers(id)], ...stdio.paths });
    await shim.call(OldTask, "Start", { id });
    stdio.stdin.end("a line\n");
    const [{ stdout }, { exitStatus }] = await Promise.all([stdio.output(), shim.call(OldTask, "Wait", { id })]);
    expect({ exitStatus, stdout: stdout.toString() }).toEqual({ exitStatus: 4, stdout: "got a line\n" });
    expect(await shim.call(OldTask, "Delete", { id })).toMatchObject({ exitStatus: 4 });
    await expect.poll(() => sink.topics()).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    await shim.call(OldTask, "Shutdown", { id });
    await shim.closed;
    await shim.delete();
    expect(await left()).toEqual([]);
  });
});

describe("a serving process that is killed", () => {
  it("while its VM boots leaves nothing that delete does not remove", async () => {
    const shim = new ShimProcess("booting", { environment: hostEnvironment(), runtimeOptions: runtimeOptions() });
    const client = await connect(await shim.start());
    await client.call(Sandbox, "CreateSandbox", { sandboxId: shim.id, bundlePath: shim.bundle });
    const { shimPid } = await client.call(Task, "Connect", { id: shim.id });
    const boot = client.call(Sandbox, "StartSandbox", { sandboxId: shim.id });
    process.kill(shimPid, "SIGKILL");
    await expect(boot).rejects.toMatchObject({ code: "Unavailable" });
    expect(await shim.delete()).toMatchObject({ status: 0, stderr: "" });
    expect(await left()).toEqual([]);
  });

  it("leaves nothing that delete does not remove, within containerd's time", async () => {
    const options = podOptions("killed");
    const pod = await Pod.run(options);
    started.push(() => pod.abandon());
    const container = await startContainer(pod, { id: "left", args: ["sleep", "1000"] });
    const exec = await container.exec("also", { args: ["cat"] });
    const outputs = [container.stdio.output(), exec.output()];
    expect(await held()).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/compute system pods-killed@vm/),
        expect.stringMatching(/loop device .*sandbox\.vhdx/),
        expect.stringMatching(/process .*containerd-shim-lcow-v2\.exe/),
      ]),
    );
    process.kill(await pod.shimPid(), "SIGKILL");
    await pod.shim.closed;
    await Promise.all(outputs);
    const { status, stderr, stdout } = await runDelete(pod.identity);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(DeleteResponse.decode(stdout)).toMatchObject({ exitStatus: 137 });
    const address = readFileSync(path.join(pod.identity.bundle, "address"), "utf8");
    for (const pipe of [address, String.raw`\\.\pipe\containerd-shim-pods-killed-log`]) {
      await expect(connect(pipe)).rejects.toThrow("ENOENT");
    }
    exec.close();
    container.stdio.close();
    expect(await left()).toEqual([]);
  });
});

describe("a compute service that is lost", () => {
  it("ends the pod, its containers and the calls that wait for them, and delete succeeds", async () => {
    const pod = await Pod.run(podOptions("lost"));
    started.push(() => pod.abandon());
    const container = await startContainer(pod, { id: "with-host", args: ["sleep", "1000"] });
    const waiting = [
      pod.shim.call(Sandbox, "WaitSandbox", { sandboxId: "lost" }),
      container.wait(),
      container.stdio.output(),
      exitOf(pod, "with-host"),
    ];
    await loseService();
    await Promise.all(waiting);
    const status = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId: "lost" });
    expect(status).toMatchObject({ state: "SANDBOX_NOTREADY" });
    await container.delete();
    await pod.remove();
  });
});
