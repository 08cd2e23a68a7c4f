/** Run under Wine: a pod of Windows containers behind the shim's executable. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { connectWindowsHost, librariesOf } from "@uvm-shim/hcs-bindings/windows";
import { containerd } from "@uvm-shim/shim/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { digestOf, PATTERN } from "../e2e/images.ts";
import { NetworkPlan } from "../e2e/networks.ts";
import { Pod, type PodContainer } from "../shim-client/pod.ts";
import { runDelete, Task } from "../shim-client/shim.ts";
import {
  canTakeMemory,
  largestShare,
  limitedResources,
  processorCount,
  processorShare,
  sharedResources,
  updateResources,
} from "../shim-client/windows-limits.ts";
import { execOf, readUntil, runExec } from "../shim-client/windows-programs.ts";
import { utilityVmAnnotation } from "../shim-client/windows-spec.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { credentialGuards, held, left, remember } from "./linux-side.ts";
import { endWindows, sandboxPodOptions, startWindows, wcowPodOptions } from "./wcow-pod.ts";

const { Statistics } = containerd.runhcs.stats.v1;
const { DeleteResponse } = containerd.task.v2;
const waits = "C:\\probe.exe wait";
const events = { ctrlC: 0, ctrlBreak: 1, ctrlShutdown: 6 } as const;
const sigkill = 9;
/** STATUS_CONTROL_C_EXIT: how Windows ends a program by an event that it does not handle. */
const controlCExit = 0xc000013a;
const mebibyte = 2 ** 20;

