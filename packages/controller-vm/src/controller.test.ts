import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { bootLinux, document, eventually, type FakeSystem, settle, vmOn } from "./testing/index.ts";

async function running(...options: Parameters<typeof vmOn>) {
  const all = vmOn(...options);
  await all.vm.create({ document });
  await all.vm.start();
  return all;
}

describe("creating", () => {
  it("creates a compute system without starting it", async () => {
    const { host, vm } = vmOn();
    expect(vm.state).toEqual({ kind: "NotCreated" });
    await vm.create({ document });
    expect(vm.state).toEqual({ kind: "Created" });
    expect(vm.runtimeId).toBe(host.system.runtimeId);
    expect(host.system.document).toEqual(document);
    expect(host.script.names).toEqual(["createComputeSystem"]);
    expect(vm.startedAt).toBeUndefined();
  });

  it("is possible once", async () => {
    const { vm } = vmOn();
    await vm.create({ document });
    await expect(vm.create({ document })).rejects.toMatchObject({ code: "FailedPrecondition" });
    expect(vm.state.kind).toBe("Created");
  });

  it("refuses a document whose SCSI controllers cannot be addressed, before asking the host", async () => {
    const { host, vm } = vmOn();
    const VirtualMachine = { ...document.VirtualMachine, Devices: { Scsi: { mine: {} } } };
    await expect(vm.create({ document: { ...document, VirtualMachine } })).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    expect(host.script.calls).toEqual([]);
  });

  it("leaves nothing behind when the device controllers refuse", async () => {
    const { host, vm } = vmOn(undefined, {
      devices: {
        scsi: () => {
          throw scriptedError("InvalidArgument", "no such disks");
        },
      },
    });
    await expect(vm.create({ document })).rejects.toMatchObject({ code: "InvalidArgument" });
    expect(host.leftovers()).toEqual([]);
    expect(vm.state.kind).toBe("NotCreated");
  });
});

