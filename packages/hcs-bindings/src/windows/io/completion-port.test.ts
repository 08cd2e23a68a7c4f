import { once } from "node:events";
import { beforeEach, expect, it } from "vitest";
import { ntStatus } from "../../testing/windows/fake-io.ts";
import { FakeStreams } from "../../testing/windows/fake-streams.ts";
import type { Completion, CompletionPort } from "./completion-port.ts";

const pending = 997;
const aborted = 995;
const never = (): void => expect.unreachable();

let fake: FakeStreams;
let port: CompletionPort;
let handle: bigint;
/** Expected result of the call. */
let outcome: Completion | undefined;

beforeEach(() => {
  fake = new FakeStreams();
  port = fake.openPort();
  handle = fake.io.open("handle");
  port.attach(handle);
  outcome = undefined;
});

function begin(structure: Buffer): number {
  return fake.io.begin(handle, structure, () => outcome) ? 0 : fake.io.lastError;
}

function happens(completion: Completion): void {
  outcome = completion;
  fake.io.settle();
}

it("reports each completion once, through the port or not", async () => {
  const operation = port.operation(handle);
  for (const atOnce of [true, false]) {
    fake.io.atOnce = atOnce;
    for (const waits of [false, true]) {
      outcome = waits ? undefined : { status: 0, transferred: 7 };
      const { promise, resolve } = Promise.withResolvers<Completion>();
      expect(operation.start(begin, resolve)).toBe(0);
      expect(operation.pending).toBe(true);
      if (waits) happens({ status: 0, transferred: 7 });
      expect(await promise).toEqual({ status: 0, transferred: 7 });
      expect(operation.pending).toBe(false);
    }
  }
  await port.close();
});

it("returns the error of a call that was not started, and reports nothing later", () => {
  const operation = port.operation(handle);
  expect(operation.start(() => 5, never)).toBe(5);
  expect(operation.pending).toBe(false);
});

it("refuses a second call with a structure that is in use", async () => {
  const operation = port.operation(handle);
  const { promise, resolve } = Promise.withResolvers<Completion>();
  operation.start(begin, resolve);
  expect(() => operation.start(begin, resolve)).toThrow(TypeError);
  operation.cancel();
  operation.cancel();
  expect(await promise).toEqual({ status: ntStatus.cancelled, transferred: 0 });
  operation.cancel();
});

it("cancels outstanding calls and waits for them when it closes, and then starts no more", async () => {
  const operation = port.operation(handle);
  const completions: Completion[] = [];
  operation.start(begin, (completion) => completions.push(completion));
  const atOnce = (structure: Buffer): number => {
    return fake.io.begin(handle, structure, () => ({ status: 0, transferred: 1 })) ? 0 : pending;
  };
  port.operation(handle).start(atOnce, (completion) => completions.push(completion));
  const closed = port.close();
  expect(completions).toEqual([]);
  await closed;
  await port.close();
  expect(completions).toContainEqual({ status: ntStatus.cancelled, transferred: 0 });
  expect(completions).toContainEqual({ status: 0, transferred: 1 });
  expect(operation.start(() => pending, never)).toBe(aborted);
  fake.io.close(handle);
  expect(fake.leftovers()).toEqual([]);
});

it("delivers completions to the others if a consumer throws", async () => {
  const uncaught = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const thrown = once(process, "uncaughtException");
  const { promise, resolve } = Promise.withResolvers<Completion>();
  port.operation(handle).start(begin, () => {
    throw new Error("of a consumer");
  });
  port.operation(handle).start(begin, resolve);
  happens({ status: 0, transferred: 1 });
  expect(await promise).toEqual({ status: 0, transferred: 1 });
  expect(await thrown).toMatchObject([{ message: "of a consumer" }, "uncaughtException"]);
  for (const listener of uncaught) process.on("uncaughtException", listener);
  await port.close();
});

it("wakes its thread when the process exits", async () => {
  const operation = port.operation(handle);
  operation.start(begin, () => {});
  const [wake] = process.listeners("exit").slice(-1);
  wake?.call(process, 0);
  while (fake.io.wakes === 0) await new Promise((resolve) => setImmediate(resolve));
  await port.close();
  expect(process.listeners("exit")).not.toContain(wake);
});
