import { windowsGcsHostAddress, windowsHvsocketServices } from "@uvm-shim/hcs-schema";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { linuxVm } from "./lcow.ts";
import { type Boot, document, eventually, settle, vmOn } from "./testing/index.ts";
import { commandLine, windowsVm } from "./wcow.ts";

const { gcs, log } = windowsHvsocketServices;
const bootWindows: Boot = (system) => void system.dial(gcs);

async function windows(script?: ScriptedCalls) {
  const all = vmOn(script, { flavour: windowsVm });
  all.host.boot = bootWindows;
  await all.vm.create({ document });
  return all;
}

describe("a VM with a Linux guest and a policy", () => {
  const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "e30=" };
  const flavour = linuxVm((bytes) => new Uint8Array(bytes), policy);

  it("sends the policy to the guest before it is used", async () => {
    const { host, vm } = vmOn(undefined, { flavour });
    await vm.create({ document });
    await vm.start();
    expect(host.guest.policies).toEqual([policy]);
    expect(host.script.names.slice(0, host.script.names.indexOf("setSecurityPolicy")).at(-1)).toBe("connectGuest");
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });

  it("does not run when the guest refuses the policy", async () => {
    const names = ["createComputeSystem", "listen", "listen", "listen", "start", "connectGuest", "setSecurityPolicy"];
    const script = new ScriptedCalls(new Map([[names.length - 1, "fail"]]));
    const { host, vm } = vmOn(script, { flavour });
    await vm.create({ document });
    await expect(vm.start()).rejects.toThrow("while configuring the guest");
    expect(script.names.slice(0, names.length)).toEqual(names);
    expect(vm.state.kind).toBe("Invalid");
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });
});

describe("a VM with a Windows guest", () => {
  it("listens only for log and bridge, and sends the guest its addresses before it is used", async () => {
    const { host, vm } = await windows();
    await vm.start();
    expect(host.script.calls.slice(1).map(({ name, detail }) => `${name} ${detail}`.trim())).toEqual([
      `listen ${log}`,
      `listen ${gcs}`,
      "start vm-1",
      "connectGuest",
      "updateHvSocketAddress",
      `closeListener ${gcs}`,
    ]);
    expect(host.guest.addresses).toEqual([
      { LocalAddress: host.system.runtimeId, ParentAddress: windowsGcsHostAddress },
    ]);
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });

  it("is Invalid when that fails, and holds nothing after its end", async () => {
    const { host, vm } = await windows(new ScriptedCalls(new Map([[5, "fail"]])));
    await expect(vm.start()).rejects.toThrow("while configuring the guest");
    expect(host.script.names[5]).toBe("updateHvSocketAddress");
    expect(vm.state.kind).toBe("Invalid");
    await vm.terminate();
    expect(host.leftovers()).toEqual([]);
  });

  it("accepts one log connection at a time, and the next when the guest's log service restarts", async () => {
    const { host, clock, lines, vm } = await windows();
    await vm.start();
    const first = host.system.dial(log);
    const second = host.system.dial(log);
    first.write("one\n");
    second.write("two\n");
    await settle();
    expect(lines.map(({ message }) => message)).toEqual(["one"]);
    first.end();
    await settle();
    expect(lines.map(({ message }) => message)).toEqual(["one", "two"]);
    await eventually(clock, vm.terminate());
    expect(host.leftovers()).toEqual([]);
  });

  it("starts without a log connection, and accepts one at any time", async () => {
    const { host, clock, lines, vm } = await windows();
    await vm.start();
    await settle();
    host.system.dial(log).write('{"level":"error","msg":"late"}\n');
    await settle();
    expect(lines).toEqual([{ level: "error", message: "late", fields: {} }]);
    await eventually(clock, vm.terminate());
  });

  it("changes memory without a request to the guest", async () => {
    const { host, vm } = await windows();
    await vm.start();
    const called = host.script.calls.length;
    await vm.update({ resources: { memory: { limit: 2 ** 30 } } });
    expect(host.script.names.slice(called)).toEqual(["modify"]);
    await vm.terminate();
  });

  it.each([
    [{ count: 1 }, { Limit: 50_000 }],
    [{ count: 8 }, { Limit: 100_000 }],
    [{ maximum: 2_500, count: 2 }, { Limit: 25_000 }],
    [{ shares: 300 }, { Weight: 300 }],
  ])("limits its two processors by %j", async (cpu, limits) => {
    const { host, vm } = await windows();
    await vm.start();
    await vm.update({ resources: { cpu } });
    expect(host.system.modifications).toMatchObject([{ Settings: limits }]);
    await vm.terminate();
  });

  it("refuses resources that Windows does not have", async () => {
    const { vm } = await windows();
    await vm.start();
    await expect(vm.update({ resources: { cpu: { maximum: 20_000 } } })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("resources.cpu.maximum: expected an integer from 1 to 10000, got 20000"),
    });
    await vm.terminate();
  });

  it("runs programs by a single command line", async () => {
    const { host, vm } = await windows();
    await vm.start();
    await vm.execute({ args: ["cmd", "/c", "echo hello"], stdin: true, terminal: true });
    expect(host.guest.executed).toEqual([
      {
        CommandLine: 'cmd /c "echo hello"',
        User: "NT AUTHORITY\\SYSTEM",
        WorkingDirectory: "C:\\",
        EmulateConsole: true,
        CreateStdInPipe: true,
        CreateStdOutPipe: false,
        CreateStdErrPipe: false,
      },
    ]);
    await vm.terminate();
  });

  it("kills a program that starts after its caller has left", async () => {
    const { host, vm } = await windows();
    await vm.start();
    const late = Promise.withResolvers<void>();
    const { execute } = host.guest;
    host.guest.execute = async (parameters) => {
      const made = await execute.call(host.guest, parameters);
      await late.promise;
      return made;
    };
    const abort = new AbortController();
    const executing = vm.execute({ args: ["cmd"] }, abort.signal);
    await settle();
    abort.abort();
    await expect(executing).rejects.toMatchObject({ code: "Cancelled" });
    late.resolve();
    await settle();
    expect(await host.guest.processes[0]?.wait()).toBe(137);
    expect(host.guest.processes[0]?.isOpen).toBe(false);
    await vm.terminate();
  });

  it.each([
    ["C:\\Windows", "C:\\Windows"],
    ["", "C:\\"],
    [undefined, "C:\\"],
  ])("runs programs as the system, in the folder %j, which is %j in the guest", async (workingDirectory, expected) => {
    const { host, vm } = await windows();
    await vm.start();
    await vm.execute({ args: ["cmd"], ...(workingDirectory !== undefined && { workingDirectory }) });
    expect(host.guest.executed).toMatchObject([{ User: "NT AUTHORITY\\SYSTEM", WorkingDirectory: expected }]);
    await vm.terminate();
  });

  it.each([
    [["a", "", "b c"], 'a "" "b c"'],
    [['say "hi"'], '"say \\"hi\\""'],
    [["C:\\dir\\", "C:\\my dir\\"], 'C:\\dir\\ "C:\\my dir\\\\"'],
    [['a\\"b'], '"a\\\\\\"b"'],
    [['a\\\\b "c"'], '"a\\\\b \\"c\\""'],
  ])("quotes %j", (args, line) => {
    expect(commandLine(args)).toBe(line);
  });

  it("quotes an argument of a megabyte in linear time", () => {
    const run = "\\".repeat(1_000_000);
    expect(commandLine([`${run} a`])).toBe(`"${run} a"`);
    expect(commandLine([`a ${run}`])).toBe(`"a ${run}${run}"`);
  });
});
