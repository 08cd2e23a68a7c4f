import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FakeUpstream } from "@uvm-shim/controller-process/testing";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it, vi } from "vitest";
import { createWcowPlatform } from "./platform-wcow.ts";

const namespace = "ns";
const program = fileURLToPath(new URL("../../../packages/host-emulator/src/main.ts", import.meta.url));

describeWith(
  "Linux on x64",
  "root",
  "Wine",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
)("a task without a pod", () => {
  it("runs as `ctr run` makes it: alone in a VM of its own, with an exec, and leaves nothing", async () => {
    const base = await baseLayer();
    const directory = mkdtempSync(join(tmpdir(), "t-"));
    const socketPath = join(directory, "host.sock");
    const start = { command: process.execPath, args: [program], env: { [hostVariables.idleMs]: "100" } };
    const host = await connectEmulatedHost({ socketPath, start });
    const log = { log: () => {} };
    const upstream = new FakeUpstream(new ScriptedCalls());
    const platform = createWcowPlatform({
      ...{ log, guestLog: log, requestLog: log, upstreamStdio: upstream, namespace, executableDirectory: directory },
      env: { UVM_SHIM_HOST: `unix:${socketPath}` },
      servesOnePod: true,
    });
    const [bundle, scratch] = ["bundle", "scratch"].map((name) => join(directory, name)) as [string, string];
    for (const folder of [bundle, scratch]) mkdirSync(folder);
    const options = [`parentLayerPaths=${JSON.stringify([base])}`];
    const rootfs = [{ type: "windows-layer", source: scratch, options }];
    const user = { username: "ContainerUser" };
    const processOf = (command: string) => ({ args: ["cmd.exe", "/c", command], cwd: "C:\\", user });
    const spec = {
      ...{ ociVersion: "1.1.0", hostname: "single", root: { path: "" }, windows: { layerFolders: [], hyperv: {} } },
      process: processOf("echo from %COMPUTERNAME%& set /p LINE=& exit 42"),
    };
    const task = { id: "c1", bundle, rootfs, spec };
    const stdio = { stdin: "in", stdout: "out", stderr: "err", terminal: false };
    try {
      const sandbox = await platform.createSandbox({ ...task, namespace, annotations: {}, makesContainer: false });
      await sandbox.start();
      const container = await sandbox.createContainer({ ...task, stdio, onOutOfMemory: () => {} });
      await container.init.start();
      const exec = await container.createProcess({ execId: "e1", spec: processOf("echo exec& exit 7"), stdio });
      await exec.start();
      expect(await exec.wait()).toMatchObject({ status: 7 });
      expect((await container.pids()).map(({ pid }) => pid)).toContain(container.init.pid);
      expect(await container.statistics()).toMatchObject({ version: "windows" });
      upstream.opened[0]?.stdin?.end("a line\r\n");
      expect(await container.init.wait()).toMatchObject({ status: 42 });
      expect(upstream.opened.map(({ stdout }) => stdout?.bytes.toString().split("\r\n")[0])).toEqual([
        "from SINGLE",
        "exec",
      ]);
      expect(await sandbox.deleteContainer("c1")).toMatchObject({ status: 42 });
      await sandbox.stop(10_000);
      expect([await host.enumerateComputeSystems(), readdirSync(bundle)]).toEqual([[], []]);
    } finally {
      await platform.close();
      await host.close();
      await vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 });
      rmSync(directory, { recursive: true, force: true });
    }
  }, 120_000);
});
