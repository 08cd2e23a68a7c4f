import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MessageQueue } from "./message-queue.ts";
import { TtrpcError } from "./status.ts";
import { startTimer } from "./timer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function makeQueue(mostBytes = 1000) {
  const stalls: TtrpcError[] = [];
  let released = 0;
  const queue = new MessageQueue<string>({
    decode: (payload) => {
      if (payload.length === 0) throw new TtrpcError("InvalidArgument", "empty");
      return Buffer.from(payload).toString();
    },
    mostBytes,
    stallMs: 1000,
    onStalled: (error) => {
      stalls.push(error);
      queue.end(error);
    },
    onReleased: () => {
      released += 1;
    },
  });
  return { queue, stalls, released: () => released };
}

const message = (text: string) => Buffer.from(text);

describe("MessageQueue", () => {
  it("delivers the messages that came before the end, then the error", async () => {
    const { queue, released } = makeQueue();
    expect(queue.push(message("a"))).toBeUndefined();
    queue.end(new TtrpcError("Aborted", "first"));
    queue.end(new TtrpcError("Aborted", "second"));
    expect(queue.push(message("late"))).toBeUndefined();
    const reader = queue[Symbol.asyncIterator]();
    expect(await reader.next()).toEqual({ value: "a", done: false });
    await expect(reader.next()).rejects.toMatchObject({ message: "first" });
    expect(await reader.next()).toMatchObject({ done: true });
    expect(released()).toBe(1);
  });

  it("wakes a waiting reader", async () => {
    const { queue } = makeQueue();
    const reader = queue[Symbol.asyncIterator]();
    const first = reader.next();
    queue.push(message("a"));
    expect(await first).toMatchObject({ value: "a" });
    const last = reader.next();
    queue.end();
    expect(await last).toMatchObject({ done: true });
  });

  it.each([
    ["64 messages", 1000, Array.from({ length: 64 }, () => message("x"))],
    ["its bytes", 10, [message("12345"), message("67890")]],
  ])("holds the connection at %s until one is read", async (_what, mostBytes, messages) => {
    const { queue, stalls } = makeQueue(mostBytes);
    const holds = messages.map((payload) => queue.push(payload));
    expect(holds.slice(0, -1).every((hold) => hold === undefined)).toBe(true);
    await queue[Symbol.asyncIterator]().next();
    await holds.at(-1);
    vi.advanceTimersByTime(5000);
    expect(stalls).toEqual([]);
  });

  it("reports a reader that blocks the connection for too long, and lets the connection continue", async () => {
    const { queue, stalls } = makeQueue(1);
    const hold = queue.push(message("a"));
    vi.advanceTimersByTime(999);
    expect(stalls).toEqual([]);
    vi.advanceTimersByTime(1);
    await hold;
    expect(stalls).toMatchObject([{ code: "ResourceExhausted", message: expect.stringContaining("1000 ms") }]);
  });

  it("lets the connection continue when its reader leaves or cannot decode a message", async () => {
    const left = makeQueue(1);
    const first = left.queue.push(message("a"));
    for await (const value of left.queue) {
      expect(value).toBe("a");
      await first;
      left.queue.push(message("b"));
      break;
    }
    const hold = left.queue.push(message("c"));
    expect(hold).toBeUndefined();
    expect(left.released()).toBe(1);

    const broken = makeQueue();
    broken.queue.push(message(""));
    await expect(broken.queue[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "InvalidArgument" });
    expect(broken.released()).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("startTimer", () => {
  it("waits for longer than one timer can", () => {
    const elapsed = vi.fn();
    startTimer(2 ** 32, elapsed);
    vi.advanceTimersByTime(2 ** 32 - 1);
    expect(elapsed).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(elapsed).toHaveBeenCalledOnce();
  });

  it("can be stopped at any time", () => {
    const elapsed = vi.fn();
    const stop = startTimer(2 ** 32, elapsed);
    vi.advanceTimersByTime(2 ** 31 + 1);
    stop();
    stop();
    vi.advanceTimersByTime(2 ** 32);
    expect(elapsed).not.toHaveBeenCalled();
  });
});