describe("a pod of Windows containers", () => {
  let pod: Pod;

  beforeAll(async () => {
    await remember();
    pod = await Pod.run(wcowPodOptions("wcow"));
  });
  afterAll(async () => {
    await pod?.abandon();
  });

  async function inContainer(
    id: string,
    work: (container: PodContainer) => Promise<void>,
    specification = {},
  ): Promise<void> {
    const container = await startWindows(pod, { id, commandLine: waits, specification });
    try {
      await work(container);
    } finally {
      await endWindows(container);
    }
  }

  it("runs two containers on the same layers, each with files of its own, and execs in them", async () => {
    const containers: PodContainer[] = [];
    for (const id of ["one", "two"]) containers.push(await startWindows(pod, { id, commandLine: waits }));
    for (const container of containers) {
      const { id } = container;
      expect(await runExec(container, "write", `cmd /c echo ${id}>C:\\mine.txt`)).toMatchObject({ status: 0 });
    }
    for (const container of containers) {
      const { stdout } = await runExec(container, "read", "cmd /c type C:\\mine.txt");
      expect(stdout).toBe(`${container.id}\r\n`);
    }
    for (const container of containers) await endWindows(container);
  });

  it("ends with the exit codes of programs, of 32 bits too", async () => {
    await inContainer("codes", async (container) => {
      for (const code of [0, 1, 42, 0xc000013a]) {
        const ended = await runExec(container, `code-${code}`, `C:\\probe.exe exit ${code.toString(16)}`);
        expect(ended.status).toBe(code);
      }
    });
    const init = await startWindows(pod, { id: "code", commandLine: "C:\\probe.exe exit 2a" });
    expect(await init.wait()).toBe(42);
    await init.delete();
  });

  it("carries 8 MiB each way", async () => {
    const container = await startWindows(pod, { id: "streams", commandLine: "C:\\probe.exe copy" });
    const sent = randomBytes(PATTERN.size);
    container.stdio.stdin.end(sent);
    await container.closeStdin();
    const [{ stdout }, status] = await Promise.all([container.stdio.output(), container.wait()]);
    expect({ status, digest: digestOf(stdout) }).toEqual({ status: 0, digest: digestOf(sent) });
    await container.delete();
  });

  it("shows console events to who handles them, and ends by CtrlC who does not", async () => {
    const container = await startWindows(pod, { id: "events", commandLine: waits });
    for (const event of [events.ctrlC, events.ctrlBreak, events.ctrlShutdown]) {
      const execId = `handles-${event}`;
      const exec = await container.exec(execId, execOf("C:\\probe.exe handle"));
      await readUntil(exec.stdout, /ready/);
      await container.kill(event, { execId });
      expect(await readUntil(exec.stdout, /event \d/)).toContain(`event ${event}`);
      // Windows may end a program by the event already.
      await container.kill(sigkill, { execId }).catch(() => undefined);
      await container.wait(execId);
      await container.deleteExec(execId);
      exec.close();
    }
    await readUntil(container.stdio.stdout, /ready/);
    await container.kill(events.ctrlC);
    expect(await container.wait()).toBe(controlCExit);
    await container.delete();
  });

  it("has terminals whose size changes", async () => {
    const container = await startWindows(pod, {
      ...{ id: "terminal", commandLine: "C:\\probe.exe sizes", terminal: true },
      process: { consoleSize: { width: 90, height: 28 } },
    });
    await readUntil(container.stdio.stdout, /size=90x28/);
    await pod.shim.call(Task, "ResizePty", { id: "terminal", width: 117, height: 42 });
    container.stdio.stdin.write("\r");
    await readUntil(container.stdio.stdout, /size=117x42/);
    await endWindows(container);
  });

  it("maps folders of the host, to read and to write, and single files", async () => {
    const folder = path.join(casePaths().directory, "wcow-mounts");
    const [readable, writable] = [path.join(folder, "readable"), path.join(folder, "writable")];
    for (const each of [readable, writable]) mkdirSync(each, { recursive: true });
    writeFileSync(path.join(readable, "given.txt"), "given\r\n");
    writeFileSync(path.join(folder, "single.txt"), "single\r\n");
    const mounts = [
      { source: readable, destination: "C:\\given", options: ["ro"] },
      { source: writable, destination: "C:\\written" },
      { source: path.join(folder, "single.txt"), destination: "C:\\files\\alone.txt", options: ["ro"] },
    ];
    await inContainer(
      "mounts",
      async (container) => {
        expect((await runExec(container, "read", "cmd /c type C:\\given\\given.txt")).stdout).toBe("given\r\n");
        await runExec(container, "refused", "cmd /c echo x>C:\\given\\new.txt");
        expect((await runExec(container, "absent", "cmd /c type C:\\given\\new.txt")).status).toBe(1);
        expect((await runExec(container, "write", "cmd /c echo written>C:\\written\\new.txt")).status).toBe(0);
        expect((await runExec(container, "single", "cmd /c type C:\\files\\alone.txt")).stdout).toBe("single\r\n");
      },
      { mounts },
    );
    expect(existsSync(path.join(readable, "new.txt"))).toBe(false);
    expect(readFileSync(path.join(writable, "new.txt"), "latin1")).toBe("written\r\n");
  });

  it("reaches a named pipe of the host, with a connection for each client", async () => {
    const server = createServer((socket) => {
      socket.on("data", (line) => socket.write(`heard ${line.toString("latin1")}`)).on("error", () => socket.destroy());
    });
    const pipe = String.raw`\\.\pipe\uvm-shim-wcow-suite`;
    await new Promise<void>((resolve, reject) => void server.once("error", reject).listen(pipe, resolve));
    try {
      const mounts = [{ source: pipe, destination: String.raw`\\.\pipe\inside` }];
      await inContainer(
        "pipe",
        async (container) => {
          for (const execId of ["first", "second"]) {
            const exec = await container.exec(execId, execOf(String.raw`C:\probe.exe pipe \\.\pipe\inside`));
            exec.stdin.end(`${execId}\n`);
            await container.closeStdin(execId);
            const [{ stdout }, status] = await Promise.all([exec.output(), container.wait(execId)]);
            expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: `heard ${execId}\r\n` });
            await container.deleteExec(execId);
            exec.close();
          }
        },
        { mounts },
      );
    } finally {
      await new Promise((resolve) => void server.close(resolve));
    }
  });

  it("measures containers and the pod, and lists processes", async () => {
    await inContainer("measured", async (container) => {
      const measure = async (id: string) => {
        const { stats } = await pod.shim.call(Task, "Stats", { id });
        expect(stats?.type_url).toBe("containerd.runhcs.stats.v1.Statistics");
        return Statistics.decode(stats?.value ?? new Uint8Array());
      };
      const { windows } = await measure(container.id);
      expect(Number(windows?.memory?.memoryUsageCommitBytes ?? 0)).toBeGreaterThan(mebibyte);
      expect(Number((await measure("wcow")).vm?.memory?.workingSetBytes ?? 0)).toBeGreaterThan(0);
      const { processes } = await pod.shim.call(Task, "Pids", { id: container.id });
      expect(processes.length).toBeGreaterThan(0);
    });
  });

  it("limits memory and processors as a program sees them, and gives more memory later", async () => {
    const { resources, allowed, tooMuch, more } = limitedResources;
    await inContainer(
      "limited",
      async (container) => {
        expect(await canTakeMemory(container, "little", allowed)).toBe(true);
        expect(await canTakeMemory(container, "much", tooMuch)).toBe(false);
        expect(await processorCount(container, "one")).toBe(1);
        await updateResources(pod, container, more);
        expect(await canTakeMemory(container, "more", tooMuch)).toBe(true);
      },
      { windows: { resources } },
    );
  });

  it("gives a container a share of the processors", async () => {
    await inContainer(
      "shared",
      async (container) => {
        const share = await processorShare(container, "work");
        expect(share).toBeGreaterThan(0);
        expect(share).toBeLessThan(largestShare);
      },
      { windows: { resources: sharedResources } },
    );
  });

  it("updates the memory and processors of a container, and refuses what is none", async () => {
    await inContainer("updated", async (container) => {
      await updateResources(pod, container, { memory: { limit: 256 * mebibyte } });
      const { stdout } = await runExec(container, "limits", "C:\\probe.exe limits");
      expect(stdout).toMatch(/^memory=256 /);
      await updateResources(pod, container, { cpu: { count: 1 } });
      expect(await processorCount(container, "one")).toBe(1);
      await expect(updateResources(pod, container, { memory: { limit: "much" } })).rejects.toMatchObject({
        code: "InvalidArgument",
      });
    });
  });

  it("gives a container the guard of its credential specification, as long as it exists", async () => {
    const credentialSpec = JSON.stringify({ CmsPlugins: ["ActiveDirectory"] });
    await inContainer("account", async () => expect(await credentialGuards()).toEqual(["account"]), {
      windows: { credentialSpec },
    });
    expect(await credentialGuards()).toEqual([]);
  });

  it("runs host processes in its VM", async () => {
    const annotations = { "microsoft.com/hostprocess-container": "true" };
    const commandLine = "cmd /c if exist C:\\hpc\\probe.exe (if not exist C:\\probe.exe echo in the VM)";
    const container = await startWindows(pod, { id: "host-process", commandLine, specification: { annotations } });
    const [{ stdout }, status] = await Promise.all([container.stdio.output(), container.wait()]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 0, stdout: "in the VM\r\n" });
    await container.delete();
  });

  it("goes, and leaves nothing", async () => {
    await pod.remove();
    expect(await left()).toEqual([]);
  });
});

