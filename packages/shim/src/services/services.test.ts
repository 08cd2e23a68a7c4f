import { duplexPair } from "node:stream";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { afterEach, expect, it, vi } from "vitest";
import { containerd } from "../generated/messages.js";
import { FakePlatform } from "../testing/fake-platform.ts";
import { createServices } from "./services.ts";

afterEach(() => void vi.useRealTimers());

it("services leave a caller half a second to read the last answer, unless it hangs up first", async () => {
  vi.useFakeTimers();
  const services = createServices({
    name: "containerd-shim-fake-v2",
    ...{ shimId: "c1", namespace: "ns", bundle: "/bundle", pid: 77, version: "1.2.3", ttrpcAddress: "" },
    runtimeOptions: { typeUrl: "options", value: Uint8Array.of() },
    platform: async () => new FakePlatform(),
    log: { log: () => {} },
    clock: new ManualClock(),
    newActivityId: () => "",
    lingerMilliseconds: 10_000,
    isDispensable: async () => true,
    end: () => {},
    handOver: () => {},
  });
  const connect = (): { readonly client: TtrpcClient; hasEnded: () => boolean } => {
    const [near, far] = duplexPair();
    services.serve(far);
    const client = new TtrpcClient(near);
    let ended = false;
    void client.closed.then(() => {
      ended = true;
    });
    return { client, hasEnded: () => ended };
  };
  const [staying, leaving, silent] = [connect(), connect(), connect()];
  for (const { client } of [staying, leaving]) {
    await client.call(containerd.task.v3.Task, "Shutdown", { id: "c1" });
  }
  const closing = services.close(1000);
  leaving.client.close();
  await vi.advanceTimersByTimeAsync(499);
  expect([staying, leaving, silent].map(({ hasEnded }) => hasEnded())).toEqual([false, true, true]);
  await vi.advanceTimersByTimeAsync(1);
  await closing;
  expect(await staying.client.closed).toBeUndefined();
});
