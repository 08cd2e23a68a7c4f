import { duplexPair } from "node:stream";
import { describe, expect, expectTypeOf, it } from "vitest";
import { answerBounds, notificationBounds } from "./bounds.ts";
import { type ContainerNotification, type Procedure, procedures, type ResponseBody } from "./index.ts";
import { clientOn, RawPeer } from "./testing/support.ts";
import { containerNotificationType, encodeFrame, messageType } from "./wire.ts";

const mebibyte = 1024 * 1024;
const exit = { ContainerId: "c1", Type: "ForcedExit", Operation: "None", Result: 0 };

function setUp() {
  const [host, guest] = duplexPair();
  return { ...clientOn(host), guest: new RawPeer(guest) };
}

const nested = (depth: number): unknown => (depth === 0 ? 0 : [nested(depth - 1)]);
const fields = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, 0]));
const emptyObjects = (count: number): object[] => Array.from({ length: count }, () => ({}));

describe("what a guest answers", () => {
  const wait = { ProcessId: 7, TimeoutInMs: 1 };

  it.each<[string, object, string]>([
    ["a long body", { ErrorMessage: "x".repeat(256 * 1024) }, "body of 262187 bytes, expected at most 262144"],
    ["many levels", { Surplus: nested(9) }, "expected at most 8 levels"],
    ["many fields", fields(5_000), "expected at most 4096 fields"],
    ["many elements", { Surplus: emptyObjects(513) }, "expected at most 512 list elements"],
  ])("fails its own request alone with %s", async (_what, surplus, message) => {
    const { client, guest } = setUp();
    const bad = client.request("waitForProcess", "c1", wait);
    const good = client.request("waitForProcess", "c2", wait);
    const [first, second] = [await guest.next(), await guest.next()];
    guest.send(messageType("response", 6), first.id, { Result: 0, ExitCode: 1, ...surplus });
    guest.send(messageType("response", 6), second.id, { Result: 0, ExitCode: 42 });
    await expect(bad).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining(`GCS waitForProcess c1: invalid answer from the guest: ${message}`),
      gone: false,
    });
    expect(await good).toEqual({ ExitCode: 42 });
    await client.close();
  });

  it("may list as many processes as Linux has by default", async () => {
    const { client, guest } = setUp();
    const ProcessList = Array.from({ length: 32_768 }, (_, index) => ({ ProcessId: 4_000_000 + index }));
    const Properties = JSON.stringify({ ProcessList });
    const answer = client.request("getProperties", "c1", { Query: "" });
    guest.send(messageType("response", 9), (await guest.next()).id, { Result: 0, Properties });
    expect(await answer).toEqual({ Properties });
    await client.close();
  });

  it.each(Object.keys(procedures) as Procedure[])("is limited to 2 MiB at most: %s", (procedure) => {
    expect(answerBounds[procedure].length).toBeLessThanOrEqual(2 * mebibyte);
  });

  it("is ignored unread if it belongs to no request of this bridge", async () => {
    const { client, guest, ignored } = setUp();
    guest.send(messageType("response", 9), 99n, { Result: 0, Properties: "x".repeat(mebibyte) });
    const answer = client.request("start", "c1", {});
    guest.send(messageType("response", 2), (await guest.next()).id, { Result: 0 });
    expect(await answer).toEqual({});
    expect(ignored).toEqual(["answer to message id 99, which was not sent over this bridge"]);
    await client.close();
  });

  it("has no unchecked part", () => {
    expectTypeOf<Undeclared<ResponseBody<Procedure> | ContainerNotification>>().toBeNever();
    // The check itself finds unchecked parts.
    expectTypeOf<Undeclared<{ readonly a: readonly { readonly b?: unknown }[] }>>().not.toBeNever();
    expectTypeOf<Undeclared<{ readonly a: object }>>().not.toBeNever();
    expectTypeOf<Undeclared<{ readonly a: { readonly [name: string]: string } }>>().not.toBeNever();
    expect(Object.keys(answerBounds)).toEqual(Object.keys(procedures));
  });
});

describe("what a guest notifies of", () => {
  it.each<[string, object, string]>([
    ["empty objects", { Surplus: emptyObjects(mebibyte) }, "bytes, expected at most 16384"],
    ["a few empty objects", { Surplus: emptyObjects(33) }, "expected at most 32 list elements"],
    ["many fields", fields(30), "expected at most 32 fields"],
    ["many levels", { Surplus: nested(4) }, "expected at most 4 levels"],
    ["a long id", { ContainerId: "c".repeat(257) }, "ContainerId must be a string of at most 256 characters"],
    ["a long activity", { ActivityId: "a".repeat(65) }, "ActivityId must be a string of at most 64 characters"],
    ["a long operation", { Operation: "o".repeat(65) }, "Operation must be a string of at most 64 characters"],
  ])("ends the bridge if it has %s, as malformed messages do", async (_what, surplus, message) => {
    const { client, guest, notifications } = setUp();
    const call = client.request("start", "c1", {}).catch((error: unknown) => error);
    guest.send(containerNotificationType, 0n, { ...exit, ...surplus });
    expect((await client.closed)?.message).toContain(message);
    expect(await call).toMatchObject({ code: "Unavailable", gone: true });
    expect(notifications).toEqual([]);
  });

  it("may have fields that guests of other versions add", async () => {
    const { client, guest, notifications } = setUp();
    const surplus = { ResultInfo: "x".repeat(8192), New: { Fields: fields(16), List: emptyObjects(16) } };
    guest.send(containerNotificationType, 0n, { ...exit, ...surplus });
    await expect.poll(() => notifications).toMatchObject([{ containerId: "c1", type: "ForcedExit" }]);
    expect(notificationBounds.length).toBeLessThan(mebibyte);
    await client.close();
  });
});

describe("a guest that sends one message after the other", () => {
  it("has at most one chunk handled before other work that is ready", async () => {
    const { client, guest, notifications } = setUp();
    const one = encodeFrame({ type: containerNotificationType, id: 0n, body: Buffer.from(JSON.stringify(exit)) });
    const perChunk = 700;
    const chunk = Buffer.concat(Array.from({ length: perChunk }, () => one));
    const chunks = 20;
    for (let sent = 0; sent < chunks; sent += 1) guest.stream.write(chunk);
    const takenByTurn: number[] = [];
    while (notifications.length < chunks * perChunk) {
      const before = notifications.length;
      await new Promise((resolve) => setImmediate(resolve));
      takenByTurn.push(notifications.length - before);
    }
    expect(Math.max(...takenByTurn)).toBeLessThanOrEqual(perChunk);
    await client.close();
  });

  it("is heard to the end before its close counts", async () => {
    const { client, guest, notifications } = setUp();
    const one = encodeFrame({ type: containerNotificationType, id: 0n, body: Buffer.from(JSON.stringify(exit)) });
    guest.stream.end(Buffer.concat(Array.from({ length: 1_000 }, () => one)));
    expect((await client.closed)?.message).toContain("the peer closed the connection");
    expect(notifications).toHaveLength(1_000);
  });
});

/** The parts of a type that may hold anything. */
type Undeclared<T> = T extends string | number | boolean | undefined
  ? never
  : unknown extends T
    ? T
    : T extends readonly (infer Element)[]
      ? Undeclared<Element>
      : string extends keyof T
        ? T
        : [keyof T] extends [never]
          ? // Two types have no fields: `{}`, the body of a message without any, and `object`, which may be anything.
            string extends T
            ? never
            : T
          : { readonly [Name in keyof T]-?: Undeclared<T[Name]> }[keyof T];
