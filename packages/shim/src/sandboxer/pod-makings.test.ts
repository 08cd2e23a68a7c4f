import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { SandboxerBench } from "../testing/sandboxer-bench.ts";
import { PodMakings } from "./pod-makings.ts";

/** Pods by their ids, and which of them may be made, in that order. */
function bench({ most = 1 } = {}) {
  const clock = new ManualClock();
  const makings = new PodMakings({ clock, most });
  const begun: string[] = [];
  const name = (id: string) => ({ namespace: "k8s.io", id });
  const begin = async (id: string, signal?: AbortSignal): Promise<void> => {
    await makings.begin(name(id), signal);
    begun.push(id);
  };
  return {
    ...{ clock, makings, begun, begin },
    /** Asks for them one after the other, and lets what can happen happen. */
    ask: async (...ids: readonly string[]) => {
      for (const id of ids) void begin(id);
      await clock.advance(0);
    },
    settle: (id: string) => makings.settle(name(id)),
    end: async (id: string) => {
      makings.end(name(id));
      await clock.advance(0);
    },
  };
}

describe("the pods that are being made", () => {
  it("are all there are while no container is used", async () => {
    const { begun, ask } = bench();
    await ask("a", "b", "c");
    expect(begun).toEqual(["a", "b", "c"]);
  });

  it("are few while one is used, and the others wait for their turn", async () => {
    const { begun, makings, ask, end } = bench({ most: 2 });
    makings.use();
    await ask("a", "b", "c", "d", "e");
    expect(begun).toEqual(["a", "b"]);
    await end("b");
    await end("b");
    expect(begun).toEqual(["a", "b", "c"]);
    await end("a");
    await end("c");
    expect(begun).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("are all that wait again two seconds after the last use", async () => {
    const { begun, clock, makings, ask } = bench();
    makings.use();
    await ask("a", "b", "c");
    await clock.advance(1_500);
    makings.use();
    await clock.advance(1_999);
    expect(begun).toEqual(["a"]);
    await clock.advance(1);
    expect(begun).toEqual(["a", "b", "c"]);
  });

  it("give way half a second after they run, or as soon as a container does", async () => {
    const { begun, clock, makings, ask, settle, end } = bench();
    makings.use();
    await ask("a", "b", "c");
    settle("a");
    await clock.advance(499);
    expect(begun).toEqual(["a"]);
    await clock.advance(1);
    expect(begun).toEqual(["a", "b"]);
    settle("b");
    await end("b");
    expect(begun).toEqual(["a", "b", "c"]);
    // What would have ended b's turn ends no other.
    await ask("b");
    await end("c");
    makings.use();
    await ask("d");
    await clock.advance(500);
    expect(begun).toEqual(["a", "b", "c", "b"]);
  });

  it("do not wait for ever for one that hangs", async () => {
    const { begun, clock, makings, ask } = bench();
    makings.use();
    await ask("hangs", "next");
    for (let second = 1; second < 5; second++) {
      await clock.advance(1_000);
      makings.use();
    }
    expect(begun).toEqual(["hangs"]);
    await clock.advance(1_000);
    expect(begun).toEqual(["hangs", "next"]);
  });

  it("are not those whose caller has given up", async () => {
    const { begun, makings, ask, begin, end } = bench();
    makings.use();
    await ask("a");
    const giver = new AbortController();
    const given = expect(begin("b", giver.signal)).rejects.toThrow("no longer");
    await ask("c");
    giver.abort(new Error("no longer"));
    await given;
    await end("a");
    expect(begun).toEqual(["a", "c"]);
    await expect(begin("d", giver.signal)).rejects.toThrow("no longer");
  });

  it("hold nobody up by a name that is used twice", async () => {
    const { begun, makings, ask } = bench();
    makings.use();
    await ask("a", "a");
    expect(begun).toEqual(["a", "a"]);
  });
});

describe("a sandboxer", () => {
  const { Task } = containerd.task.v3;

  it("makes pods one after another while there are execs, each until its container runs", async () => {
    const served = new SandboxerBench();
    served.makings = new PodMakings({ clock: new ManualClock(), most: 1 });
    await served.open();
    try {
      const bundle = path.join(served.directory, "bundle");
      mkdirSync(bundle);
      writeFileSync(path.join(bundle, "config.json"), JSON.stringify({ process: { args: ["true"] } }));
      const order: string[] = [];
      const start = async (id: string): Promise<void> => {
        const { address } = (await served.call("Start", { sandboxId: id })) as { address: string };
        order.push(`${id} runs`);
        const client = served.connect(address);
        await client.call(Task, "Create", { id: `c-${id}`, bundle });
        order.push(`its container is made`);
        await client.call(Task, "Start", { id: `c-${id}` });
        if (id !== "first") return;
        const spec = { type_url: "process", value: Buffer.from(JSON.stringify({ args: ["true"], cwd: "/" })) };
        await client.call(Task, "Exec", { id: `c-${id}`, execId: "e", spec });
      };
      await served.call("Create", { sandboxId: "first" });
      await start("first");
      order.length = 0;
      await served.call("Create", { sandboxId: "second" });
      const third = served.call("Create", { sandboxId: "third" }).then(() => order.push("third is created"));
      await start("second");
      await third;
      expect(order).toEqual(["second runs", "its container is made", "third is created"]);
    } finally {
      await served.close();
    }
  });

  it("makes the next pod when one fails or is shut down", async () => {
    const served = new SandboxerBench();
    served.makings = new PodMakings({ clock: new ManualClock(), most: 1 });
    await served.open();
    try {
      served.makings.use();
      await served.call("Create", { sandboxId: "first" });
      const second = served.call("Create", { sandboxId: "second", netnsPath: "/run/netns/x" });
      await served.call("Shutdown", { sandboxId: "first" });
      await second;
      const refused = served.call("Create", { sandboxId: "../third" });
      await expect(refused).rejects.toMatchObject({ code: "InvalidArgument" });
      const fourth = served.call("Create", { sandboxId: "fourth" });
      await served.call("Shutdown", { sandboxId: "second" });
      await fourth;
    } finally {
      await served.close();
    }
  });
});
