/** Run under Wine: one process that serves many pods, as containerd for Windows uses it. */
import { readdirSync } from "node:fs";
import { containerd } from "@uvm-shim/shim/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Pod } from "../shim-client/pod.ts";
import { startShim, Task } from "../shim-client/shim.ts";
import { runExec } from "../shim-client/windows-programs.ts";
import { podPaths } from "./case-paths.ts";
import { held, left, remember } from "./linux-side.ts";
import { SandboxerClient, SandboxerProcess, usualPipe } from "./sandboxer-process.ts";
import { executable, ShimProcess } from "./shim-process.ts";
import { endWindows, sandboxPodOptions, startWindows } from "./wcow-pod.ts";
import { exitOf, podOptions, runToEnd, startContainer } from "./windows-pod.ts";

const { Status } = containerd.v1.types;
const sigkill = 9;
/** Of a pod that was stopped, of a task that got SIGKILL, and of those whose shim is gone. */
const killedStatus = 137;
const notFound = 5;
const failedPrecondition = 9;
const lcowPipe = usualPipe("lcow");
const ttrpcAddress = /^ttrpc\+\\\\\.\\pipe\\ProtectedPrefix\\Administrators\\containerd-shim-pods-\S+-pipe$/;

/** The sandboxer itself is there, and the host as long as that is connected to it. */
async function heldByPods(): Promise<readonly string[]> {
  const ofSandboxer = /containerd-shim-lcow-v2\.exe .* sandboxer$|host-emulator\/src\/main\.ts |\/state\/host\.sock$/;
  return ((await held()) as readonly string[]).filter((line) => !ofSandboxer.test(line));
}

