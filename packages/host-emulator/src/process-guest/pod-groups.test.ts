import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { mountedHierarchies, moveProcess, processesOf, removeGroup } from "./hierarchies.ts";
import { PodGroups } from "./pod-groups.ts";

vi.mock("./hierarchies.ts", { spy: true });

const name = `uvm-shim-pods-${process.pid}`;
const bases = mountedHierarchies().map(({ mountPoint }) => join(mountPoint, name));

describeWith("root")("cgroups of pods", () => {
  const reports: string[] = [];
  let directory: string;
  let file: string;
  let server: ChildProcess;
  let pid: number;
  let groups: PodGroups;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "pods-"));
    file = join(directory, "state", "pods.json");
    groups = new PodGroups({ file, report: (text) => void reports.push(text) });
    server = spawn("sleep", ["1000"], { stdio: "ignore" });
    await once(server, "spawn");
    pid = server.pid as number;
  });
  afterEach(async () => {
    groups.leave("one");
    groups.leave("two");
    const exited = once(server, "exit");
    if (server.exitCode === null && server.signalCode === null) {
      server.kill("SIGKILL");
      await exited;
    }
    expect(bases.filter((base) => existsSync(base))).toEqual([]);
    expect(existsSync(file)).toBe(false);
    expect(reports.splice(0)).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  const groupsOfServer = (): string => readFileSync(`/proc/${pid}/cgroup`, "utf8");
  const containsServer = (pod: string): boolean =>
    bases.every((base) => processesOf(join(base, pod, "shim")).includes(pid)) && bases.length > 0;

  it("contain the pod's shim until the system has ended, and are then removed", () => {
    const before = groupsOfServer();
    groups.join("one", `/${name}/pod1/c1`, pid);
    expect(groups.pathOf("one")).toBe(`/${name}/pod1/c1`);
    expect(containsServer("pod1/c1")).toBe(true);
    groups.leave("one");
    expect(groupsOfServer()).toBe(before);
    expect(groups.pathOf("one")).toBeUndefined();
  });

  it("take a child of the shim along", async () => {
    groups.join("one", `/${name}/c1`, pid);
    const logger = spawn("sleep", ["1000"], { stdio: "ignore" });
    await once(logger, "spawn");
    for (const base of bases) writeFileSync(join(base, "c1", "shim", "cgroup.procs"), `${logger.pid}`);
    groups.leave("one");
    expect(readFileSync(`/proc/${logger.pid}/cgroup`, "utf8")).toBe(groupsOfServer());
    logger.kill("SIGKILL");
    await once(logger, "exit");
  });

  it("are removed with the last pod below them, unless others made them", () => {
    groups.join("one", `/${name}/c1`, pid);
    groups.join("two", `/${name}/c2`, pid);
    groups.leave("one");
    expect(bases.every((base) => existsSync(base) && !existsSync(join(base, "c1")))).toBe(true);
    groups.leave("two");
    expect(bases.some((base) => existsSync(base))).toBe(false);
    for (const base of bases) mkdirSync(base);
    try {
      groups.join("one", `/${name}/c1`, pid);
      groups.leave("one");
      expect(bases.every((base) => existsSync(base))).toBe(true);
    } finally {
      for (const base of bases) rmdirSync(base);
    }
  });

  it("are left without touching those of other pods", () => {
    groups.join("one", `/${name}/c1`, pid);
    groups.join("two", `/${name}/c2`, pid);
    vi.mocked(removeGroup).mockClear();
    groups.leave("one");
    const tried = vi.mocked(removeGroup).mock.calls.map(([path]) => path);
    expect(tried.toSorted()).toEqual(bases.flatMap((base) => [join(base, "c1"), join(base, "c1", "shim")]).toSorted());
  });

  it("belong to one system each", () => {
    groups.join("one", `/${name}/c1`, pid);
    const taken = { hresult: hresults.ERROR_ALREADY_EXISTS };
    expect(() => groups.join("two", `${name}/c1`, pid)).toThrow(expect.objectContaining(taken));
    expect(() => groups.join("one", `/${name}/c2`, pid)).toThrow(expect.objectContaining(taken));
    expect(containsServer("c1")).toBe(true);
  });

  it("cannot be inside another pod's, since the end of one VM would end both", () => {
    groups.join("one", `/${name}/c1`, pid);
    const taken = expect.objectContaining({ hresult: hresults.ERROR_ALREADY_EXISTS });
    for (const inside of ["vm", "vm/x", "shim"]) {
      expect(() => groups.join("two", `/${name}/c1/${inside}`, pid)).toThrow(taken);
    }
    groups.join("two", `/${name}/c1/vm2`, pid);
    groups.leave("two");
    groups.leave("one");
    groups.join("one", `/${name}/c1/vm/x`, pid);
    expect(() => groups.join("two", `/${name}/c1`, pid)).toThrow(taken);
  });

  it("are left, with a report, even if that cannot be recorded", () => {
    const before = groupsOfServer();
    groups.join("one", `/${name}/c1`, pid);
    for (const base of bases) mkdirSync(join(base, "c1", "other"));
    mkdirSync(`${file}.new`);
    groups.leave("one");
    expect(reports.splice(0)).toEqual([expect.stringContaining(`cannot write ${file}: EISDIR`)]);
    expect(groupsOfServer()).toBe(before);
    expect(groups.pathOf("one")).toBeUndefined();
    for (const base of bases) rmdirSync(join(base, "c1", "other"));
    rmdirSync(`${file}.new`);
    groups.recover();
    expect(groupsOfServer()).toBe(before);
  });

  it("are removed by a later host if they were in use when their pod ended", () => {
    groups.join("one", `/${name}/c1`, pid);
    for (const base of bases) mkdirSync(join(base, "c1", "other"));
    groups.leave("one");
    for (const base of bases) rmdirSync(join(base, "c1", "other"));
    new PodGroups({ file, report: (text) => void reports.push(text) }).recover();
    expect(bases.some((base) => existsSync(base))).toBe(false);
  });

  it("are not confused with folders of other file systems", () => {
    expect(() => moveProcess(pid, directory)).toThrow("ENOENT");
    expect(existsSync(join(directory, "cgroup.procs"))).toBe(false);
  });

  it("are refused for a process that does not exist, and then leave nothing behind", async () => {
    const exited = once(server, "exit");
    server.kill("SIGKILL");
    await exited;
    expect(() => groups.join("one", `/${name}/c1`, pid)).toThrow(
      expect.objectContaining({ hresult: hresults.E_INVALIDARG, message: `pid: process ${pid} does not exist` }),
    );
    // The process ends between the check and the move.
    const late = new PodGroups({ file, report: (text) => void reports.push(text), groupsOf: () => "0::/\n" });
    expect(() => late.join("one", `/${name}/c1`, pid)).toThrow(
      expect.objectContaining({ hresult: hresults.E_INVALIDARG }),
    );
  });

  it("are left by the next host if their host was killed", () => {
    const before = groupsOfServer();
    groups.join("one", `/${name}/pod1/c1`, pid);
    const next = new PodGroups({ file, report: (text) => void reports.push(text) });
    next.recover();
    expect(groupsOfServer()).toBe(before);
    expect(bases.some((base) => existsSync(base))).toBe(false);
    next.recover();
  });

  it("are reported if their record cannot be read", () => {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "{");
    groups.recover();
    expect(reports.splice(0)).toEqual([
      expect.stringContaining(`cannot read ${file}, cgroups of pods may be left over`),
    ]);
  });
});
