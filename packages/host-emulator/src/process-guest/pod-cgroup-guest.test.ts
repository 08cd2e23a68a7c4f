/** A process guest in the cgroup of its pod. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { resourcePaths } from "@uvm-shim/hcs-schema";
import { powerDescriptor, powerWords, processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeEach, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import type { ComputeSystem } from "../system/compute-system.ts";
import { TestFiles } from "../testing/fake-guest.ts";
import { groupsBelow, mountedHierarchies, processesOf } from "./hierarchies.ts";
import { ProcessGuestKind } from "./process-guest-kind.ts";

const agent = fileURLToPath(new URL("../../../guest-agent/src/main.ts", import.meta.url));
const name = `uvm-shim-in-pod-${process.pid}`;
const pod = `/${name}/c1`;
const hierarchies = mountedHierarchies();
const bases = hierarchies.map(({ mountPoint }) => join(mountPoint, name));
const mebibyte = 2 ** 20;

describeWith(
  "root",
  "crun",
  "mkfs.ext4",
)("a process guest in its pod's cgroup", () => {
  const files = new TestFiles();
  const kernel = files.write("process-kernel", `${processGuestKernel}\n`);
  const stateDirectory = join(files.directory, "state");
  const reports: string[] = [];
  const report = (message: string): void => void reports.push(message);
  const newHost = (): EmulatedHost =>
    new EmulatedHost({
      stateDirectory,
      kinds: [new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 10_000, report })],
      report,
    });
  let host: EmulatedHost;
  let server: ChildProcess;

  beforeEach(async () => {
    mkdirSync(stateDirectory, { recursive: true });
    for (const base of bases) mkdirSync(base);
    host = newHost();
    server = spawn("sleep", ["1000"], { stdio: "ignore" });
    await once(server, "spawn");
  });
  afterEach(async () => {
    await host.close();
    const exited = once(server, "exit");
    server.kill("SIGKILL");
    await exited;
    // Everything below the kubelet's cgroup is removed, but not that cgroup.
    for (const base of bases) rmdirSync(base);
    expect(reports.splice(0)).toEqual([]);
  });
  afterAll(() => files.remove());

  function createOutside(agentFile = agent): ComputeSystem {
    const document = files.document({ kernel });
    const boot = { KernelFilePath: kernel, InitRdPath: agentFile };
    const machine = { ...document.VirtualMachine, Chipset: { LinuxKernelDirect: boot } };
    const system = host.create("vm", { ...document, VirtualMachine: machine });
    system.openHandle({ systemExited: () => {} });
    return system;
  }

  async function create(agentFile = agent): Promise<ComputeSystem> {
    const system = createOutside(agentFile);
    await host.joinControlGroup("vm", pod, server.pid as number);
    return system;
  }

  const all = (base: string): readonly number[] => groupsBelow(base).flatMap((group) => processesOf(group));
  const baseWith = (file: string): string | undefined => bases.find((base) => existsSync(join(base, file)));

  it("is in that cgroup with all its processes, beside the shim", async () => {
    const system = await create();
    await system.start();
    for (const base of bases) {
      expect(readdirSync(join(base, "c1")).filter((entry) => ["shim", "vm"].includes(entry))).toEqual(["shim", "vm"]);
      const inVm = all(join(base, "c1", "vm"));
      // At least the launcher and the guest's init, and nothing elsewhere.
      expect(inVm.length).toBeGreaterThanOrEqual(2);
      expect(all(base).toSorted()).toEqual([...inVm, server.pid].toSorted());
    }
    expect(bases.some((base) => existsSync(join(base, "..", "uvm-shim", "vm")))).toBe(false);
    await system.terminate();
    expect(bases.flatMap((base) => groupsBelow(base))).toEqual(bases);
  });

  it("is moved there with its limits when it runs already, and sees no other groups", async () => {
    const system = createOutside();
    await system.start();
    const before = join("..", "uvm-shim", system.runtimeId.replaceAll("-", "").slice(0, 12));
    const guest = bases.flatMap((base) => all(join(base, before)));
    await system.modify({ RequestType: "Update", ResourcePath: resourcePaths.memorySize, Settings: 512 });
    await host.joinControlGroup("vm", pod);
    for (const base of bases) {
      const moved = all(join(base, "c1", "vm"));
      expect(moved.length).toBeGreaterThanOrEqual(2);
      expect(all(base).toSorted()).toEqual(moved.toSorted());
      expect(guest).toEqual(expect.arrayContaining(moved as number[]));
      expect(existsSync(join(base, before))).toBe(false);
    }
    const memory = baseWith("memory.limit_in_bytes");
    if (memory !== undefined) {
      const limit = readFileSync(join(memory, "c1", "vm", "memory.limit_in_bytes"), "utf8");
      expect(limit.trim()).toBe(`${512 * mebibyte}`);
      // Made by the guest, where it sees its root.
      expect(existsSync(join(memory, "c1", "vm", "guest", "containers"))).toBe(true);
    }
    await system.terminate();
    expect(bases.flatMap((base) => groupsBelow(base))).toEqual(bases);
  });

  it("is removed by the next host if its host was killed after it was moved", async () => {
    const system = createOutside();
    await system.start();
    await host.joinControlGroup("vm", pod);
    const next = newHost();
    await next.removeLeftovers();
    await system.exited;
    expect(bases.flatMap((base) => groupsBelow(base))).toEqual(bases);
    await next.close();
  });

  it("has limits of its own within the pod's", async () => {
    const system = await create();
    await system.start();
    const v1 = baseWith("memory.limit_in_bytes");
    const [group, file] = v1 === undefined ? [baseWith("memory.max"), "memory.max"] : [v1, "memory.limit_in_bytes"];
    if (group === undefined) throw new Error("this machine limits no memory");
    const guest = v1 === undefined ? "vm/guest" : "vm";
    expect(readFileSync(join(group, "c1", guest, file), "utf8").trim()).toBe(`${256 * mebibyte}`);
    const usage = v1 === undefined ? "memory.current" : "memory.usage_in_bytes";
    const used = (of: string): number => Number(readFileSync(join(group, of, usage), "utf8"));
    expect(used("")).toBeGreaterThanOrEqual(used(`c1/${guest}`));
    expect(used(`c1/${guest}`)).toBeGreaterThan(mebibyte);
  });

  it("cannot have more processes than the pod", async () => {
    const group = baseWith("pids.max");
    if (group === undefined) throw new Error("this machine limits no processes");
    writeFileSync(join(group, "pids.max"), "2");
    await expect((await create()).start()).rejects.toMatchObject({
      message: expect.stringMatching(/ended with/),
      events: [expect.stringMatching(/Resource temporarily unavailable|[Cc]annot fork/)],
    });
  });

  it("yields processor time to running guests while it boots", async () => {
    const v1 = baseWith("cpu.shares");
    const [group, file, low, usual] =
      v1 === undefined ? [baseWith("cpu.weight"), "cpu.weight", "50", "100"] : [v1, "cpu.shares", "512", "1024"];
    if (group === undefined) throw new Error("this machine weighs no processors");
    const seen = join(files.directory, "weight-at-boot");
    const look = `require("fs").writeFileSync(${JSON.stringify(seen)}, require("fs").readFileSync(${JSON.stringify(
      join(group, "c1", file),
    )})); require("fs").writeSync(${powerDescriptor}, "${powerWords.up}\\n"); setInterval(() => {}, 1000);`;
    const system = await create(files.write("looks.cjs", look));
    await system.start();
    expect(readFileSync(seen, "utf8").trim()).toBe(low);
    expect(readFileSync(join(group, "c1", file), "utf8").trim()).toBe(usual);
  });

  it("is removed from that cgroup by the next host if its host was killed", async () => {
    const system = await create();
    await system.start();
    const next = newHost();
    await next.removeLeftovers();
    await system.exited;
    expect(bases.flatMap((base) => groupsBelow(base))).toEqual(bases);
    await next.close();
  });
});