describe("starting", () => {
  it("listens before the compute system starts, seeds the guest, and negotiates", async () => {
    const { host, clock, vm } = await running();
    expect(host.script.calls.slice(1).map(({ name, detail }) => `${name} ${detail}`.trim())).toEqual([
      `listen ${linuxVsockPorts.entropy}`,
      `listen ${linuxVsockPorts.log}`,
      `listen ${linuxVsockPorts.gcs}`,
      "start vm-1",
      "connectGuest",
      `closeListener ${linuxVsockPorts.entropy}`,
      `closeListener ${linuxVsockPorts.gcs}`,
    ]);
    expect(vm.state).toEqual({ kind: "Running", guest: host.guest, startedAt: clock.now() });
    expect(vm.guest).toBe(host.guest);
    expect(vm.startedAt).toEqual(clock.now());
    expect(clock.sleepers).toBe(0);
    await settle();
    expect(Buffer.concat(host.system.entropy)).toEqual(Buffer.alloc(512, 7));
    await vm.terminate();
  });

  it("leaves a running VM alone", async () => {
    const { host, vm } = await running();
    const calls = host.script.calls.length;
    await Promise.all([vm.start(), vm.start()]);
    expect(host.script.calls).toHaveLength(calls);
    await vm.terminate();
  });

  it("is not possible before create and after terminate", async () => {
    const { vm } = vmOn();
    await expect(vm.start()).rejects.toThrow("not possible in state NotCreated, only in Created");
    await vm.terminate();
    await expect(vm.start()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("reports the phase, its duration and the guest's last log lines when the guest never connects", async () => {
    const { host, clock, vm } = vmOn(undefined, { startTimeoutMs: 5_000 });
    host.boot = (system) => {
      const log = system.dial(linuxVsockPorts.log);
      system.log = log;
      log.write('{"level":"error","msg":"no init found"}\nKernel panic\n');
    };
    await vm.create({ document });
    const start = vm.start();
    await settle();
    clock.jump(5_000);
    await expect(start).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await expect(start).rejects.toThrow(
      "start VM vm-1: while waiting for the guest to dial in, after 5000 ms: not done within 5000 ms; " +
        "the guest's last log lines: error: no init found | warn: Kernel panic",
    );
    expect(vm.state).toMatchObject({ kind: "Invalid", cause: { code: "DeadlineExceeded" } });
    await expect(vm.start()).rejects.toMatchObject({ code: "FailedPrecondition" });
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });

  it("fails when the VM exits meanwhile, after which only terminate is possible", async () => {
    const { host, vm } = vmOn();
    host.boot = (system) => system.exit(0x80370106, "UnexpectedExit");
    await vm.create({ document });
    await expect(vm.start()).rejects.toThrow("the VM exited: UnexpectedExit; the guest logged nothing");
    expect(vm.state.kind).toBe("Invalid");
    expect(await vm.wait()).toMatchObject({ status: 0x80370106, reason: "UnexpectedExit" });
    await vm.terminate();
    expect(vm.state).toEqual({ kind: "Terminated", exit: vm.exit });
    expect(vm.exit).toMatchObject({ status: 0x80370106 });
    expect(host.leftovers()).toEqual([]);
  });

  it("gives a guest that connects again for entropy another seed, and survives one that breaks the connection", async () => {
    const { host, vm } = vmOn();
    host.boot = (system) => {
      system.dial(linuxVsockPorts.entropy).destroy();
      bootLinux(system);
    };
    await vm.create({ document });
    await vm.start();
    await settle();
    expect(Buffer.concat(host.system.entropy)).toHaveLength(512);
    await vm.terminate();
  });
});

describe("the guest's log", () => {
  const write = async (system: FakeSystem, text: string): Promise<void> => {
    system.log?.write(text);
    await settle();
  };

  it("is passed on, even after the guest reconnects", async () => {
    const { host, lines, vm } = await running();
    await write(host.system, '{"level":"info","msg":"one","n":1}\n');
    host.system.log?.destroy();
    host.system.log = host.system.dial(linuxVsockPorts.log);
    await write(host.system, '{"level":"debug","msg":"two"}\n\n');
    expect(lines).toEqual([
      { level: "info", message: "one", fields: { "guest.n": 1 } },
      { level: "debug", message: "two", fields: {} },
    ]);
    await vm.terminate();
  });

  it("arrives completely when the VM exits", async () => {
    const { host, lines, vm } = await running();
    host.system.log?.write("last words");
    host.system.exit(1, "UnexpectedExit");
    await vm.terminate();
    await settle();
    expect(lines).toEqual([{ level: "warn", message: "last words", fields: {} }]);
  });

  it("does not hold up the end for longer than its bound", async () => {
    const { host, clock, vm } = await running();
    const stuck = host.system.dial(linuxVsockPorts.log);
    // The connection is kept open although the VM is gone.
    stuck.end = () => stuck;
    await settle();
    const terminated = vm.terminate();
    await settle();
    expect(vm.state.kind).toBe("Running");
    expect(host.leftovers()).toContain("listener 109");
    clock.jump(500);
    await terminated;
    expect(host.leftovers()).toEqual([]);
  });

  it("accepts only a few connections at once", async () => {
    const { host, clock, lines, vm } = await running();
    const dialled = Array.from({ length: 9 }, () => host.system.dial(linuxVsockPorts.log));
    await settle();
    for (const [number, stream] of dialled.entries()) stream.on("error", () => {}).write(`${number}\n`);
    await settle();
    expect(lines.map(({ message }) => message)).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
    await eventually(clock, vm.terminate());
    expect(host.leftovers()).toEqual([]);
  });

  it("survives connections that break", async () => {
    const { host, lines, vm } = await running();
    for (const connection of host.system.connections) connection.destroy(new Error("connection reset"));
    await settle();
    host.system.log = host.system.dial(linuxVsockPorts.log);
    await write(host.system, "back\n");
    expect(lines.map(({ message }) => message)).toEqual(["back"]);
    await vm.terminate();
    await settle();
    expect(host.leftovers()).toEqual([]);
  });

  it("continues when the host's log fails to write a line", async () => {
    const seen: string[] = [];
    const { host, vm } = await running(undefined, {
      onGuestLog: ({ message }) => {
        seen.push(message);
        throw new Error("disk full");
      },
    });
    await write(host.system, "one\ntwo\n");
    expect(seen).toEqual(["one", "two"]);
    await vm.terminate();
  });
});

describe("ending by itself", () => {
  it("ends Terminated, notifies every waiter once and releases everything", async () => {
    const { host, vm } = await running();
    const waiters = [vm.wait(), vm.wait()];
    host.system.exit(0, "GracefulExit");
    const exits = await Promise.all(waiters);
    expect(exits).toEqual([vm.exit, vm.exit]);
    expect(vm.exit).toMatchObject({ status: 0, reason: "GracefulExit", system: { Status: 0 } });
    await settle();
    expect(vm.state).toEqual({ kind: "Terminated", exit: vm.exit });
    expect(host.leftovers()).toEqual([]);
    expect(host.script.names).not.toContain("terminate");
    expect(await vm.wait()).toBe(exits[0]);
    await vm.terminate();
  });

  it("ends Terminated when another start is called at that moment", async () => {
    const { host, clock, vm } = await running();
    const again = vm.start();
    host.system.loseService();
    await Promise.allSettled([again]);
    await settle();
    clock.jump(500);
    await settle();
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
  });

  it("ends Terminated when the host service is lost", async () => {
    const { host, clock, vm } = await running();
    host.system.loseService();
    expect(await vm.wait()).toMatchObject({ status: 1, reason: "lost: wait for exit of vm-1: lost the host" });
    await settle();
    // The guest may still run, and with it the connection of its log.
    clock.jump(500);
    await settle();
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
  });

  it("also ends Terminated before it was started", async () => {
    const { host, vm } = vmOn();
    await vm.create({ document });
    host.system.loseService();
    expect((await vm.wait()).status).toBe(1);
    await settle();
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
  });

  it("keeps what cannot be released at once for terminate", async () => {
    const script = new ScriptedCalls(new Map([[8, "fail"]]));
    const { host, vm } = await running(script);
    host.system.exit(0, "GracefulExit");
    await vm.wait();
    await settle();
    expect(script.names[8]).toBe("closeBridge");
    expect(vm.state.kind).toBe("Terminated");
    await vm.terminate();
    expect(script.names.filter((name) => name === "closeBridge")).toHaveLength(2);
    expect(host.leftovers()).toEqual([]);
  });

  it("waits no longer than its caller", async () => {
    const { vm } = await running();
    const abort = new AbortController();
    const waiting = vm.wait(abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    await vm.terminate();
  });
});

describe("losing the bridge", () => {
  it("ends the VM, whose exit then is a failure with the reason", async () => {
    const { host, clock, vm } = await running();
    host.guest.lose(new Error("connection reset"));
    await settle();
    expect(vm.state.kind).toBe("Running");
    clock.jump(1_000);
    expect(await vm.wait()).toMatchObject({
      status: 1,
      reason: "the connection to the guest was lost: connection reset; ForcedExit",
    });
    await settle();
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
  });

  it("is reported at once, before the VM's exit", async () => {
    const { host, vm } = await running();
    expect(vm.isLost).toBe(false);
    host.guest.lose(undefined);
    await settle();
    expect([vm.isLost, vm.exit]).toEqual([true, undefined]);
    host.system.exit(0, "GracefulExit");
    await vm.wait();
    expect(vm.isLost).toBe(true);
  });

  it("leaves the VM a moment to report its own exit", async () => {
    const { host, vm } = await running();
    host.guest.lose(undefined);
    await settle();
    host.system.exit(0, "GracefulExit");
    expect(await vm.wait()).toMatchObject({ status: 0, reason: "GracefulExit" });
    await settle();
    expect(host.leftovers()).toEqual([]);
  });
});

describe("terminating", () => {
  it("closes the bridge before the handle, and can be repeated", async () => {
    const { host, vm } = await running();
    const before = host.script.calls.length;
    await Promise.all([vm.terminate(), vm.terminate()]);
    await vm.terminate();
    expect(host.script.names.slice(before)).toEqual(["terminate", "closeBridge", "closeListener", "closeSystem"]);
    expect(vm.state).toEqual({ kind: "Terminated", exit: vm.exit });
    expect(vm.exit).toMatchObject({ status: 0, reason: "ForcedExit" });
    expect(host.leftovers()).toEqual([]);
    expect(vm.startedAt).toBeDefined();
  });

  it.each([
    ["NotCreated", "never created"],
    ["Created", "ForcedExit"],
  ] as const)("is possible in state %s", async (kind, reason) => {
    const { host, vm } = vmOn();
    if (kind === "Created") await vm.create({ document });
    const waiting = vm.wait();
    await vm.terminate();
    expect(vm.state.kind).toBe("Terminated");
    expect(await waiting).toMatchObject({ status: 0, reason });
    expect(host.leftovers()).toEqual([]);
  });

  it("interrupts a start that hangs, even if the host ignores the signal", async () => {
    const { host, vm } = vmOn();
    await vm.create({ document });
    host.system.start = () => new Promise(() => {});
    const start = vm.start();
    await settle();
    await vm.terminate();
    await expect(start).rejects.toMatchObject({ code: "Cancelled" });
    expect(vm.state).toMatchObject({ kind: "Terminated", exit: { reason: "ForcedExit" } });
    expect(host.leftovers()).toEqual([]);
  });

  it("interrupts a create, whose compute system is closed when it arrives late", async () => {
    const late = Promise.withResolvers<FakeSystem>();
    const { host, vm } = vmOn();
    const { vm: slow } = vmOn(undefined, { host: { createComputeSystem: () => late.promise } });
    const create = slow.create({ document });
    await settle();
    await slow.terminate();
    await expect(create).rejects.toMatchObject({ code: "Cancelled" });
    await vm.create({ document });
    late.resolve(host.system);
    await settle();
    expect(host.leftovers()).toEqual([]);
  });

  it("ends the VM by closing the handle if the host does not end it", async () => {
    const { host, clock, vm } = await running();
    host.system.terminate = async () => {};
    const terminated = vm.terminate();
    await settle();
    clock.jump(10_000);
    await settle();
    clock.jump(500);
    await terminated;
    expect(vm.exit).toMatchObject({ status: 1 });
    expect(vm.exit?.reason).toContain("ended with its last handle; the host could not end it");
    expect(host.leftovers()).toEqual([]);
  });

  it("keeps the handle if closing it would not end the VM, and ends it at the next attempt", async () => {
    const { host, vm } = vmOn(new ScriptedCalls(new Map([[8, "fail"]])));
    await vm.create({ document: { ...document, ShouldTerminateOnLastHandleClosed: false } });
    await vm.start();
    await expect(vm.terminate()).rejects.toMatchObject({ code: "Unavailable" });
    expect(vm.state).toMatchObject({ kind: "Invalid", cause: { code: "Unavailable" } });
    expect(host.leftovers()).toContain("handle of vm-1");
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });

  it("releases its caller, and continues", async () => {
    const { host, vm } = await running();
    await expect(vm.terminate(AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    await vm.wait();
    await settle();
    expect(vm.state.kind).toBe("Terminated");
    expect(host.leftovers()).toEqual([]);
  });
});

describe("devices", () => {
  it("are created from the document, and reach host and guest", async () => {
    const { host, vm } = await running();
    expect(vm.scsi).toBe(vm.scsi);
    expect(vm.scsi).toMatchObject({ id: "vm-1", controllers: 2, reserved: [{ controller: 0, lun: 0 }] });
    expect(vm.plan9).toBe(vm.plan9);
    expect(vm.vpci).toBe(vm.vpci);
    expect(vm.vsmb).toBe(vm.vsmb);
    expect(vm.vsmb).toMatchObject({ id: "vm-1", names: ["os"] });
    expect(vm.scsi.guest()).toBe(host.guest);
    await vm.scsi.host.attachDisk(0, 1, { Type: "VirtualDisk", Path: "layer.vhd" });
    expect(host.system.modifications).toHaveLength(1);
    await vm.terminate();
  });

  it("do not exist before create", () => {
    const { vm } = vmOn();
    for (const use of [
      () => vm.scsi,
      () => vm.plan9,
      () => vm.vpci,
      () => vm.vsmb,
      () => vm.runtimeId,
      () => vm.guest,
    ]) {
      expect(use).toThrow(expect.objectContaining({ code: "FailedPrecondition", gone: false }));
    }
  });

  it("do not exist if the document or the guest has none", async () => {
    const { Devices: _, ...bare } = document.VirtualMachine;
    const { vm } = vmOn();
    await vm.create({ document: { ...document, VirtualMachine: bare } });
    expect(() => vm.scsi).toThrow("the VM's document has no SCSI controller");
    expect(() => vm.plan9).toThrow("the VM's document has no Plan9 device");
    expect(() => vm.vsmb).toThrow("the VM's document has no VirtualSmb device");
    const { vm: windows } = vmOn(undefined, { devices: { scsi: (wiring) => wiring } });
    await windows.create({ document });
    for (const use of [() => windows.plan9, () => windows.vpci, () => windows.vsmb]) {
      expect(use).toThrow(expect.objectContaining({ code: "Unimplemented" }));
    }
    const { vm: withoutPci } = vmOn();
    const boot = { LinuxKernelDirect: { KernelFilePath: "kernel", KernelCmdLine: "quiet pci=off panic=-1" } };
    await withoutPci.create({
      document: { ...document, VirtualMachine: { ...document.VirtualMachine, Chipset: boot } },
    });
    expect(() => withoutPci.vpci).toThrow("assign devices to vm-1: the kernel command line has pci=off");
    await Promise.all([vm.terminate(), windows.terminate(), withoutPci.terminate()]);
  });

  it("that the host does not release while the VM ends are gone once it has ended", async () => {
    const { host, vm } = await running();
    const devices = vm.scsi.host;
    host.system.modify = () => Promise.reject(scriptedError("FailedPrecondition", "a system in state Ending"));
    const detaching = devices.detachDisk(0, 1);
    const ended = vm.terminate();
    await expect(detaching).rejects.toMatchObject({ code: "FailedPrecondition", gone: true });
    await ended;
  });

  it("can be used while the VM runs, and are gone once it has ended", async () => {
    const { vm } = vmOn();
    await vm.create({ document });
    const { host, guest } = vm.scsi;
    await expect(host.detachDisk(0, 1)).rejects.toMatchObject({ code: "FailedPrecondition", gone: false });
    expect(guest).toThrow(expect.objectContaining({ gone: false }));
    await vm.start();
    await vm.terminate();
    await expect(host.detachDisk(0, 1)).rejects.toMatchObject({ code: "FailedPrecondition", gone: true });
    expect(guest).toThrow(expect.objectContaining({ gone: true }));
  });
});
