import { GuestFault, type GuestHandlers, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { settled } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it } from "vitest";
import type { WindowsContainer } from "./container.ts";
import type { WindowsGuest } from "./guest.ts";
import { FakeWindowsGuest, windowsCapabilities, withoutPipes } from "./testing/fake-guest.ts";

const service = (port: number): string => `${(0x40000000 + port).toString(16)}-facb-11e6-bd58-64006a7986d3`;

interface Scene {
  readonly fake: FakeWindowsGuest;
  readonly guest: WindowsGuest;
  readonly container: WindowsContainer;
}

async function scene(handlers: GuestHandlers = {}, hasEvents = true): Promise<Scene> {
  const GuestDefinedCapabilities = {
    ...windowsCapabilities.GuestDefinedCapabilities,
    SignalProcessSupported: hasEvents,
  };
  const fake = new FakeWindowsGuest(handlers, { GuestDefinedCapabilities });
  const guest = await fake.connect();
  return { fake, guest, container: await guest.createContainer("c", {}) };
}

describe("executing in a Windows guest", () => {
  it("sends what is neither false nor empty, and drops variables without a value", async () => {
    const { fake, guest, container } = await scene();
    await container.execute({
      ...withoutPipes,
      CommandLine: "cmd.exe /c dir",
      User: "ContainerUser",
      WorkingDirectory: "C:\\",
      Environment: { A: "1", EMPTY: "" },
      EmulateConsole: true,
      ConsoleSize: [40, 120],
    });
    await container.execute({ ...withoutPipes, User: "", WorkingDirectory: "", Environment: { EMPTY: "" } });
    expect(fake.bodies("executeProcess").map(({ Settings }) => JSON.parse(Settings.ProcessParameters))).toEqual([
      {
        CommandLine: "cmd.exe /c dir",
        User: "ContainerUser",
        WorkingDirectory: "C:\\",
        Environment: { A: "1" },
        EmulateConsole: true,
        ConsoleSize: [40, 120],
      },
      { CommandLine: "cmd.exe" },
    ]);
    await guest.close();
  });

  it("listens for its streams, and names them by their services", async () => {
    const { fake, guest, container } = await scene({
      executeProcess: async ({ Settings }) => {
        const { StdIn, StdOut, StdErr } = Settings.StdioRelaySettings ?? {};
        fakeGuest().dialService(StdIn);
        fakeGuest().dialService(StdOut).end("out");
        fakeGuest().dialService(StdErr);
        return { ProcessId: 7 };
      },
      waitForProcess: async () => ({ ExitCode: 0xc000013a }),
    });
    const fakeGuest = (): FakeWindowsGuest => fake;
    const pipes = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };
    const process = await container.execute({ ...withoutPipes, ...pipes });
    expect(fake.bodies("executeProcess")[0]?.Settings).toMatchObject({
      StdioRelaySettings: { StdIn: service(1), StdOut: service(2), StdErr: service(3) },
      VsockStdioRelaySettings: {},
    });
    expect(process.pid).toBe(7);
    expect((await process.stdout?.toArray())?.join("")).toBe("out");
    expect(await process.wait()).toBe(0xc000013a);
    await process.close();
    expect(fake.ports.size).toBe(0);
    await guest.close();
  });

  it("terminates a process whose streams the guest does not dial, and listens no more", async () => {
    const { fake, guest, container } = await scene();
    const refused = expect(container.execute({ ...withoutPipes, CreateStdOutPipe: true })).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringContaining("the guest did not dial stdout"),
    });
    await settled();
    fake.expire(10_000);
    await refused;
    await settled();
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100 }]);
    expect(fake.ports.size).toBe(0);
    await guest.close();
  });

  it("runs programs of the VM itself on the null container", async () => {
    const { fake, guest } = await scene();
    await guest.execute({ ...withoutPipes, User: String.raw`NT AUTHORITY\SYSTEM` });
    expect(fake.seen.find(({ procedure }) => procedure === "executeProcess")?.containerId).toBe(uvmContainerId);
    await guest.close();
  });

  it("refuses an empty command line before it is sent", async () => {
    const { fake, guest, container } = await scene();
    await expect(container.execute({ ...withoutPipes, CommandLine: "" })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("CommandLine is empty"),
    });
    expect(fake.bodies("executeProcess")).toEqual([]);
    await guest.close();
  });

  it("resizes its console, and tells whether the guest lists it", async () => {
    const { fake, guest, container } = await scene({
      getProperties: async () => ({ Properties: '{"ProcessList":[{"ProcessId":100}]}' }),
    });
    const process = await container.execute(withoutPipes);
    await process.resize(30, 100);
    expect(fake.bodies("resizeConsole")).toEqual([{ ProcessId: 100, Height: 30, Width: 100 }]);
    expect(await process.exists()).toBe(true);
    await guest.close();
  });
});

