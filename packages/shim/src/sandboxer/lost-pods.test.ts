import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type LostPodsOptions, lostPodOf } from "./lost-pods.ts";

let bundle: string;
beforeEach(() => {
  bundle = mkdtempSync(path.join(tmpdir(), "lost-pod-"));
  writeFileSync(path.join(bundle, "tasks"), "c1\nc2\n");
});
afterEach(() => rmSync(bundle, { recursive: true, force: true }));

function lost(options: Partial<LostPodsOptions>) {
  const name = { namespace: "k8s.io", id: "s1" };
  return lostPodOf(
    { name, bundle, state: undefined, createdAt: new Date(0), tasks: ["c1", "c2"] },
    {
      ...{ log: { log: () => {} }, clock: systemClock, cleanUp: async () => {} },
      ...{ removeDeadSocket: async () => {}, record: async () => {}, lostWith: "it" },
      ...{ connectEvents: () => Promise.reject(new Error("nobody is there")) },
      ...options,
    },
  );
}

it("tells the exits of its tasks, once each, to a containerd that comes later and hangs up", async () => {
  const told: string[] = [];
  let dials = 0;
  const pod = lost({
    connectEvents: async () => {
      dials += 1;
      if (dials < 3) throw new Error("connection refused");
      return {
        forward: async ({ topic }) => {
          if (dials === 3 && told.length === 1) throw new Error("the connection is lost");
          told.push(topic);
        },
        close: () => {},
      };
    },
  });
  await pod.ended;
  expect(told).toEqual(["/tasks/exit", "/tasks/exit"]);
  expect(dials).toBe(4);
  expect(readFileSync(path.join(bundle, "tasks"), "utf8")).toBe("");
});

it("is ended although nobody takes its exits, which the next sandboxer tells", async () => {
  let isTimeOver = false;
  let cleanedUp = 0;
  const clock = {
    ...{ now: () => systemClock.now() },
    delay: async (milliseconds: number, signal?: AbortSignal) => {
      // The time for telling them, and none of the delays between attempts.
      if (milliseconds < 60_000) return await systemClock.delay(0, signal);
      isTimeOver = true;
    },
  } as LostPodsOptions["clock"];
  const pod = lost({
    clock,
    cleanUp: async () => {
      cleanedUp += 1;
    },
  });
  await pod.ended;
  expect(isTimeOver).toBe(true);
  expect(cleanedUp).toBe(1);
  expect(readFileSync(path.join(bundle, "tasks"), "utf8")).toBe("c1\nc2\n");
  await pod.forget();
  expect(cleanedUp).toBe(1);
});
