import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DeviceGuard, LinuxCallError, makeCharNode } from "../index.ts";
import { invoke } from "../libc.ts";
import { attachProgram } from "./bpf.ts";

vi.mock("./bpf.ts", { spy: true });
vi.mock("../libc.ts", { spy: true });

const zero = { type: "c", major: 1, minor: 5 } as const;
const anyMemory = { type: "c", major: 1, minor: undefined } as const;

describeWith("root", "control groups of version 2")("a version 2 group with a device guard", () => {
  let directory: string;
  let group: string;

  beforeEach(() => {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const root = mounts.find((line) => line.includes(" - cgroup2 "))?.split(" ")[4] ?? "";
    group = mkdtempSync(join(root, "uvm-test-"));
    directory = mkdtempSync(join(tmpdir(), "device-guard-"));
    makeCharNode(join(directory, "zero"), 1, 5, 0o600);
    makeCharNode(join(directory, "full"), 1, 7, 0o600);
    makeCharNode(join(directory, "tty"), 5, 0, 0o600);
  });
  afterEach(() => {
    rmdirSync(group);
    rmSync(directory, { recursive: true });
  });

  /** Which of the nodes a process of the group can open. */
  function opened(below = group): readonly string[] {
    const script = `echo $$ >"$0/cgroup.procs"; for name in zero full; do (: <"$1/$name") 2>&- && echo "$name"; done; :`;
    return spawnSync("/bin/sh", ["-c", script, below, directory], { encoding: "utf8" }).stdout.trim().split("\n");
  }

  it("allows exactly the given devices, also after a change", () => {
    expect(opened()).toEqual(["zero", "full"]);
    const guard = new DeviceGuard(group, [zero]);
    expect(opened()).toEqual(["zero"]);
    guard.allow([zero, anyMemory]);
    expect(opened()).toEqual(["zero", "full"]);
    guard.allow([]);
    expect(opened()).toEqual([""]);
    guard.close();
    expect(opened()).toEqual([""]);
  });

  it("is loaded again if a signal interrupts the call", () => {
    vi.mocked(invoke).mockImplementationOnce(() => {
      throw new LinuxCallError("bpf", "BPF_PROG_LOAD", constants.errno.EAGAIN);
    });
    new DeviceGuard(group, [zero]).close();
    expect(opened()).toEqual(["zero"]);
  });

  it("applies to child groups, which can make nodes of any device", () => {
    new DeviceGuard(group, [zero]).close();
    const below = join(group, "below");
    mkdirSync(below);
    try {
      expect(opened(below)).toEqual(["zero"]);
      const script = 'echo $$ >"$0/cgroup.procs"; exec mknod "$1/fuse" c 10 229';
      execFileSync("/bin/sh", ["-c", script, below, directory]);
    } finally {
      rmdirSync(below);
    }
  });

  it("fails if the kernel cannot replace a program (before 5.6), and leaves the group as it was", async () => {
    const actual = await vi.importActual<typeof import("./bpf.ts")>("./bpf.ts");
    const attached: (number | undefined)[] = [];
    vi.mocked(attachProgram)
      .mockImplementationOnce((kind, program, place) => {
        attached.push(undefined);
        actual.attachProgram(kind, program, place);
      })
      .mockImplementationOnce((_kind, _program, place, replaced) => {
        attached.push(replaced);
        throw new LinuxCallError("bpf", `BPF_PROG_ATTACH ${place}`, constants.errno.EINVAL);
      });
    expect(() => new DeviceGuard(group, [zero])).toThrow("EINVAL");
    expect(attached).toEqual([undefined, expect.any(Number)]);
    expect(opened()).toEqual(["zero", "full"]);
  });

  it("keeps the allowed devices if a change is refused", () => {
    const guard = new DeviceGuard(group, [zero]);
    expect(() => guard.allow([{ ...zero, minor: 2 ** 32 }])).toThrow(RangeError);
    expect(opened()).toEqual(["zero"]);
    guard.close();
  });
});
