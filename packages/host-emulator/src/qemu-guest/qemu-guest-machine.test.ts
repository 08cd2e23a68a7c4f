import { closeSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import { systemClock } from "@uvm-shim/lifecycle";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { unixSocketPair } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { GuestMachineSpecification } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { reasonOf } from "./end.ts";
import { noShares, type VsockDevice } from "./parts.ts";
import { QemuGuestMachine, type QemuMachineParts, type QemuStart } from "./qemu-guest-machine.ts";
import type { RunningQemu } from "./start/confined.ts";
import type { ProgramEnd } from "./start/own-root.ts";
import { Tail } from "./start/tail.ts";
import { FakeQemu } from "./testing/fake-qemu.ts";

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describeWith("Linux")("a virtual machine", () => {
  let folder: string;
  let qemu: FakeQemu;
  let calls: string[];
  let reports: string[];
  let started: QemuStart | undefined;
  let vsockFailed: PromiseWithResolvers<Error>;
  let exit: PromiseWithResolvers<ProgramEnd>;
  let failing: string | undefined;
  let descriptors: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "qemu-machine-"));
    descriptors = openDescriptors();
    [calls, reports, failing, started] = [[], [], undefined, undefined];
    vsockFailed = Promise.withResolvers();
    exit = Promise.withResolvers();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const note = (call: string): void => {
    calls.push(call);
    if (failing === call.split(" ")[0]) throw new HcsFailure("E_FAIL", `${failing} failed`);
  };

  /** What runs in place of QEMU. */
  function running(): RunningQemu {
    qemu = new FakeQemu();
    qemu.died = () => exit.resolve({ code: null, signal: "SIGKILL" });
    const console = new Tail(100);
    const diagnostics = new Tail(100);
    const { client: monitor } = qemu;
    return { monitor, console, diagnostics, ended: exit.promise, kill: () => qemu.die() };
  }

  function vsock(): VsockDevice {
    const [descriptor, other] = unixSocketPair();
    closeSync(other);
    return {
      descriptor,
      release: () => closeSync(descriptor),
      failed: vsockFailed.promise,
      close: async () => note("close-vsock"),
    };
  }

  const usage = { processorNs: 1, processorUserNs: 1, processorKernelNs: 0, memoryBytes: 7, memoryLimitBytes: 9 };

  function machine(more: Partial<GuestMachineSpecification> = {}, parts: Partial<QemuMachineParts> = {}) {
    const specification: GuestMachineSpecification = {
      name: "vm",
      directory: folder,
      boot: { kind: "Linux", kernel: { KernelFilePath: "/kernel", KernelCmdLine: "quiet" } },
      memoryMb: 256,
      processors: 2,
      limits: {},
      cpus: undefined,
      podGroup: undefined,
      serialSocket: undefined,
      ...more,
    };
    return new QemuGuestMachine(specification, {
      boot: { kind: "Linux", kernel: { KernelFilePath: "/kernel", KernelCmdLine: "quiet" } },
      clock: systemClock,
      cgroups: {
        entrances: ["/group/cgroup.procs"],
        create: ({ memoryMb }) => note(`create ${memoryMb}`),
        allowDevice: (type, major, minor) => note(`allow ${type} ${major}:${minor}`),
        endBoot: () => note("endBoot"),
        enterPod: (path) => note(`enter ${path}`),
        removeLeft: async () => note("removeLeft"),
        limitMemory: (memoryMb) => note(`memory ${memoryMb}`),
        limitProcessors: (processors, share) => note(`processors ${processors} ${JSON.stringify(share)}`),
        useProcessors: (cpus) => note(`cpus ${cpus}`),
        usage: () => usage,
        remove: async () => note("remove"),
      },
      mostMemoryMb: 1024,
      accelerator: async () => {
        note("accelerator");
        return "tcg";
      },
      start: async (start) => {
        note("start");
        started = start;
        return running();
      },
      openVsock: async () => {
        note("vsock");
        return vsock();
      },
      shares: { ...noShares, close: async () => note("close-shares") },
      timeouts: { bootMs: 5_000, answerMs: 5_000, unplugMs: 100, resizeMs: 100, cgroupMs: 100, closingMs: 1_000 },
      report: (message) => reports.push(message),
      ...parts,
    });
  }

  async function booted(parts: Partial<QemuMachineParts> = {}): Promise<QemuGuestMachine> {
    const made = machine({}, parts);
    await made.boot();
    return made;
  }

  const released = ["close-vsock", "close-shares", "remove"];

  it("runs its guest once it hears events, and leaves nothing when it is killed", async () => {
    const made = await booted();
    expect(qemu.commands).toEqual(["qmp_capabilities", "cont"]);
    expect(calls).toEqual(["accelerator", "create 512", "vsock", "start", "endBoot"]);
    expect(started).toMatchObject({ accelerator: "tcg", entrances: ["/group/cgroup.procs"] });
    made.kill();
    made.kill();
    expect(await made.ended).toMatchObject({ orderly: false });
    expect(calls.slice(5)).toEqual(released);
    expect([openDescriptors(), reports]).toEqual([descriptors, []]);
    expect(() => made.usage()).toThrow("the guest has ended");
    await expect(made.freeze(true)).rejects.toMatchObject({ hresult: hresults.HCS_E_INVALID_STATE });
  });

  it("has a serial port at a socket as long as it runs", async () => {
    const serialSocket = join(folder, "pipes", "console");
    const made = machine({ serialSocket });
    await made.boot();
    expect(started?.serial).toEqual(expect.any(Number));
    expect(existsSync(serialSocket)).toBe(true);
    made.kill();
    await made.ended;
    expect([existsSync(serialSocket), openDescriptors()]).toEqual([false, descriptors]);
  });

  it("lets KVM be opened where it has it", async () => {
    const made = await booted({ accelerator: async () => "kvm" });
    expect(calls).toEqual(["create 384", "allow c 10:232", "vsock", "start", "endBoot"]);
    made.kill();
    await made.ended;
  });

  it.each(["accelerator", "create", "vsock", "start", "endBoot"])("leaves nothing when %s fails", async (call) => {
    failing = call;
    const made = machine();
    await expect(made.boot()).rejects.toThrow(`${call} failed`);
    await made.ended;
    const hasGroups = call !== "accelerator";
    const hasVsock = ["start", "endBoot"].includes(call);
    expect(calls.filter((done) => released.includes(done))).toEqual([
      ...(hasVsock ? ["close-vsock"] : []),
      ...(hasGroups ? [...(call === "create" ? [] : ["close-shares"]), "remove"] : []),
    ]);
    expect(openDescriptors()).toBe(descriptors);
  });

  it.each([
    ["refuses", { class: "GenericError", desc: "no" }, "QEMU refused"],
    ["dies at", "dies", "QEMU was killed by SIGKILL"],
  ] as const)("leaves nothing when QEMU %s any command of the boot", async (_, how, why) => {
    for (let at = 0; at < 2; at++) {
      exit = Promise.withResolvers();
      calls = [];
      const made = machine(
        {},
        {
          start: async () => {
            const started = running();
            qemu.faults.set(at, how);
            return started;
          },
        },
      );
      await expect(made.boot()).rejects.toThrow(why);
      await made.ended;
      expect(calls.slice(-3)).toEqual(released);
      expect(openDescriptors()).toBe(descriptors);
    }
  });

  it("is ended when it is killed at any moment of its boot", async () => {
    for (let turns = 0; turns < 12; turns++) {
      exit = Promise.withResolvers();
      const made = machine();
      const boot = made.boot().then(
        () => "booted",
        () => "failed",
      );
      for (let done = 0; done < turns; done++) await turn();
      made.kill();
      await boot;
      await made.ended;
      expect(calls.at(-1)).toMatch(/^(remove|accelerator)$/);
      expect(openDescriptors()).toBe(descriptors);
    }
  });

  it("leaves nothing of a QEMU that has ended before it could be asked", async () => {
    const start = async (): Promise<RunningQemu> => {
      const started = running();
      qemu.die();
      return started;
    };
    const made = machine({}, { start });
    await expect(made.boot()).rejects.toThrow("QEMU was killed by SIGKILL");
    await made.ended;
    expect(openDescriptors()).toBe(descriptors);
  });

  it.each([
    ["the guest's power-off", [["SHUTDOWN", { guest: true, reason: "guest-shutdown" }]], true, "the guest shut down"],
    [
      "a panic",
      [
        ["GUEST_PANICKED", { action: "poweroff" }],
        ["SHUTDOWN", { guest: true, reason: "guest-panic" }],
      ],
      false,
      "the guest's kernel panicked",
    ],
    ["a restart", [["SHUTDOWN", { guest: true, reason: "guest-reset" }]], false, "the guest restarted"],
  ] as const)("tells %s from the end of QEMU", async (_, events, orderly, reason) => {
    const made = await booted();
    for (const [name, data] of events) qemu.event(name, data);
    await turn();
    await turn();
    exit.resolve({ code: 0, signal: null });
    expect(await made.ended).toMatchObject({ orderly, reason: expect.stringContaining(reason) });
    expect(openDescriptors()).toBe(descriptors + 1);
    qemu.die();
  });

  it("names what became of QEMU itself", () => {
    const failed = { end: { code: 1, signal: null }, diagnostics: "first\nqemu: cannot open\x07it\n" };
    expect(reasonOf(failed)).toEqual({ orderly: false, reason: "QEMU ended with exit code 1: qemu: cannot open it" });
    expect(reasonOf({ ...failed, trouble: "its vsock device failed: x" })).toEqual({
      orderly: false,
      reason: "the virtual machine was ended: its vsock device failed: x",
    });
    // QEMU is ended by this host too, after it was asked to; the guest's own end still counts.
    expect(reasonOf({ end: { code: null, signal: "SIGKILL" }, shutdown: "guest-shutdown" }).orderly).toBe(true);
  });

  it("is ended when its vsock device fails", async () => {
    const made = await booted();
    vsockFailed.resolve(new Error("out of memory"));
    expect(await made.ended).toMatchObject({
      reason: "the virtual machine was ended: its vsock device failed: out of memory",
    });
  });

  it("names how QEMU ended where its monitor closed before", async () => {
    const made = await booted();
    qemu.died = () => void setTimeout(() => exit.resolve({ code: 1, signal: null }), 5);
    qemu.die();
    expect(await made.ended).toMatchObject({ orderly: false, reason: "QEMU ended with exit code 1" });
  });

  it("ends a QEMU that has closed its monitor and goes on", async () => {
    const timeouts = { bootMs: 5_000, answerMs: 5_000, unplugMs: 100, resizeMs: 100, cgroupMs: 100, closingMs: 20 };
    let kills = 0;
    const start = async (): Promise<RunningQemu> => {
      const kill = (): void => {
        kills++;
        exit.resolve({ code: null, signal: "SIGKILL" });
      };
      return { ...running(), kill };
    };
    const made = await booted({ start, timeouts });
    qemu.died = () => {};
    qemu.die();
    expect(await made.ended).toMatchObject({
      reason: "the virtual machine was ended: QEMU has closed its monitor, and goes on",
    });
    expect(kills).toBe(1);
  });

  it("is ended when QEMU does not answer, as nobody knows then what it has", async () => {
    const clock = new ManualClock();
    const made = await booted({ clock });
    qemu.faults.set(2, "is silent");
    const freezing = expect(made.freeze(true)).rejects.toMatchObject({ hresult: hresults.HCS_E_OPERATION_TIMEOUT });
    await vi.waitFor(() => expect(qemu.commands.at(-1)).toBe("stop"));
    clock.jump(5_000);
    await freezing;
    expect(await made.ended).toMatchObject({
      reason: "the virtual machine was ended: QEMU did not answer stop within 5000 ms",
    });
    expect(openDescriptors()).toBe(descriptors);
  });

  it("freezes, thaws and asks for a shutdown", async () => {
    const made = await booted();
    await made.freeze(true);
    expect(qemu.isRunning).toBe(false);
    await made.freeze(false);
    expect(qemu.isRunning).toBe(true);
    made.shutdown();
    await turn();
    await turn();
    expect(qemu.commands.at(-1)).toBe("system_powerdown");
    made.kill();
    await made.ended;
    made.shutdown();
  });

  it("limits QEMU as a whole, with room for what is not the guest's memory", async () => {
    const made = await booted();
    calls = [];
    await made.resizeMemory(512);
    await made.resizeMemory(128);
    await made.limitProcessors({ weight: 200 });
    await made.useProcessors("0-1");
    await made.enterPodGroup("/pod");
    const limits = ["memory 768", "memory 768", "memory 384"];
    expect(calls).toEqual([...limits, 'processors 2 {"weight":200}', "cpus 0-1", "enter /pod", "removeLeft"]);
    expect(made.usage()).toEqual({ ...usage, memoryLimitBytes: 128 * 2 ** 20 });
    qemu.isHelpful = false;
    await expect(made.resizeMemory(1024)).rejects.toMatchObject({ hresult: hresults.E_OUTOFMEMORY });
    expect(calls.slice(-2)).toEqual(["memory 1280", "memory 384"]);
    made.kill();
    await made.ended;
  });

  it("has disks, which end with it", async () => {
    const path = join(folder, "disk");
    writeFileSync(path, "content");
    const made = await booted();
    await made.attachDisk({ controller: 0, lun: 0 }, { path, readOnly: true, identity: "1" });
    expect(qemu.held).toHaveLength(3);
    made.kill();
    await made.ended;
    expect(openDescriptors()).toBe(descriptors);
  });

  it("refuses what a virtual machine does not have", async () => {
    const made = await booted();
    const share = { Name: "s", AccessName: "s", Path: folder, Port: 1, Flags: 0 };
    for (const attempt of [made.assignDevice(), made.unassignDevice(), made.offerNetwork(), made.addShare(share)]) {
      await expect(attempt).rejects.toMatchObject({ hresult: hresults.ERROR_NOT_SUPPORTED });
    }
    made.kill();
    await made.ended;
  });
});
