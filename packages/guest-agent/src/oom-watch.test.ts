import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { OomWatch } from "./oom-watch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("tells of kills since it was made, each time that it sees more", () => {
  let count = 3;
  let told = 0;
  const watch = new OomWatch(
    () => count,
    () => void told++,
  );
  vi.advanceTimersByTime(2000);
  expect(told).toBe(0);
  count = 5;
  vi.advanceTimersByTime(500);
  expect(told).toBe(1);
  vi.advanceTimersByTime(2000);
  expect(told).toBe(1);
  count = 6;
  watch.check();
  expect(told).toBe(2);
  count = 7;
  watch.stop();
  expect(told).toBe(3);
  count = 8;
  vi.advanceTimersByTime(2000);
  expect(told).toBe(3);
});
