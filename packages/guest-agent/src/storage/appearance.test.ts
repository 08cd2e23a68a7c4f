import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { waitForAppearance } from "./appearance.ts";

describe("waiting for a device", () => {
  const never = new AbortController().signal;

  it("ends when the device appears, however long that takes", async () => {
    const asked: string[] = [];
    let waited = 0;
    await waitForAppearance("/dev/scsi/0/1", never, {
      exists: (path) => asked.push(path) > 60_000,
      pause: async (milliseconds) => {
        waited += milliseconds;
      },
    });
    expect(new Set(asked)).toEqual(new Set(["/dev/scsi/0/1"]));
    expect(waited).toBe(600_000);
  });

  it("ends when the host disconnects", async () => {
    const gone = AbortSignal.abort(new Error("gone"));
    const waiting = waitForAppearance("/dev/scsi/0/1", gone, {
      exists: () => false,
      pause: (milliseconds, signal) => delay(milliseconds, undefined, { signal }),
    });
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  });
});