describe("the serving process of a pod of Windows containers", () => {
  it("leaves nothing that delete does not remove when it is killed", async () => {
    await remember();
    const pod = await Pod.run(wcowPodOptions("wcow-killed"));
    try {
      const credentialSpec = JSON.stringify({ CmsPlugins: ["ActiveDirectory"] });
      const container = await startWindows(pod, {
        ...{ id: "left", commandLine: waits, specification: { windows: { credentialSpec } } },
      });
      const exec = await container.exec("also", execOf(waits));
      await readUntil(exec.stdout, /ready/);
      expect(await held()).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/compute system pods-wcow-killed@vm/),
          expect.stringMatching(/process .*containerd-shim-wcow-v2\.exe/),
        ]),
      );
      expect(await credentialGuards()).toEqual(["left"]);
      process.kill(await pod.shimPid(), "SIGKILL");
      await pod.shim.closed;
      // As containerd does for each task whose shim is gone.
      for (const { id, bundle } of [container, pod.identity]) {
        const { status, stderr, stdout } = await runDelete({ ...pod.identity, id, bundle });
        expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
        expect(DeleteResponse.decode(stdout)).toMatchObject({ exitStatus: 137 });
      }
      exec.close();
      container.stdio.close();
    } finally {
      await pod.abandon();
    }
    expect(await left()).toEqual([]);
  });
});

describe("a pod of Windows containers by the Sandbox API, which has no layers of its own", () => {
  it("boots from the folder of the runtime options, runs a container and an exec, and leaves nothing", async () => {
    await remember();
    const pod = await Pod.run(sandboxPodOptions("wcow-sandbox", podPaths().windowsLayers.at(-1)));
    try {
      expect(existsSync(path.join(pod.identity.bundle, "vm", "sandbox.vhdx"))).toBe(true);
      const container = await startWindows(pod, { id: "inside", commandLine: waits });
      expect((await runExec(container, "write", "cmd /c echo written>C:\\mine.txt")).status).toBe(0);
      expect((await runExec(container, "read", "cmd /c type C:\\mine.txt")).stdout).toBe("written\r\n");
      await endWindows(container);
      await pod.remove();
    } finally {
      await pod.abandon();
    }
    expect(await left()).toEqual([]);
  });

  it("is refused where nothing has the files of its VM, with both ways to name them", async () => {
    await remember();
    const refused = Pod.run(sandboxPodOptions("wcow-without"));
    const both = new RegExp(
      `rootfs: got nothing.*layers of a Windows image.*boot_files_root_path.*${utilityVmAnnotation}`,
    );
    await expect(refused).rejects.toMatchObject({ code: "InvalidArgument", message: expect.stringMatching(both) });
    expect(await left()).toEqual([]);
  });
});

describe("a pod of Windows containers with a network", () => {
  it("has both endpoints of its namespace", async () => {
    // The connection of this process keeps the emulated host until the suite ends, so that nothing is counted here.
    const host = await connectWindowsHost(librariesOf(podPaths().libraries));
    const plan = new NetworkPlan(host.networks);
    let pod: Pod | undefined;
    try {
      const networkNamespace = await plan.namespace();
      const network = await plan.network("wcow", "10.43.0.0/24", "10.44.0.0/24");
      const addresses = ["10.43.0.2", "10.44.0.2"];
      for (const [index, IpAddress] of addresses.entries()) {
        const IpConfigurations = [{ IpAddress, PrefixLength: 24 }];
        await plan.endpoint(networkNamespace, network, { Name: `pod_eth${index}`, IpConfigurations });
      }
      pod = await Pod.run({ ...wcowPodOptions("wcow-network"), networkNamespace });
      const container = await startWindows(pod, {
        ...{ id: "networked", commandLine: waits, specification: { windows: { network: { networkNamespace } } } },
      });
      const { stdout } = await runExec(container, "addresses", "C:\\guest-program.exe addresses");
      expect(stdout.trim().split("\r\n").toSorted()).toEqual(addresses.map((address) => `address ${address}`));
      await endWindows(container);
      await pod.remove();
    } finally {
      await pod?.abandon();
      await plan.remove();
      await host.close();
    }
  });
});
