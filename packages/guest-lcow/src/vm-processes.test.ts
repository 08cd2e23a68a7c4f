import { GuestFault, type GuestHandlers, infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { FakeGuest, settled } from "./testing/fake-guest.ts";

const piped = {
  CommandArgs: ["cat"],
  EmulateConsole: false,
  CreateStdInPipe: true,
  CreateStdOutPipe: true,
  CreateStdErrPipe: false,
} as const;

/** The real guest has no container with the VM's id. */
const unknownContainer = async (): Promise<never> => {
  throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", "no container of this id");
};

/** The real guest, with a process whose exit the test controls. */
function guestOf(handlers: GuestHandlers = {}, dials = true) {
  const exit = Promise.withResolvers<{ readonly ExitCode: number }>();
  const fake: FakeGuest = new FakeGuest({
    executeProcess: async ({ Settings }) => {
      if (!dials) return { ProcessId: 100 };
      const { StdIn, StdOut } = Settings.VsockStdioRelaySettings ?? {};
      fake.dial(StdIn);
      fake.dial(StdOut);
      return { ProcessId: 100 };
    },
    waitForProcess: () => exit.promise,
    signalProcess: unknownContainer,
    resizeConsole: unknownContainer,
    ...handlers,
  });
  return { fake, exit };
}

describe("a process of the VM itself", () => {
  it("that the guest cannot signal or resize is not gone", async () => {
    const { fake, exit } = guestOf();
    const guest = await fake.connect();
    const process = await guest.execute(piped);
    await expect(process.signal(15)).rejects.toMatchObject({
      code: "Unimplemented",
      gone: false,
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
      containerId: uvmContainerId,
      message: expect.stringContaining(
        "cannot signal process 100: the guest does not support that for processes of the VM",
      ),
    });
    await expect(process.resize(24, 80)).rejects.toMatchObject({
      code: "Unimplemented",
      gone: false,
      message: expect.stringContaining("cannot resize process 100"),
    });
    // The end of its stdio ends it.
    await process.close();
    expect(fake.connections.map(({ destroyed }) => destroyed)).toEqual([true, true]);
    exit.resolve({ ExitCode: 0 });
    expect(await process.wait()).toBe(0);
    await guest.close();
  });

  it("is gone if the guest does not find the process itself, or the bridge has ended", async () => {
    const { fake } = guestOf({
      signalProcess: async () => {
        throw new GuestFault("ERROR_NOT_FOUND", "no such process");
      },
    });
    const guest = await fake.connect();
    const process = await guest.execute(piped);
    await expect(process.signal(15)).rejects.toMatchObject({ code: "NotFound", gone: true });
    await guest.close();
    await expect(process.signal(15)).rejects.toMatchObject({ code: "Unavailable", gone: true });
  });

  it("that is abandoned while its stdio connects is reported, closed and waited for", async () => {
    const { fake, exit } = guestOf({}, false);
    const guest = await fake.connect();
    const executing = guest.execute(piped).catch((error: unknown) => error);
    await settled();
    fake.dial(linuxVsockPorts.firstStdio);
    await settled();
    fake.expire();
    expect(await executing).toMatchObject({ code: "DeadlineExceeded", gone: false });
    expect(String(await executing)).toMatch(
      /process 100 of the VM may still run: .* stdio was closed: .* did not dial stdout on port \d+ within 10000 ms/,
    );
    await settled();
    expect(fake.connections.map(({ destroyed }) => destroyed)).toEqual([true]);
    expect(fake.ports.size).toBe(0);
    expect(fake.logged).toEqual(["cannot kill an abandoned process"]);
    expect(fake.loggedFields[0]).toMatchObject({ pid: 100, error: { code: "Unimplemented" } });
    expect(fake.bodies("waitForProcess")).toEqual([{ ProcessId: 100, TimeoutInMs: infiniteTimeout }]);
    exit.resolve({ ExitCode: 0xffffffff });
    await settled();
    expect(fake.logged[1]).toBe("an abandoned process has exited");
    expect(fake.loggedFields[1]).toEqual({ containerId: uvmContainerId, pid: 100, status: 255 });
    await guest.close();
  });

  it("that is started for a caller that has aborted is reported and waited for", async () => {
    const answer = Promise.withResolvers<{ readonly ProcessId: number }>();
    const { fake } = guestOf({ executeProcess: () => answer.promise });
    const guest = await fake.connect();
    const controller = new AbortController();
    const executing = guest.execute(piped, controller.signal);
    await settled();
    controller.abort();
    await expect(executing).rejects.toMatchObject({ code: "Cancelled" });
    answer.resolve({ ProcessId: 77 });
    await settled();
    expect(fake.logged).toEqual(["cannot kill an abandoned process"]);
    expect(fake.bodies("waitForProcess")).toEqual([{ ProcessId: 77, TimeoutInMs: infiniteTimeout }]);
    await guest.close();
  });

  it("is reported as lost with the bridge, not as left running", async () => {
    const { fake } = guestOf({}, false);
    const guest = await fake.connect();
    const executing = guest.execute(piped).catch((error: unknown) => error);
    await settled();
    await fake.server.close();
    expect(await executing).toMatchObject({ code: "Unavailable", gone: true });
    expect(String(await executing)).not.toContain("may still run");
  });
});

it("a process of a container that the guest does not know is gone", async () => {
  const { fake } = guestOf({ executeProcess: async () => ({ ProcessId: 100 }) });
  const guest = await fake.connect();
  const settings = {
    SchemaVersion: { Major: 2, Minor: 1 },
    OciBundlePath: "/b",
    OciSpecification: { ociVersion: "1.0.2" },
    ScratchDirPath: "",
  };
  const container = await guest.createContainer("c", settings);
  const process = await container.execute({ ...piped, CreateStdInPipe: false, CreateStdOutPipe: false });
  await expect(process.signal(15)).rejects.toMatchObject({ code: "NotFound", gone: true });
  await guest.close();
});

describe("a sign of life", () => {
  it("is the error of a real guest, which has no properties of the VM", async () => {
    const { fake } = guestOf({
      getProperties: async () => {
        throw new GuestFault("E_FAIL", "not of the VM");
      },
    });
    const guest = await fake.connect();
    await expect(guest.ping()).resolves.toBeUndefined();
    expect(fake.seen).toEqual([{ procedure: "getProperties", containerId: uvmContainerId, body: { Query: "" } }]);
    await guest.close();
  });

  it("is not given by a guest that hangs, by an invalid answer, or over a bridge that has ended", async () => {
    const { fake } = guestOf({ getProperties: () => new Promise(() => {}) });
    const guest = await fake.connect();
    const pinging = guest.ping().catch((error: unknown) => error);
    await settled();
    fake.expire();
    expect(await pinging).toMatchObject({ code: "DeadlineExceeded", procedure: "getProperties" });
    await guest.close();
    await expect(guest.ping()).rejects.toMatchObject({ code: "Unavailable", gone: true });
  });
});