describe("signalling a Windows process", () => {
  it.each([
    [0, "CtrlC"],
    [1, "CtrlBreak"],
    [2, "CtrlClose"],
    [5, "CtrlLogOff"],
    [6, "CtrlShutdown"],
    [15, "CtrlShutdown"],
    ["15", "CtrlShutdown"],
    ["", "CtrlShutdown"],
    ["ctrlc", "CtrlC"],
    ["SIGTERM", "CtrlShutdown"],
    ["CtrlLogoff", "CtrlLogOff"],
  ])("sends %j as the event %s", async (given, Signal) => {
    const { fake, guest, container } = await scene();
    await (await container.execute(withoutPipes)).signal(given);
    await settled();
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100, Options: { Signal } }]);
    await guest.close();
  });

  it.each([9, "9", "KILL", "SigKill"])("terminates by %j, without options", async (given) => {
    const { fake, guest, container } = await scene();
    await (await container.execute(withoutPipes)).signal(given);
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100 }]);
    await guest.close();
  });

  it.each([3, 10, 64, -1, "HUP", "3"])("refuses %j, which Windows does not have", async (given) => {
    const { fake, guest, container } = await scene();
    const process = await container.execute(withoutPipes);
    await expect(process.signal(given)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(
        `invalid signal ${JSON.stringify(given)} for a Windows process: expected 0 (CtrlC)`,
      ),
    });
    expect(fake.bodies("signalProcess")).toEqual([]);
    await guest.close();
  });

  it.each([6, 9, 15, "", "TERM"])("terminates by %j in a guest without events", async (given) => {
    const { fake, guest, container } = await scene({}, false);
    await (await container.execute(withoutPipes)).signal(given);
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100 }]);
    await guest.close();
  });

  it.each([0, 1, "CtrlC"])("refuses %j in a guest without events", async (given) => {
    const { fake, guest, container } = await scene({}, false);
    const process = await container.execute(withoutPipes);
    await expect(process.signal(given)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("since the guest can only end a process"),
    });
    expect(fake.bodies("signalProcess")).toEqual([]);
    await guest.close();
  });

  it("does not wait for a guest that answers an event only when the process has ended", async () => {
    const { fake, guest, container } = await scene({ signalProcess: () => new Promise(() => {}) });
    const process = await container.execute(withoutPipes);
    await process.signal(0);
    await settled();
    expect(fake.bodies("signalProcess")).toHaveLength(1);
    expect(fake.delays).toEqual([]);
    await guest.close();
  });

  it("logs the refusal of an event, unless the process is gone", async () => {
    for (const [name, logged] of [
      ["E_FAIL", ["the guest refused a signal"]],
      ["ERROR_NOT_FOUND", []],
    ] as const) {
      const { fake, guest, container } = await scene({
        signalProcess: async () => {
          throw new GuestFault(name, "no");
        },
      });
      await (await container.execute(withoutPipes)).signal(0);
      await settled();
      expect(fake.logged).toEqual(logged);
      await guest.close();
    }
  });
});