describe("a sandboxer of Linux pods", () => {
  let sandboxer: SandboxerProcess;
  let client: SandboxerClient;

  beforeAll(async () => {
    await remember();
    sandboxer = new SandboxerProcess("lcow", "lcow-sandboxer");
    await sandboxer.start();
    client = await SandboxerClient.connect(lcowPipe, sandboxer.containerd);
  });
  afterAll(async () => {
    await client?.close();
    await sandboxer?.kill();
    expect(await left()).toEqual([]);
  });

  it("says which pods it makes", async () => {
    const { platform } = await client.controller.call("Platform", {});
    expect(platform).toMatchObject({ os: "linux", architecture: "amd64" });
  });

  it("runs two pods at once, each at a pipe of its own, and nothing is left of them", async () => {
    const pods = await Promise.all(["first", "second"].map((id) => client.run(podOptions(id))));
    const statuses = await Promise.all(
      ["first", "second"].map((sandboxId) => client.controller.call("Status", { sandboxId, verbose: true })),
    );
    for (const status of statuses) {
      expect(status).toMatchObject({
        state: "SANDBOX_READY",
        version: 3,
        address: expect.stringMatching(ttrpcAddress),
      });
    }
    expect(new Set(statuses.map(({ address }) => address)).size).toBe(2);
    for (const pod of pods) {
      const { id } = pod.identity;
      expect(await pod.shimPid()).toBe(sandboxer.pid);
      const ran = await runToEnd(pod, { id: `${id}-short`, args: ["sh", "-c", `echo of ${id}; exit 3`] });
      expect({ status: ran.status, stdout: ran.stdout.toString() }).toEqual({ status: 3, stdout: `of ${id}\n` });
      expect((await exitOf(pod, `${id}-short`)).exitStatus).toBe(3);
      const container = await startContainer(pod, { id: `${id}-long`, args: ["sleep", "1000"] });
      const exec = await container.exec("also", { args: ["sh", "-c", "echo exec; sleep 1000; true"] });
      await new Promise((resolve) => exec.stdout.once("data", resolve));
      const { processes } = await pod.shim.call(Task, "Pids", { id: container.id });
      expect(processes).toHaveLength(3);
      const state = await pod.shim.call(Task, "State", { id: container.id });
      expect(state).toMatchObject({ status: Status.RUNNING, exitStatus: 0 });
      await container.kill(sigkill);
      expect(await container.wait()).toBe(137);
      exec.close();
      await container.delete();
    }
    const [first] = pods;
    const ended = client.controller.call("Wait", { sandboxId: "first" });
    await client.remove("first");
    expect(await ended).toMatchObject({ exitStatus: killedStatus });
    await first?.shim.closed;
    await expect(client.controller.call("Status", { sandboxId: "first" })).rejects.toMatchObject({ code: notFound });
    expect((await client.controller.call("Status", { sandboxId: "second" })).state).toBe("SANDBOX_READY");
    await client.remove("second");
    // The name is free again.
    await client.run({ ...podOptions("third"), id: "first" });
    await client.remove("first");
    expect(readdirSync(sandboxer.state, { recursive: true })).toEqual(["owner", "pods"]);
    expect(await heldByPods()).toEqual([]);
  });

  it("refuses what is not of its flavour or its host, and pods that it does not know", async () => {
    const { identity } = new ShimProcess("refused", {
      environment: { UVM_SHIM_SANDBOXER: lcowPipe, UVM_SHIM_HOST: "none" },
    });
    await expect(startShim(identity)).rejects.toThrow('UVM_SHIM_HOST is "none"');
    const other = { ...identity, executable: executable("wcow"), environment: { UVM_SHIM_SANDBOXER: lcowPipe } };
    await expect(startShim(other)).rejects.toThrow("it is of flavour wcow, and this sandboxer serves lcow");
    await expect(client.controller.call("Start", { sandboxId: "nobody" })).rejects.toMatchObject({ code: notFound });
    // As containerd's own controller: what is gone has stopped.
    await client.controller.call("Stop", { sandboxId: "nobody" });
  });

  it("serves the pods that start hands over, by name or because it is there", async () => {
    for (const [id, environment] of [
      ["named", { UVM_SHIM_SANDBOXER: lcowPipe }],
      ["usual", {}],
    ] as const) {
      const options = podOptions(id);
      const pod = await Pod.run({ ...options, environment: { ...options.environment, ...environment } });
      expect(await pod.shimPid()).toBe(sandboxer.pid);
      const ran = await runToEnd(pod, { id: `${id}-container`, args: ["sh", "-c", "exit 4"] });
      expect(ran.status).toBe(4);
      await pod.remove();
    }
    const alone = podOptions("alone");
    const pod = await Pod.run({ ...alone, environment: { ...alone.environment, UVM_SHIM_SANDBOXER: "none" } });
    expect(await pod.shimPid()).not.toBe(sandboxer.pid);
    await pod.remove();
    expect(await heldByPods()).toEqual([]);
  });

  it("reports its pods as lost once it has been killed, leaves nothing of them, and takes new ones at once", async () => {
    const pods = await Promise.all(["lost-1", "lost-2"].map((id) => client.run(podOptions(id))));
    for (const pod of pods) await startContainer(pod, { id: `${pod.identity.id}-container`, args: ["sleep", "1000"] });
    const handed = await Pod.run(podOptions("lost-handed"));
    await sandboxer.kill();
    for (const pod of [...pods, handed]) await pod.shim.closed;
    await handed.abandon();
    await sandboxer.start();
    client.reconnect(lcowPipe);
    const fresh = await client.run(podOptions("fresh"));
    expect((await runToEnd(fresh, { id: "fresh-container", args: ["true"] })).status).toBe(0);
    await client.remove("fresh");
    for (const pod of pods) {
      const sandboxId = pod.identity.id;
      expect(await client.controller.call("Status", { sandboxId })).toMatchObject({ state: "SANDBOX_NOTREADY" });
      expect(await client.controller.call("Wait", { sandboxId })).toMatchObject({ exitStatus: killedStatus });
      expect((await exitOf(pod, `${sandboxId}-container`)).exitStatus).toBe(killedStatus);
      const again = client.controller.call("Start", { sandboxId });
      await expect(again).rejects.toMatchObject({ code: failedPrecondition });
      await client.remove(sandboxId);
      await expect(client.controller.call("Status", { sandboxId })).rejects.toMatchObject({ code: notFound });
    }
    expect(readdirSync(sandboxer.state, { recursive: true })).toEqual(["owner", "pods"]);
    expect(await heldByPods()).toEqual([]);
  });
});

describe("a sandboxer of Windows pods", () => {
  it("runs two of them at once, and nothing is left", async () => {
    await remember();
    const pipe = usualPipe("wcow");
    const sandboxer = new SandboxerProcess("wcow", "wcow-sandboxer");
    await sandboxer.start();
    const client = await SandboxerClient.connect(pipe, sandboxer.containerd);
    try {
      expect((await client.controller.call("Platform", {})).platform).toMatchObject({ os: "windows" });
      const utilityVm = podPaths().windowsLayers.at(-1);
      const pods = await Promise.all(["win-1", "win-2"].map((id) => client.run(sandboxPodOptions(id, utilityVm))));
      for (const pod of pods) {
        const { id } = pod.identity;
        expect(await pod.shimPid()).toBe(sandboxer.pid);
        const container = await startWindows(pod, { id: `${id}-container`, commandLine: "C:\\probe.exe wait" });
        const ran = await runExec(container, "echo", `cmd /c echo of ${id}`);
        expect(ran).toMatchObject({ status: 0, stdout: `of ${id}\r\n` });
        await endWindows(container);
        await client.remove(id);
      }
      expect(readdirSync(sandboxer.state, { recursive: true })).toEqual(["owner", "pods"]);
    } finally {
      await client.close();
      await sandboxer.kill();
    }
    expect(await left()).toEqual([]);
  });
});
