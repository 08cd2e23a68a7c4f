/** What the clients of one pod may have, and that the others' calls are answered meanwhile. */
import { once } from "node:events";
import net from "node:net";
import type { TtrpcClient } from "@uvm-shim/ttrpc";
import { afterEach, beforeEach, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { SandboxerBench as Bench } from "../testing/sandboxer-bench.ts";

const { Task } = containerd.task.v3;
const { Sandbox } = containerd.runtime.sandbox.v1;
let bench: Bench;
beforeEach(async () => {
  bench = new Bench();
  bench.bounds = { connections: 8, calls: 16, waitingBytes: 100_000 };
  await bench.open();
});
afterEach(() => bench.close());

/** One that misbehaves, and another. */
async function twoPods() {
  const [bad, good] = [await bench.run("bad"), await bench.run("good")] as { address: string }[];
  if (bad === undefined || good === undefined) throw new Error("unreachable");
  return { bad: bad.address, good: bench.connect(good.address) };
}

/** A State that is answered, with the news that there is no such task. */
async function answers(client: TtrpcClient): Promise<void> {
  await expect(client.call(Task, "State", { id: "nobody" })).rejects.toMatchObject({ code: "NotFound" });
}

const lines = (text: string): readonly string[] => bench.lines.filter((line) => line.includes(text));

it("connections beyond the bound are closed, which is said once, and containerd still ends the pod", async () => {
  const { bad, good } = await twoPods();
  const sockets = Array.from({ length: 20 }, () => net.connect(bad.replace("ttrpc+unix://", "")));
  const closed = sockets.map((socket) =>
    once(
      socket.on("error", () => {}),
      "close",
    ),
  );
  await Promise.all(closed.slice(8));
  await answers(good);
  expect(sockets.filter(({ destroyed }) => !destroyed)).toHaveLength(8);
  expect(lines("connections are refused: there are 8, expected no more")).toHaveLength(1);
  expect(await bench.call("Stop", { sandboxId: "bad" })).toEqual({});
  for (const socket of sockets) socket.destroy();
  await expect
    .poll(() =>
      answers(bench.connect(bad)).then(
        () => "answered",
        () => "refused",
      ),
    )
    .toBe("answered");
  expect(lines("connections are accepted again")).toHaveLength(1);
});

it("calls beyond the bound are refused, over all connections", async () => {
  const { bad, good } = await twoPods();
  const clients = [bench.connect(bad), bench.connect(bad)] as const;
  const waiting = Array.from({ length: 16 }, (_, index) =>
    clients[index % 2]?.call(Sandbox, "WaitSandbox", { sandboxId: "bad" }),
  );
  await expect
    .poll(() => clients[0].call(Task, "State", { id: "nobody" }).catch((error) => error.code))
    .toBe("ResourceExhausted");
  await answers(good);
  expect(await bench.call("Status", { sandboxId: "bad" })).toMatchObject({ state: "SANDBOX_READY" });
  await bench.call("Stop", { sandboxId: "bad" });
  await Promise.all(waiting);
  await answers(clients[1]);
});

it("messages beyond the bound are refused", async () => {
  const { bad, good } = await twoPods();
  const client = bench.connect(bad);
  await expect(client.call(Task, "State", { id: "x".repeat(200_000) })).rejects.toMatchObject({
    code: "ResourceExhausted",
  });
  await answers(good);
  await answers(client);
});

it("a pod that gets thousands of calls at once lets another's be answered between them", async () => {
  bench.bounds = undefined;
  bench.begin();
  const { bad, good } = await twoPods();
  let answered = 0;
  const client = bench.connect(bad);
  await answers(client);
  await answers(good);
  const flood = Array.from({ length: 2000 }, () =>
    client.call(Task, "State", { id: "nobody" }).catch(() => {
      answered += 1;
    }),
  );
  await answers(good);
  expect(answered).toBeLessThan(300);
  await Promise.all(flood);
});
