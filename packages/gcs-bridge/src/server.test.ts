import { duplexPair } from "node:stream";
import { hresults, SchemaError } from "@uvm-shim/hcs-schema";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FieldError, GcsBridgeServer, GuestFault, type GuestHandlers } from "./index.ts";
import { activityId, capabilities, connectedPair, RawPeer } from "./testing/support.ts";
import { encodeFrame, messageType } from "./wire.ts";

function setUp(handlers: GuestHandlers, options: { maxMessageSize?: number } = {}) {
  const [hostStream, guestStream] = duplexPair();
  const server = new GcsBridgeServer(guestStream, handlers, { capabilities, ...options });
  return { server, host: new RawPeer(hostStream) };
}

async function negotiated(host: RawPeer): Promise<void> {
  host.request(11, 0n, { MinimumVersion: 4, MaximumVersion: 4 });
  expect((await host.nextJson()).json).toMatchObject({ Result: 0, Version: 4 });
}

const base = { ContainerId: "c1", ActivityId: activityId };

describe("the guest's end", () => {
  it("passes the checked body and its context to handlers, and answers with their fields", async () => {
    const seen: unknown[] = [];
    const { server, host } = setUp({
      executeProcess: async (body, { containerId, activityId: activity }) => {
        seen.push(body, containerId, activity);
        return { ProcessId: 12 };
      },
    });
    await negotiated(host);
    const Settings = { ProcessParameters: "{}", VsockStdioRelaySettings: { StdIn: 0, StdOut: 5 } };
    host.request(5, 3n, { ...base, Settings });
    expect(await host.nextJson()).toEqual({
      type: 0x20100501,
      id: 3n,
      json: { Result: 0, ProcessId: 12, ActivityId: activityId },
    });
    const checked = { Settings: { ProcessParameters: "{}", VsockStdioRelaySettings: { StdOut: 5 } } };
    expect(seen).toEqual([checked, "c1", activityId]);
    await server.close();
  });

  it("tells handlers the trace that the host keeps, and refuses one of another type", async () => {
    const seen: unknown[] = [];
    const { server, host } = setUp({
      start: async (_body, { trace }) => {
        seen.push(trace);
        return {};
      },
    });
    await negotiated(host);
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    host.request(2, 1n, { ...base, otsc: { traceparent } });
    expect((await host.nextJson()).json).toMatchObject({ Result: 0 });
    host.request(2, 2n, base);
    expect((await host.nextJson()).json).toMatchObject({ Result: 0 });
    host.request(2, 3n, { ...base, otsc: traceparent });
    expect((await host.nextJson()).json).toMatchObject({ Result: hresults.HCS_E_INVALID_JSON | 0 });
    expect(seen).toEqual([{ traceId: traceparent.slice(3, 35), spanId: traceparent.slice(36, 52) }, undefined]);
    await server.close();
  });

  it("accepts requests with field names in any case", async () => {
    const seen: unknown[] = [];
    const { server, host } = setUp({
      executeProcess: async (body, { containerId, activityId: activity }) => {
        seen.push(body, containerId, activity);
        return { ProcessId: 12 };
      },
      modifySettings: async (body) => {
        seen.push(body);
        return {};
      },
    });
    host.request(11, 0n, { minimumversion: 4, MAXIMUMVERSION: 4 });
    expect((await host.nextJson()).json).toMatchObject({ Result: 0, Version: 4 });
    const envelope = { containerID: "c1", ACTIVITYID: activityId };
    const settings = { processparameters: "{}", VSOCKSTDIORELAYSETTINGS: { stdout: 5 } };
    host.request(5, 1n, { ...envelope, settings });
    expect((await host.nextJson()).json).toMatchObject({ Result: 0, ProcessId: 12 });
    const request = { resourcetype: "Network", REQUESTTYPE: "Add", settings: { id: 1 } };
    host.request(10, 2n, { ...envelope, request });
    expect((await host.nextJson()).json).toMatchObject({ Result: 0 });
    const checked = { Settings: { ProcessParameters: "{}", VsockStdioRelaySettings: { StdOut: 5 } } };
    const modified = { Request: { ResourceType: "Network", RequestType: "Add", Settings: { id: 1 } } };
    expect(seen).toEqual([checked, "c1", activityId, modified]);
    await server.close();
  });

  it.each<[string, () => unknown, number, string]>([
    [
      "a fault",
      () => new GuestFault("ERROR_NOT_FOUND", "no such process"),
      hresults.ERROR_NOT_FOUND,
      "no such process",
    ],
    ["a wrong field", () => new FieldError("Options must be"), hresults.HCS_E_INVALID_JSON, "Options must be"],
    ["a wrong value", () => new SchemaError("Lun", "expected"), hresults.HCS_E_INVALID_JSON, "Lun: expected"],
    ["an error", () => new Error("surprise"), hresults.E_FAIL, "surprise"],
    ["a thrown text", () => "text", hresults.E_FAIL, "text"],
  ])("answers with the result of %s", async (_name, make, hresult, message) => {
    const { server, host } = setUp({
      start: async () => {
        throw make();
      },
    });
    await negotiated(host);
    host.request(2, 1n, base);
    const { json } = await host.nextJson();
    expect(json).toMatchObject({
      Result: hresult | 0,
      ErrorMessage: message,
      ActivityId: activityId,
      ErrorRecords: [{ Result: hresult | 0, Message: message }],
    });
    await server.close();
  });

  it("answers other requests while one waits", async () => {
    let exit = (_code: number): void => {};
    const { server, host } = setUp({
      waitForProcess: () =>
        new Promise((resolve) => {
          exit = (ExitCode) => resolve({ ExitCode });
        }),
      signalProcess: async () => ({}),
    });
    await negotiated(host);
    host.request(6, 1n, { ...base, ProcessId: 1, TimeoutInMs: 0xffffffff });
    host.request(7, 2n, { ...base, ProcessId: 1, Options: { Signal: 15 } });
    expect((await host.nextJson()).id).toBe(2n);
    exit(143);
    expect(await host.nextJson()).toMatchObject({ id: 1n, json: { Result: 0, ExitCode: 143 } });
    await server.close();
  });

  it.each<[string, number, unknown, number]>([
    ["a procedure without a handler", 13, base, hresults.HCS_E_UNKNOWN_MESSAGE],
    ["a procedure that does not exist", 77, base, hresults.HCS_E_UNKNOWN_MESSAGE],
    ["a body that is no object", 2, [], hresults.HCS_E_INVALID_JSON],
    ["a missing field", 7, base, hresults.HCS_E_INVALID_JSON],
    ["a signal out of range", 7, { ...base, ProcessId: 1, Options: { Signal: 65 } }, hresults.HCS_E_INVALID_JSON],
    [
      "an unknown request type",
      10,
      { ...base, Request: { ResourceType: "A", RequestType: "B" } },
      hresults.HCS_E_INVALID_JSON,
    ],
    ["a container id that is no text", 2, { ContainerId: 5 }, hresults.HCS_E_INVALID_JSON],
    ["an activity id that is too long", 2, { ...base, ActivityId: "x".repeat(65) }, hresults.HCS_E_INVALID_JSON],
  ])("answers %s with an error and goes on", async (_name, procedure, body, hresult) => {
    const { server, host } = setUp({
      start: async () => ({}),
      signalProcess: async () => ({}),
      modifySettings: async () => ({}),
    });
    await negotiated(host);
    host.request(procedure, 1n, body);
    expect((await host.nextJson()).json).toMatchObject({ Result: hresult | 0 });
    host.request(2, 2n, base);
    expect((await host.nextJson()).json).toMatchObject({ Result: 0 });
    await server.close();
  });

  it("reads an absent request type as Add, and absent signal options as none", async () => {
    const seen: unknown[] = [];
    const take = async (body: unknown) => {
      seen.push(body);
      return {};
    };
    const { server, host } = setUp({ modifySettings: take, signalProcess: take });
    await negotiated(host);
    host.request(10, 1n, { ...base, Request: { ResourceType: "SCSIDevice", Settings: { Lun: 1 } } });
    host.request(7, 2n, { ...base, ProcessId: 3, Options: null });
    await Promise.all([host.next(), host.next()]);
    expect(seen).toEqual([
      { Request: { ResourceType: "SCSIDevice", RequestType: "Add", Settings: { Lun: 1 } } },
      { ProcessId: 3 },
    ]);
    await server.close();
  });

  it("serves nothing before the negotiation, and only its own version", async () => {
    const { server, host } = setUp({ start: async () => ({}) });
    const refused = hresults.HCS_E_UNSUPPORTED_PROTOCOL_VERSION | 0;
    host.request(2, 1n, base);
    expect((await host.nextJson()).json.Result).toBe(refused);
    host.request(11, 2n, { MinimumVersion: 1, MaximumVersion: 3 });
    expect((await host.nextJson()).json.Result).toBe(refused);
    host.request(11, 3n, { MinimumVersion: 3, MaximumVersion: 9 });
    expect((await host.nextJson()).json).toMatchObject({ Result: 0, Version: 4, Capabilities: capabilities });
    await server.close();
  });

  it("answers with an error if a handler's answer exceeds a frame or cannot be encoded", async () => {
    const answers: object[] = [{ Properties: "x".repeat(24_000) }, { Properties: 1n }];
    const getProperties = async () => answers.shift() as { Properties: string };
    const { server, host } = setUp({ getProperties }, { maxMessageSize: 24_000 });
    await negotiated(host);
    host.request(9, 1n, base);
    expect((await host.nextJson()).json).toMatchObject({ Result: hresults.HCS_E_PROTOCOL_ERROR | 0 });
    host.request(9, 2n, base);
    expect((await host.nextJson()).json).toMatchObject({ Result: hresults.E_FAIL | 0 });
    await server.close();
  });

  it.each<[string, (host: RawPeer) => void, string]>([
    ["too great a size", (host) => host.sendHeader(0x10100201, 0xffffffff, 1n), "frame of 4294967295 bytes"],
    ["a response", (host) => host.send(messageType("response", 2), 1n, {}), "expected a request"],
    ["the end", (host) => host.stream.end(), "the peer closed the connection"],
  ])("ends, and aborts its handlers, on %s", async (_name, act, message) => {
    let aborted = (_reason: unknown): void => {};
    const reason = new Promise((resolve) => {
      aborted = resolve;
    });
    const { server, host } = setUp({
      waitForProcess: (_body, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            aborted(signal.reason);
            reject(signal.reason);
          });
        }),
    });
    await negotiated(host);
    host.request(6, 1n, { ...base, ProcessId: 1, TimeoutInMs: 5 });
    await new Promise((resolve) => setImmediate(resolve));
    act(host);
    const cause = await server.closed;
    expect(cause?.message).toContain(message);
    expect(await reason).toBe(cause);
    server.notify({ containerId: "c1", activityId, type: "ForcedExit", operation: "None", result: 0 });
  });

  it("stops reading while the host does not take its answers", async () => {
    const count = 200;
    let handled = 0;
    const [hostStream, guestStream] = duplexPair();
    const getProperties = async () => {
      handled++;
      return { Properties: "x".repeat(50_000) };
    };
    const server = new GcsBridgeServer(guestStream, { getProperties }, { capabilities });
    const send = (procedure: number, id: number, body: unknown): void => {
      const type = messageType("request", procedure);
      hostStream.write(encodeFrame({ type, id: BigInt(id), body: Buffer.from(JSON.stringify(body)) }));
    };
    send(11, 0, { MinimumVersion: 4, MaximumVersion: 4 });
    for (let id = 1; id <= count; id++) {
      send(9, id, { ...base, Query: "" });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(handled).toBeLessThan(10);
    const host = new RawPeer(hostStream);
    for (let id = 0; id <= count; id++) await host.next();
    expect(handled).toBe(count);
    await server.close();
  });

  it("survives any bytes from a host", async () => {
    const frames = fc
      .record({
        type: fc.oneof(
          fc.integer({ min: 1, max: 15 }).map((n) => messageType("request", n)),
          fc.nat(0xffffffff),
        ),
        id: fc.bigInt(0n, 2n ** 64n - 1n),
        body: fc.oneof(
          fc.jsonValue().map((value) => JSON.stringify(value)),
          fc.string(),
        ),
      })
      .map(({ type, id, body }) => encodeFrame({ type, id, body: Buffer.from(body) }));
    const junk = fc.oneof(
      frames,
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(junk, { maxLength: 8 }), async (pieces) => {
        const { server, host } = setUp({ start: async () => ({}), create: async () => ({}) }, { maxMessageSize: 4096 });
        for (const piece of pieces) host.stream.write(piece);
        host.stream.end();
        expect(await server.closed).toMatchObject({ name: "GcsError" });
      }),
      { numRuns: 200 },
    );
  });
});

