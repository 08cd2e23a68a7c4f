import { duplexPair } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { addObserver, observe } from "@uvm-shim/lifecycle";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GcsError } from "./index.ts";
import { activityId, capabilities, clientOn, RawPeer } from "./testing/support.ts";
import { containerNotificationType, encodeFrame, messageType } from "./wire.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function setUp(options: Parameters<typeof clientOn>[1] = {}) {
  const [host, guest] = duplexPair();
  return { ...clientOn(host, options), guest: new RawPeer(guest) };
}

const response = (procedure: number): number => messageType("response", procedure);
const wait = { ProcessId: 7, TimeoutInMs: 1 };

describe("the host's end", () => {
  it("sends container, activity and body, and returns the checked answer", async () => {
    const { client, guest } = setUp();
    const answer = client.request("waitForProcess", "c1", wait);
    const request = await guest.nextJson();
    expect(request).toEqual({ type: 0x10100601, id: 1n, json: { ContainerId: "c1", ActivityId: activityId, ...wait } });
    guest.send(response(6), request.id, { Result: 0, ExitCode: 42, Surplus: 1 });
    expect(await answer).toEqual({ ExitCode: 42 });
    await client.close();
  });

  it("sends the activity that is observed, if somebody observes", async () => {
    const { client, guest } = setUp();
    const remove = addObserver({});
    const activity = { kind: "request", name: "Create", activityId: "of the caller" } as const;
    const answer = observe(activity, () => client.request("waitForProcess", "c1", wait));
    const request = await guest.nextJson();
    remove();
    expect(request.json).toMatchObject({ ActivityId: "of the caller" });
    guest.send(response(6), request.id, { Result: 0, ExitCode: 0 });
    await answer;
    await client.close();
  });

  it("sends the trace of what is observed, if somebody keeps it", async () => {
    const { client, guest } = setUp();
    const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const remove = addObserver({
      traceContextOf: ({ name }) => (name === "kept" ? { traceParent } : undefined),
    });
    const asked = async (name: string): Promise<object> => {
      const answer = observe({ kind: "guest-request", name }, () => client.request("waitForProcess", "c1", wait));
      const request = await guest.nextJson();
      guest.send(response(6), request.id, { Result: 0, ExitCode: 0 });
      await answer;
      return request.json as object;
    };
    expect(await asked("kept")).toMatchObject({ otsc: { traceparent: traceParent }, ocsc: { TraceOptions: 1 } });
    expect(Object.keys(await asked("dropped"))).not.toEqual(expect.arrayContaining([expect.stringMatching(/sc$/)]));
    remove();
    await client.close();
  });

  it.each([
    ["lower", (name: string) => name.toLowerCase()],
    ["upper", (name: string) => name.toUpperCase()],
  ])("accepts answers and notifications with field names in %s case", async (_case, spell) => {
    const { client, guest, notifications } = setUp();
    const respelled = (value: unknown): unknown => {
      if (typeof value !== "object" || value === null) return value;
      if (Array.isArray(value)) return value.map(respelled);
      return Object.fromEntries(Object.entries(value).map(([name, member]) => [spell(name), respelled(member)]));
    };
    const answered = async (procedure: number, answer: object): Promise<void> => {
      guest.send(response(procedure), (await guest.next()).id, respelled(answer));
    };
    const sent = { ...capabilities, SendHostCreateMessage: true, RuntimeOsType: "Windows" };
    const negotiated = client.negotiate();
    await answered(11, { Result: 0, Version: 4, Capabilities: sent });
    expect(await negotiated).toEqual(sent);
    const executed = client.request("executeProcess", "c1", { Settings: { ProcessParameters: "{}" } });
    await answered(5, { Result: 0, ProcessId: 7 });
    expect(await executed).toEqual({ ProcessId: 7 });
    const refused = client.request("start", "c1", {}).catch((caught: unknown) => caught);
    const ErrorRecords = [{ Result: -2143878907, Message: "why", ModuleName: "m", FileName: "f", Line: 3 }];
    await answered(2, { Result: -2143878907, ErrorMessage: "not now", ErrorRecords });
    expect(await refused).toMatchObject({ guestMessage: "not now", records: [{ Message: "why", Line: 3 }] });
    const exited = { ContainerId: "c1", ActivityId: activityId, Type: "GracefulExit", Operation: "None", Result: 0 };
    guest.send(containerNotificationType, 0n, respelled(exited));
    await expect.poll(() => notifications).toMatchObject([{ containerId: "c1", type: "GracefulExit" }]);
    await client.close();
  });

  it("matches answers that come in another order", async () => {
    const { client, guest } = setUp();
    const answers = [1, 2, 3].map((n) => client.request("getProperties", `c${n}`, { Query: "" }));
    const ids = [await guest.next(), await guest.next(), await guest.next()].map((frame) => frame.id);
    for (const id of ids.toReversed()) guest.send(response(9), id, { Result: 0, Properties: `of ${id}` });
    expect(await Promise.all(answers)).toEqual(ids.map((id) => ({ Properties: `of ${id}` })));
    await client.close();
  });

  it("turns a result into an error with everything that the guest reported", async () => {
    const { client, guest } = setUp();
    const answer = client.request("start", "c1", {});
    const record = { Result: -2143878907, Message: "why", ModuleName: "m", FileName: "f", Line: 3 };
    guest.send(response(2), (await guest.next()).id, {
      Result: -2143878907,
      ErrorMessage: "not now",
      ErrorRecords: [record],
    });
    const error = await answer.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(GcsError);
    expect(error).toMatchObject({
      message: "GCS start c1: not now: HCS_E_INVALID_STATE (0x80370105)",
      code: "FailedPrecondition",
      procedure: "start",
      containerId: "c1",
      hresult: 0x80370105,
      hresultName: "HCS_E_INVALID_STATE",
      guestMessage: "not now",
      gone: false,
      records: [{ Result: 0x80370105, Message: "why", Line: 3 }],
    });
    await client.close();
  });

  it.each([
    [{ Result: 0 }, "ProcessId must be an integer from 1 to 2147483647, got nothing"],
    [{ Result: 0, ProcessId: "7" }, "ProcessId must be an integer"],
    [{ Result: 0, ProcessId: 0 }, "ProcessId must be an integer"],
    [{ ProcessId: 7 }, "Result must be an integer"],
    [{ Result: -1, ErrorRecords: [5] }, "ErrorRecords[0] must be a JSON object"],
  ])("fails only its own waiter on the answer %j", async (body, message) => {
    const { client, guest } = setUp();
    const parameters = { Settings: { ProcessParameters: "{}" } };
    const bad = client.request("executeProcess", "c1", parameters);
    const good = client.request("executeProcess", "c1", parameters);
    const [first, second] = [await guest.next(), await guest.next()];
    guest.send(response(5), first.id, body);
    guest.send(response(5), second.id, { Result: 0, ProcessId: 9 });
    await expect(bad).rejects.toMatchObject({ code: "Internal", message: expect.stringContaining(message) });
    expect(await good).toEqual({ ProcessId: 9 });
    await client.close();
  });

  it("releases a caller that aborts, and drops the late answer", async () => {
    const { client, guest, ignored } = setUp();
    const controller = new AbortController();
    const given = client.request("start", "c1", {}, controller.signal);
    const late = (await guest.next()).id;
    controller.abort(new Error("enough"));
    await expect(given).rejects.toMatchObject({
      code: "Cancelled",
      message: expect.stringContaining("enough"),
      gone: false,
    });
    guest.send(response(2), late, { Result: 0 });
    const next = client.request("start", "c2", {});
    guest.send(response(2), (await guest.next()).id, { Result: 0 });
    expect(await next).toEqual({});
    expect(ignored).toEqual(["late answer to start c1"]);
    await client.close();
  });

  it("passes a late answer on once, if somebody expects it and it is no failure", async () => {
    const { client, guest, ignored } = setUp();
    const late: unknown[] = [];
    const giveUp = async (): Promise<bigint> => {
      const controller = new AbortController();
      const body = { Settings: { ProcessParameters: "{}" } };
      const given = client.request("executeProcess", "c1", body, controller.signal, () => ({
        onMade: (made) => late.push(made),
        onNothing: () => late.push("nothing"),
      }));
      const { id } = await guest.next();
      controller.abort(new Error("enough"));
      await expect(given).rejects.toMatchObject({ code: "Cancelled" });
      return id;
    };
    guest.send(response(5), await giveUp(), { Result: 0, ProcessId: 9 });
    guest.send(response(5), await giveUp(), { Result: -2147467259, ErrorMessage: "no" });
    const last = await giveUp();
    guest.send(response(5), last, { Result: 0, ProcessId: "none" });
    guest.send(response(5), last, { Result: 0, ProcessId: 9 });
    expect((await client.closed)?.message).toContain(`message id ${last}, which is not pending`);
    expect([late, ignored]).toEqual([[{ ProcessId: 9 }, "nothing", "nothing"], []]);
  });

  it("keeps only what the answer to an abandoned call needs, and limits that too", async () => {
    const { client, guest, ignored } = setUp();
    const ids: bigint[] = [];
    const nothing: number[] = [];
    const giveUp = async (index: number): Promise<WeakRef<object>> => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const given = client.request("start", "c1", {}, controller.signal, () => ({
        onMade: () => {},
        onNothing: () => nothing.push(index),
      }));
      ids.push((await guest.next()).id);
      controller.abort(reason);
      const { code } = (await given.catch((error: unknown) => error)) as GcsError;
      expect(code).toBe("Cancelled");
      return new WeakRef(controller.signal);
    };
    const kept: WeakRef<object>[] = [];
    for (let index = 0; index < 1034; index++) kept.push(await giveUp(index));
    expect(nothing).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // The last call's signal may still be on the stack. What was looked at lives until its job ends, so that takes turns.
    for (let turn = 0; turn < 5; turn++) {
      await new Promise(setImmediate);
      collectGarbage();
    }
    expect(kept.filter((each) => each.deref() !== undefined).length).toBeLessThanOrEqual(1);
    // All of them are answered after all, including those that were forgotten.
    for (const id of ids) guest.send(response(2), id, { Result: 0 });
    const next = client.request("start", "c2", {});
    guest.send(response(2), (await guest.next()).id, { Result: 0 });
    expect(await next).toEqual({});
    expect(ignored).toEqual(ids.slice(0, 10).map((id) => `late answer to message id ${id}`));
    await client.close();
  });

  it("sends nothing for a caller that has already left, and names an expired deadline", async () => {
    const { client, guest } = setUp();
    await expect(client.request("start", "c1", {}, AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
    const passed = AbortSignal.abort(new DOMException("too slow", "TimeoutError"));
    await expect(client.request("start", "c1", {}, passed)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    const sent = client.request("shutdownForced", "c1", {});
    const first = await guest.next();
    expect(first.type).toBe(messageType("request", 4));
    guest.send(response(4), first.id, { Result: 0 });
    await sent;
    await client.close();
  });

  it("refuses a request that exceeds a frame, and goes on", async () => {
    const { client, guest } = setUp({ maxMessageSize: 200 });
    const big = { ContainerConfig: "x".repeat(200) };
    await expect(client.request("create", "c1", big)).rejects.toMatchObject({ code: "ResourceExhausted" });
    const small = client.request("start", "c1", {});
    guest.send(response(2), (await guest.next()).id, { Result: 0 });
    expect(await small).toEqual({});
    await client.close();
  });

  it("passes on notifications of known types and ignores others", async () => {
    const { client, guest, notifications, ignored } = setUp();
    guest.send(0x30100901, 0n, {});
    guest.send(containerNotificationType, 0n, { ContainerId: "c1", Type: "Invented" });
    guest.send(containerNotificationType, 0n, { ContainerId: "c1", Type: "ForcedExit", Operation: "None", Result: -1 });
    const answer = client.request("start", "c1", {});
    guest.send(response(2), (await guest.next()).id, { Result: 0 });
    await answer;
    expect(notifications).toEqual([
      { containerId: "c1", activityId: "", type: "ForcedExit", operation: "None", result: 0xffffffff },
    ]);
    expect(ignored).toHaveLength(2);
    await client.close();
  });

  it.each<[string, (guest: RawPeer) => void, string]>([
    ["a response of another type", (guest) => guest.send(response(3), 1n, { Result: 0 }), "expected 0x20100601"],
    ["a request", (guest) => guest.request(1, 1n, {}), "expected a response or a notification"],
    ["an unknown kind", (guest) => guest.send(0x70000000, 1n, {}), "message type 0x70000000"],
    ["too great a size", (guest) => guest.sendHeader(response(6), 0xffffffff, 1n), "frame of 4294967295 bytes"],
    ["too small a size", (guest) => guest.sendHeader(response(6), 15, 1n), "frame of 15 bytes"],
    [
      "invalid JSON",
      (guest) => guest.stream.write(encodeFrame({ type: response(6), id: 1n, body: Buffer.from("{oops") })),
      "must be a JSON object",
    ],
    ["JSON that is no object", (guest) => guest.send(response(6), 1n, [1]), "must be a JSON object, got a list"],
    [
      "a notification without fields",
      (guest) => guest.send(containerNotificationType, 0n, {}),
      "Type must be a string",
    ],
    ["the end inside a header", (guest) => guest.stream.end(Buffer.alloc(7)), "inside a frame"],
    [
      "the end inside a body",
      (guest) => {
        guest.sendHeader(response(6), 100, 1n);
        guest.stream.end();
      },
      "inside a frame",
    ],
    ["the end", (guest) => guest.stream.end(), "the peer closed the connection"],
    ["a broken connection", (guest) => guest.stream.destroy(), "the peer closed the connection"],
  ])("fails every waiter once with the cause on %s", async (_name, act, message) => {
    const { client, guest } = setUp();
    const calls = ["c1", "c2", "c3"].map((id) => client.request("waitForProcess", id, wait));
    const outcomes = Promise.allSettled(calls);
    for (const _ of calls) await guest.next();
    act(guest);
    const cause = await client.closed;
    expect(cause?.message).toContain(message);
    for (const [index, outcome] of (await outcomes).entries()) {
      expect(outcome).toMatchObject({
        status: "rejected",
        reason: { code: "Unavailable", gone: true, cause, containerId: `c${index + 1}`, procedure: "waitForProcess" },
      });
    }
    await expect(client.request("start", "c1", {})).rejects.toMatchObject({ code: "Unavailable", gone: true, cause });
  });

  it("drops answers to requests of an earlier bridge, which a guest sends over the current one", async () => {
    const { client, guest, ignored } = setUp({ firstId: 1n << 40n });
    const answer = client.request("waitForProcess", "c1", wait);
    const { id } = await guest.next();
    expect(id).toBe(1n << 40n);
    for (const stray of [7n, id - 1n, id + 1n]) guest.send(response(6), stray, { Result: 0, ExitCode: 9 });
    guest.send(response(6), id, { Result: 0, ExitCode: 42 });
    expect(await answer).toEqual({ ExitCode: 42 });
    expect(ignored).toEqual(
      [7n, id - 1n, id + 1n].map((stray) => `answer to message id ${stray}, which was not sent over this bridge`),
    );
    await client.close();
  });

  it("treats a second answer to its own request as a protocol error", async () => {
    const { client, guest } = setUp();
    const answer = client.request("waitForProcess", "c1", wait);
    const { id } = await guest.next();
    for (const _ of [1, 2]) guest.send(response(6), id, { Result: 0, ExitCode: 42 });
    expect(await answer).toEqual({ ExitCode: 42 });
    expect((await client.closed)?.message).toContain(`message id ${id}, which is not pending`);
  });

  it("treats too many such answers as a protocol error", async () => {
    const { client, guest, ignored } = setUp();
    for (let count = 0; count <= 1000; count++) guest.send(response(6), 99n, { Result: 0, ExitCode: 9 });
    expect((await client.closed)?.message).toContain("message id 99, which is not pending");
    expect(ignored).toHaveLength(1000);
  });

  it("ends once when closed on purpose", async () => {
    const { client } = setUp();
    const call = client.request("start", "c1", {});
    const rejected = expect(call).rejects.toMatchObject({ code: "Unavailable", gone: true });
    await Promise.all([client.close(), client.close()]);
    await rejected;
    expect(await client.closed).toBeUndefined();
  });

  it("ends at once on a stream that has already ended", async () => {
    const [host] = duplexPair();
    host.destroy();
    expect(await clientOn(host).client.closed).toMatchObject({ code: "Unavailable" });
  });

  it("ends with the cause when the connection fails", async () => {
    const [host] = duplexPair();
    const { client } = clientOn(host);
    host.destroy(new Error("reset"));
    expect(await client.closed).toMatchObject({ message: "GCS: the connection failed: reset" });
  });

  it("refuses a guest of another protocol version", async () => {
    const { client, guest } = setUp();
    const negotiated = client.negotiate();
    guest.send(response(11), (await guest.next()).id, { Result: 0, Version: 5 });
    await expect(negotiated).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining("version 5"),
    });
    await client.close();
  });

  it("settles every waiter whatever bytes the guest sends", async () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      fc
        .record({
          type: fc.constantFrom(response(6), response(2), containerNotificationType, 0x10100101),
          id: fc.constantFrom(0n, 1n, 2n, 3n),
          body: fc.oneof(
            fc.jsonValue().map((value) => JSON.stringify(value)),
            fc.constantFrom('{"Result":0,"ExitCode":1}', '{"Result":-1}', "", "{"),
          ),
        })
        .map(({ type, id, body }) => encodeFrame({ type, id, body: Buffer.from(body) })),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(junk, { maxLength: 6 }), async (pieces) => {
        const { client, guest } = setUp({ maxMessageSize: 256 });
        const calls = [1, 2, 3].map((n) => client.request("waitForProcess", `c${n}`, wait));
        const outcomes = Promise.allSettled(calls);
        for (const piece of pieces) guest.stream.write(piece);
        guest.stream.end();
        const cause = await client.closed;
        expect(cause).toBeInstanceOf(GcsError);
        for (const outcome of await outcomes) {
          if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(GcsError);
          else expect(outcome.value.ExitCode).toBe(1);
        }
      }),
      { numRuns: 200 },
    );
  });
});
