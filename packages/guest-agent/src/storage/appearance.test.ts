import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { waitForAppearance } from "./appearance.ts";

describe("waiting for a device", () => {
  const never = new AbortController().signal;

  it("ends when the device appears, however long that takes", async () => {
    let asked = 0;
    let waited = 0;
    const find = () => (++asked > 60_000 ? "/dev/sda" : undefined);
    const pause = async (milliseconds: number) => {
      waited += milliseconds;
    };
    expect(await waitForAppearance(find, never, pause)).toBe("/dev/sda");
    expect(waited).toBe(600_000);
  });

  it("ends when the host disconnects", async () => {
    const gone = AbortSignal.abort(new Error("gone"));
    const waiting = waitForAppearance(
      () => undefined,
      gone,
      (milliseconds, signal) => delay(milliseconds, undefined, { signal }),
    );
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  });
});