describe("both ends together", () => {
  it("carry every procedure", async () => {
    const nothing = async () => ({});
    const { client, server } = await connectedPair({
      create: async ({ ContainerConfig }) => {
        expect(ContainerConfig).toBe("{}");
        return {};
      },
      start: nothing,
      shutdownGraceful: nothing,
      shutdownForced: nothing,
      executeProcess: async ({ Settings }) => ({ ProcessId: Settings.VsockStdioRelaySettings?.StdErr ?? 1 }),
      waitForProcess: async ({ TimeoutInMs }) => ({ ExitCode: TimeoutInMs }),
      signalProcess: nothing,
      resizeConsole: nothing,
      getProperties: async ({ Query }) => ({ Properties: Query }),
      modifySettings: nothing,
      dumpStacks: async () => ({ GuestStacks: "stacks" }),
      deleteContainerState: nothing,
    });
    expect(await client.negotiate()).toEqual(capabilities);
    expect(await client.request("create", "c", { ContainerConfig: "{}" })).toEqual({});
    for (const procedure of ["start", "shutdownGraceful", "shutdownForced", "deleteContainerState"] as const) {
      expect(await client.request(procedure, "c", {})).toEqual({});
    }
    const Settings = { ProcessParameters: "{}", VsockStdioRelaySettings: { StdErr: 77 } };
    expect(await client.request("executeProcess", "c", { Settings })).toEqual({ ProcessId: 77 });
    const endless = { ProcessId: 1, TimeoutInMs: 0xffffffff };
    expect(await client.request("waitForProcess", "c", endless)).toEqual({ ExitCode: 0xffffffff });
    expect(await client.request("signalProcess", "c", { ProcessId: 1 })).toEqual({});
    expect(await client.request("resizeConsole", "c", { ProcessId: 1, Height: 24, Width: 80 })).toEqual({});
    expect(await client.request("getProperties", "c", { Query: "q" })).toEqual({ Properties: "q" });
    const Request = { ResourceType: "SCSIDevice", RequestType: "Remove" } as const;
    expect(await client.request("modifySettings", "c", { Request })).toEqual({});
    expect(await client.request("dumpStacks", "c", {})).toEqual({ GuestStacks: "stacks" });
    await client.close();
    await server.closed;
  });

  it("carry errors and notifications", async () => {
    const { client, server, notifications } = await connectedPair({
      start: async () => {
        throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", "no such container");
      },
    });
    const notification = {
      containerId: "c",
      activityId,
      type: "UnexpectedExit",
      operation: "None",
      result: 0x80004005,
    } as const;
    server.notify(notification);
    await expect(client.request("start", "c", {})).rejects.toMatchObject({ code: "NotFound", gone: true });
    expect(notifications).toEqual([notification]);
    await server.close();
    expect(await client.closed).toMatchObject({ code: "Unavailable", gone: true });
  });

  it("keep a thousand requests apart", async () => {
    const { client, server } = await connectedPair({
      getProperties: async ({ Query }) => ({ Properties: Query.repeat(50) }),
    });
    const numbers = Array.from({ length: 1000 }, (_, index) => `q${index}`);
    const answers = await Promise.all(numbers.map((Query) => client.request("getProperties", "c", { Query })));
    expect(answers.map((answer) => answer.Properties)).toEqual(numbers.map((text) => text.repeat(50)));
    await client.close();
    await server.closed;
  });
});
