import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { type ExecuteProcessRequest, GuestFault, type GuestHandlers, infiniteTimeout } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { LinuxContainer } from "./container.ts";
import { containerSettings, FakeGuest, settled, withoutPipes } from "./testing/fake-guest.ts";

const piped = { ...withoutPipes, CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true } as const;
const added = { ...piped, OCIProcess: { args: ["more"], cwd: "/" } };

interface Setting {
  readonly fake: FakeGuest;
  readonly container: LinuxContainer;
  close(): Promise<void>;
}

async function setUp(handlers: (fake: () => FakeGuest) => GuestHandlers = () => ({})): Promise<Setting> {
  const holder: { fake?: FakeGuest } = {};
  const fake = new FakeGuest(handlers(() => holder.fake as FakeGuest));
  holder.fake = fake;
  const guest = await fake.connect();
  return { fake, container: await guest.createContainer("c", containerSettings), close: () => guest.close() };
}

interface DialledStdio {
  stdin?: Duplex;
  stdout?: Duplex;
  stderr?: Duplex;
}

/** Dials each requested port before it answers, like the real guest. */
function dialling(
  fake: () => FakeGuest,
  streams: DialledStdio,
  pid = 100,
): NonNullable<GuestHandlers["executeProcess"]> {
  return async ({ Settings }: ExecuteProcessRequest) => {
    const ports = Settings.VsockStdioRelaySettings ?? {};
    if (ports.StdIn !== undefined) streams.stdin = fake().dial(ports.StdIn);
    if (ports.StdOut !== undefined) streams.stdout = fake().dial(ports.StdOut);
    if (ports.StdErr !== undefined) streams.stderr = fake().dial(ports.StdErr);
    return { ProcessId: pid };
  };
}

