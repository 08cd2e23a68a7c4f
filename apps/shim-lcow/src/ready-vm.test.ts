/** VMs that are booted ahead, on the emulated host with its real guest. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import type { Platform, PlatformContext, ReadyVm, SandboxRequest } from "@uvm-shim/shim";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLcowPlatform } from "./platform-lcow.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));
const id = "ready-00000000-0000-4000-8000-000000000000@vm";
const memory = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb";
const processors = "io.microsoft.virtualmachine.computetopology.processor.count";

describeWith("root", "crun")("a VM that is booted ahead", () => {
  let folder: string;
  let host: ComputeHost;
  let context: PlatformContext;
  let logged: string[];
  let waiting: ReadyVm[];
  let platforms: Platform[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ready-"));
    mkdirSync(join(folder, "LinuxBootFiles"));
    writeFileSync(join(folder, "LinuxBootFiles/kernel"), `${processGuestKernel}\n`);
    symlinkSync(sourceOf("guest-agent/src/main.ts"), join(folder, "LinuxBootFiles/initrd.img"));
    const socketPath = join(folder, "host.sock");
    const start = {
      command: process.execPath,
      args: [sourceOf("host-emulator/src/main.ts")],
      env: { [hostVariables.idleMs]: "100" },
    };
    host = await connectEmulatedHost({ socketPath, start });
    [logged, waiting, platforms] = [[], [], []];
    const log = { log: (_: string, message: string) => void logged.push(message) };
    context = {
      ...{ log, requestLog: log, guestLog: { log: () => {} }, upstreamStdio: undefined as never },
      ...{ env: { UVM_SHIM_HOST: `unix:${socketPath}` }, namespace: "ns", executableDirectory: folder },
      servesOnePod: false,
      readyVms: {
        take: async (refusal) => {
          const [vm] = waiting;
          if (vm === undefined) return undefined;
          const why = refusal(vm);
          if (why !== undefined) logged.push(why);
          return why === undefined ? waiting.shift() : undefined;
        },
      },
    };
    const plan = await newPlatform().planVm?.();
    const vm = await plan?.boot(id, new AbortController().signal);
    if (vm !== undefined) waiting.push(vm);
    expect(waiting).toHaveLength(1);
  });
  afterEach(async () => {
    for (const vm of waiting) await vm.end();
    for (const platform of platforms) await platform.close();
    expect(await host.enumerateComputeSystems()).toEqual([]);
    await host.close();
    await vi.waitFor(() => expect(existsSync(join(folder, "host.sock"))).toBe(false), { timeout: 10_000 });
    rmSync(folder, { recursive: true, force: true });
  });

  function newPlatform(): Platform {
    const platform = createLcowPlatform(context);
    platforms.push(platform);
    return platform;
  }
  const create = (changes: Partial<SandboxRequest> = {}) =>
    newPlatform().createSandbox({
      ...{ id: "s1", namespace: "ns", bundle: folder, annotations: {}, makesContainer: false },
      ...changes,
    });
  const systems = async () => (await host.enumerateComputeSystems()).map(({ Id }) => Id);

  it("becomes a pod's, with its memory and in its cgroup, and ends with it", async () => {
    const group = `/uvm-shim-ready-${process.pid}`;
    const sandbox = await create({ annotations: { [memory]: "512" }, spec: { linux: { cgroupsPath: group } } });
    expect(await systems()).toEqual([id]);
    await sandbox.start();
    await sandbox.ping();
    expect(sandbox.describe().vm).toMatchObject({ id, state: "Running", memoryInMb: 512 });
    expect(readFileSync(join(folder, "vm-id"), "utf8")).toBe(`${id}\n`);
    const hierarchies = ["memory", "unified", ""].map((name) => join("/sys/fs/cgroup", name, group, "vm"));
    expect(hierarchies.some((path) => existsSync(path))).toBe(true);
    await sandbox.stop(10_000);
    expect(await systems()).toEqual([]);
    expect(waiting).toEqual([]);
  });

  it("is not taken by a pod that needs another, nor by a confidential one", async () => {
    const larger = await create({ annotations: { [processors]: "1" } });
    expect(logged).toContainEqual(expect.stringContaining("KernelCmdLine"));
    expect((await systems()).toSorted()).toEqual(["ns-s1@vm", id].toSorted());
    await larger.stop(10_000);
    const policy = Buffer.from("package policy").toString("base64");
    const confidential = await create({
      annotations: {
        "io.microsoft.virtualmachine.lcow.securitypolicy": policy,
        "io.microsoft.virtualmachine.no_security_hardware": "true",
      },
    });
    expect((await systems()).toSorted()).toEqual(["ns-s1@vm", id].toSorted());
    await confidential.stop(10_000);
    expect(waiting).toHaveLength(1);
  });

  it("notices that its boot files have been replaced", async () => {
    const [vm] = waiting;
    expect(await vm?.isCurrent()).toBe(true);
    utimesSync(join(folder, "LinuxBootFiles/kernel"), 1, 1);
    expect(await vm?.isCurrent()).toBe(false);
  });

  it("ends where the pod's cgroup cannot be joined", async () => {
    await expect(create({ spec: { linux: { cgroupsPath: "/pods/.." } } })).rejects.toThrow("cannot join cgroup");
    expect(await systems()).toEqual([]);
  });

  it("ends where the pod's network cannot be joined", async () => {
    await expect(create({ netnsPath: "/proc/self/ns/uts" })).rejects.toThrow("cannot join network namespace");
    expect(await systems()).toEqual([]);
  });

  it("leaves its pod to boot one of its own if it ends at that moment", async () => {
    const [vm] = waiting;
    const system = await host.openComputeSystem(id);
    await system.terminate();
    await vm?.ended;
    await system.close();
    const sandbox = await create();
    expect(await systems()).toEqual(["ns-s1@vm"]);
    expect(logged).toContain("a VM that was ready cannot become the pod's, which boots one of its own");
    await sandbox.stop(10_000);
  });

  it("is found and ended by the clean-up of its pod", async () => {
    await create();
    await newPlatform().cleanUp({ namespace: "ns", id: "s1", bundle: folder });
    expect(await systems()).toEqual([]);
    await newPlatform().endReadyVm?.(id);
  });
});
