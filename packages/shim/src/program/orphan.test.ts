import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { expect, it } from "vitest";
import { endWhenOrphaned } from "./orphan.ts";

it("ends a shim only if it is idle in two consecutive checks", async () => {
  const clock = new ManualClock();
  const services = { isIdle: false };
  const stop = new AbortController();
  const ended: string[] = [];
  const end = (reason: string): void => {
    ended.push(reason);
    stop.abort(new Error("ended"));
  };
  const watching = endWhenOrphaned(services, 60_000, clock, stop.signal, end);
  await clock.advance(60_000);
  services.isIdle = true;
  await clock.advance(60_000);
  expect(ended).toEqual([]);
  await clock.advance(60_000);
  expect(ended).toEqual(["no client has created a sandbox or task"]);
  await watching;
  expect(clock.sleepers).toBe(0);
});