describe("executing", () => {
  it("listens before the request, connects the stdio and queries the exit at once", async () => {
    const guestEnds: DialledStdio = {};
    const { fake, container, close } = await setUp((fakeGuest) => ({
      executeProcess: dialling(fakeGuest, guestEnds),
    }));
    const process = await container.execute(piped);
    const first = linuxVsockPorts.firstStdio;
    expect(fake.bodies("executeProcess")).toEqual([
      {
        Settings: {
          ProcessParameters: JSON.stringify(piped),
          VsockStdioRelaySettings: { StdIn: first, StdOut: first + 1, StdErr: first + 2 },
        },
      },
    ]);
    expect(process.pid).toBe(100);
    expect(fake.ports.size).toBe(0);

    process.stdin?.end("to the guest");
    guestEnds.stdout?.end("from stdout");
    guestEnds.stderr?.end("from stderr");
    expect(await text(guestEnds.stdin as Duplex)).toBe("to the guest");
    expect(await text(process.stdout as Duplex)).toBe("from stdout");
    expect(await text(process.stderr as Duplex)).toBe("from stderr");
    await settled();
    expect(fake.bodies("waitForProcess")).toEqual([{ ProcessId: 100, TimeoutInMs: infiniteTimeout }]);
    await process.close();
    await process.close();
    await close();
  });

  it("closes each output that the guest has ended once all is read, and then gets the exit", async () => {
    const guestEnds: DialledStdio = {};
    const closed = (stream: Duplex | undefined) =>
      new Promise<void>((resolve) => stream?.resume().once("end", () => resolve()));
    const { container, close } = await setUp((fakeGuest) => ({
      executeProcess: dialling(fakeGuest, guestEnds),
      waitForProcess: async () => {
        await Promise.all([closed(guestEnds.stdout), closed(guestEnds.stderr)]);
        return { ExitCode: 7 };
      },
    }));
    const process = await container.execute(piped);
    guestEnds.stdout?.end("from stdout");
    guestEnds.stderr?.end();
    expect(await text(process.stderr as Duplex)).toBe("");
    const chunks: Buffer[] = [];
    process.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
    expect(await process.wait()).toBe(7);
    expect(Buffer.concat(chunks).toString()).toBe("from stdout");
    expect(process.stdin?.destroyed).toBe(false);
    await close();
  });

  it("opens only the requested streams, on new ports each time", async () => {
    const { fake, container, close } = await setUp((fakeGuest) => ({ executeProcess: dialling(fakeGuest, {}) }));
    const quiet = await container.execute(withoutPipes);
    const speaking = await container.execute({ ...withoutPipes, CreateStdOutPipe: true });
    const again = await container.execute({ ...withoutPipes, CreateStdOutPipe: true });
    expect([quiet.stdin, quiet.stdout, quiet.stderr, speaking.stdin, speaking.stderr]).toEqual(
      Array(5).fill(undefined),
    );
    expect(again.stdout).toBeDefined();
    expect(fake.bodies("executeProcess").map((body) => body.Settings.VsockStdioRelaySettings)).toEqual([
      {},
      { StdOut: linuxVsockPorts.firstStdio },
      { StdOut: linuxVsockPorts.firstStdio + 1 },
    ]);
    await close();
  });

  it("leaves nothing listening when the guest refuses", async () => {
    const { fake, container, close } = await setUp(() => ({
      executeProcess: async () => {
        throw new GuestFault("ERROR_FILE_NOT_FOUND", "exec: nosuch: not found");
      },
    }));
    await expect(container.execute(piped)).rejects.toMatchObject({
      code: "NotFound",
      guestMessage: "exec: nosuch: not found",
    });
    expect(fake.ports.size).toBe(0);
    expect(fake.bodies("signalProcess")).toEqual([]);
    await close();
  });

  it("leaves nothing listening if a port is not available", async () => {
    const { fake, container, close } = await setUp();
    const taken = await fake.options.listen(linuxVsockPorts.firstStdio + 2);
    await expect(container.execute(piped)).rejects.toThrow("in use");
    expect([...fake.ports.keys()]).toEqual([linuxVsockPorts.firstStdio + 2]);
    expect(fake.bodies("executeProcess")).toEqual([]);
    await taken.close();
    await close();
  });

  it("kills a process whose stdio the guest does not dial in time", async () => {
    const { fake, container, close } = await setUp((fakeGuest) => ({
      executeProcess: async ({ Settings }) => {
        fakeGuest().dial(Settings.VsockStdioRelaySettings?.StdIn);
        return { ProcessId: 100 };
      },
    }));
    const executing = container.execute(added);
    const rejected = expect(executing).rejects.toMatchObject({
      code: "DeadlineExceeded",
      message: expect.stringMatching(/did not dial stdout on port \d+, stderr on port \d+ within 10000 ms/),
    });
    await settled();
    fake.expire();
    await rejected;
    await settled();
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100, Options: { Signal: 9 } }]);
    expect(fake.ports.size).toBe(0);
    await close();
  });

  it("kills a process that the guest starts after the caller has aborted", async () => {
    let answer = (): void => {};
    const { fake, container, close } = await setUp(() => ({
      executeProcess: () =>
        new Promise((resolve) => {
          answer = () => resolve({ ProcessId: 55 });
        }),
    }));
    const controller = new AbortController();
    const executing = container.execute(added, controller.signal);
    await settled();
    controller.abort(new Error("enough"));
    await expect(executing).rejects.toMatchObject({ code: "Cancelled", message: expect.stringContaining("enough") });
    expect(fake.ports.size).toBe(0);
    answer();
    await settled();
    expect(fake.bodies("waitForProcess")).toEqual([{ ProcessId: 55, TimeoutInMs: infiniteTimeout }]);
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 55, Options: { Signal: 9 } }]);
    await close();
  });

  it("kills the process if the caller aborts while the stdio connects", async () => {
    const { fake, container, close } = await setUp();
    const controller = new AbortController();
    const executing = container.execute(added, controller.signal);
    await settled();
    controller.abort();
    await expect(executing).rejects.toMatchObject({ code: "Cancelled" });
    await settled();
    expect(fake.bodies("signalProcess")).toHaveLength(1);
    expect(fake.ports.size).toBe(0);
    await close();
  });

  it("ends the container of an abandoned init, whose unread output would otherwise delay its exit", async () => {
    const { fake, container, close } = await setUp();
    const controller = new AbortController();
    const executing = container.execute(piped, controller.signal);
    await settled();
    controller.abort();
    await expect(executing).rejects.toMatchObject({ code: "Cancelled" });
    await settled();
    expect(fake.bodies("shutdownForced")).toHaveLength(1);
    expect(fake.bodies("signalProcess")).toEqual([]);
    await close();
  });

  it("sends nothing for a caller that has already aborted", async () => {
    const { fake, container, close } = await setUp();
    await expect(container.execute(piped, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
    expect(fake.bodies("executeProcess")).toEqual([]);
    await close();
  });

  it("fails when the bridge is lost while the stdio connects", async () => {
    const { fake, container } = await setUp();
    const executing = container.execute(piped);
    const rejected = expect(executing).rejects.toMatchObject({ code: "Unavailable", gone: true });
    await settled();
    await fake.server.close();
    await rejected;
    expect(fake.ports.size).toBe(0);
  });

  it("connects the stdio of a process that has already exited", async () => {
    const { fake, container, close } = await setUp(() => ({ waitForProcess: async () => ({ ExitCode: 3 }) }));
    const executing = container.execute({ ...withoutPipes, CreateStdOutPipe: true });
    await settled();
    fake.dial(linuxVsockPorts.firstStdio).end("late");
    const process = await executing;
    expect(await text(process.stdout as Duplex)).toBe("late");
    expect(await process.wait()).toBe(3);
    await close();
  });
});

describe("a process", () => {
  it.each([
    [0, 0],
    [42, 42],
    [137, 137],
    [255, 255],
    [0xffffffff, 255],
  ])("with the guest's exit code %i has the status %i", async (ExitCode, status) => {
    const { container, close } = await setUp(() => ({ waitForProcess: async () => ({ ExitCode }) }));
    const process = await container.execute(withoutPipes);
    expect(await process.wait()).toBe(status);
    expect(await process.wait()).toBe(status);
    await close();
  });

  it("fails every waiter if the bridge is lost", async () => {
    const { fake, container } = await setUp();
    const process = await container.execute(withoutPipes);
    const waits = Promise.allSettled([process.wait(), process.wait()]);
    await fake.server.close();
    for (const outcome of await waits) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "Unavailable", gone: true } });
    }
    await expect(process.wait()).rejects.toMatchObject({ gone: true });
  });

  it("that the guest no longer knows is reported as gone", async () => {
    const notFound = async (): Promise<never> => {
      throw new GuestFault("ERROR_NOT_FOUND", "no such process");
    };
    const { container, close } = await setUp(() => ({ waitForProcess: notFound, signalProcess: notFound }));
    const process = await container.execute(withoutPipes);
    await expect(process.wait()).rejects.toMatchObject({ code: "NotFound", gone: true });
    await expect(process.signal(15)).rejects.toMatchObject({ code: "NotFound", gone: true, containerId: "c" });
    await close();
  });

  it("exists as long as the guest lists it", async () => {
    let pids = [1, 100];
    const { fake, container, close } = await setUp(() => ({
      getProperties: async () => ({
        Properties: JSON.stringify({ ProcessList: pids.map((ProcessId) => ({ ProcessId })) }),
      }),
    }));
    const process = await container.execute(withoutPipes);
    expect(await process.exists()).toBe(true);
    pids = [1];
    expect(await process.exists()).toBe(false);
    expect(fake.bodies("getProperties")).toEqual(Array(2).fill({ Query: '{"PropertyTypes":["ProcessList"]}' }));
    await close();
  });

  it("is signalled and resized by its pid", async () => {
    const { fake, container, close } = await setUp();
    const process = await container.execute(withoutPipes);
    await process.signal(15);
    await process.resize(24, 80);
    expect(fake.bodies("signalProcess")).toEqual([{ ProcessId: 100, Options: { Signal: 15 } }]);
    expect(fake.bodies("resizeConsole")).toEqual([{ ProcessId: 100, Height: 24, Width: 80 }]);
    await close();
  });

  it.each([0, -1, 65, 1.5])("is not sent the signal %d", async (signal) => {
    const { fake, container, close } = await setUp();
    const process = await container.execute(withoutPipes);
    await expect(process.signal(signal)).rejects.toMatchObject({ code: "InvalidArgument" });
    expect(fake.bodies("signalProcess")).toEqual([]);
    await close();
  });

  it("outlives a connection of its stdio that breaks", async () => {
    const guestEnds: DialledStdio = {};
    const { container, close } = await setUp((fakeGuest) => ({ executeProcess: dialling(fakeGuest, guestEnds) }));
    const process = await container.execute({ ...withoutPipes, CreateStdOutPipe: true });
    process.stdout?.destroy(new Error("reset"));
    await settled();
    await process.signal(15);
    await process.close();
    await close();
  });
});
