import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd } from "../../generated/messages.js";
import { FakeError } from "../../testing/fake-platform.ts";
import { Harness } from "../../testing/harness.ts";

const { Sandbox } = containerd.runtime.sandbox.v1;

/** Work that runs until it is cancelled, and then undoes until the test lets it end. */
class HeldWork {
  readonly begun = Promise.withResolvers<void>();
  readonly cancelled = Promise.withResolvers<void>();
  readonly undone = Promise.withResolvers<void>();

  /** Fails like cancelled work. */
  readonly run = async (signal: AbortSignal | undefined): Promise<void> => {
    await this.runToItsEnd(signal);
    throw signal?.reason;
  };

  /** Succeeds although it was cancelled. */
  readonly runToItsEnd = async (signal: AbortSignal | undefined): Promise<void> => {
    this.begun.resolve();
    await new Promise((resolve) => signal?.addEventListener("abort", resolve, { once: true }));
    this.cancelled.resolve();
    await this.undone.promise;
  };
}

/** Whether the promise has settled once another call has been answered. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  promise.then(settle, settle);
  await harness.task("Connect", { id: "c1" });
  return settled;
}

let harness: Harness;
let work: HeldWork;
beforeEach(() => {
  harness = new Harness();
  work = new HeldWork();
});
afterEach(() => harness.close());

const moments: readonly (readonly [string, () => void])[] = [
  [
    "its platform is loaded",
    () => {
      harness.loadPlatform = () => {
        work.begun.resolve();
        // Continues on its own and holds nothing.
        work.cancelled.resolve();
        return new Promise(() => {});
      };
    },
  ],
  [
    "its VM is made",
    () => {
      harness.platform.onCreateSandbox = (_, signal) => work.run(signal);
    },
  ],
  [
    "its VM is made all the same",
    () => {
      harness.platform.onCreateSandbox = async (sandbox, signal) => {
        sandbox.onStart = async (until) => until?.throwIfAborted();
        await work.runToItsEnd(signal);
      };
    },
  ],
  [
    "its VM starts",
    () => {
      harness.platform.onCreateSandbox = async (sandbox) => {
        sandbox.onStart = work.run;
      };
    },
  ],
  [
    "its container is made",
    () => {
      harness.platform.onCreateSandbox = async (sandbox) => {
        sandbox.onCreateContainer = (_, signal) => work.run(signal);
      };
    },
  ],
  [
    "its container is made all the same",
    () => {
      harness.platform.onCreateSandbox = async (sandbox) => {
        sandbox.onCreateContainer = (_, signal) => work.runToItsEnd(signal);
      };
    },
  ],
];

describe("a task whose caller gives up while", () => {
  beforeEach(() => harness.open());

  it.each(moments)("%s is undone before Delete answers, and the shim ends", async (_, prepare) => {
    prepare();
    const creating = harness.createTask("c1");
    creating.catch(() => {});
    await work.begun.promise;
    const deleting = harness.task("Delete", { id: "c1" });
    deleting.catch(() => {});
    await work.cancelled.promise;
    work.undone.resolve();
    await expect(deleting).rejects.toMatchObject({ code: "NotFound", message: "task c1 does not exist" });
    await expect(creating).rejects.toMatchObject({
      code: "Cancelled",
      message: expect.stringMatching(/create (task|sandbox) c1: cancelled: it is being stopped or deleted/),
    });
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual(["shutdown of c1"]);
    expect(harness.platform.sandboxes.map(({ state }) => state)).toEqual(
      harness.platform.sandboxes.map(() => "stopped"),
    );
    expect(harness.events.topics).toEqual([]);
  });

  it.each(moments)("%s is undone before Shutdown ends the shim", async (_, prepare) => {
    prepare();
    const creating = harness.createTask("c1");
    creating.catch(() => {});
    await work.begun.promise;
    const shuttingDown = harness.task("Shutdown", { id: "c1" });
    await work.cancelled.promise;
    work.undone.resolve();
    await shuttingDown;
    expect(harness.ended).toEqual(["shutdown of c1"]);
    await expect(creating).rejects.toMatchObject({ code: "Cancelled" });
    expect(harness.platform.sandboxes.map(({ state }) => state)).toEqual(
      harness.platform.sandboxes.map(() => "stopped"),
    );
  });

  it("its container is created keeps Delete and Shutdown waiting until nothing of it is left", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onStop = () => work.undone.promise;
      sandbox.onCreateContainer = async (_, signal) => {
        work.begun.resolve();
        await new Promise((resolve) => signal?.addEventListener("abort", resolve, { once: true }));
        work.cancelled.resolve();
        throw signal?.reason;
      };
    };
    harness.createTask("c1").catch(() => {});
    await work.begun.promise;
    const deleting = harness.task("Delete", { id: "c1" });
    deleting.catch(() => {});
    const shuttingDown = harness.task("Shutdown", { id: "c1" });
    await work.cancelled.promise;
    expect(await isSettled(deleting)).toBe(false);
    expect(await isSettled(shuttingDown)).toBe(false);
    expect(harness.ended).toEqual([]);
    work.undone.resolve();
    await expect(deleting).rejects.toMatchObject({ code: "NotFound" });
    await shuttingDown;
    expect(harness.ended).toEqual(["shutdown of c1"]);
  });

  it("its VM starts and cannot be undone at first is undone by Shutdown", async () => {
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onStart = work.run;
      sandbox.onStop = async () => {
        if (sandbox.stops === 1) throw new FakeError("Unavailable", "the host does not answer");
      };
    };
    harness.createTask("c1").catch(() => {});
    await work.begun.promise;
    work.undone.resolve();
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    expect(harness.sandbox.state).not.toBe("stopped");
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.sandbox.state).toBe("stopped");
    expect(harness.ended).toEqual(["shutdown of c1"]);
  });

  it("an exec of it is created loses only that exec", async () => {
    await harness.runTask("c1");
    harness.container("c1").onCreateProcess = work.run;
    const spec = { typeUrl: "process", value: Buffer.from('{"args":["sh"],"cwd":"/"}') };
    const making = harness.task("Exec", { id: "c1", execId: "e1", spec });
    making.catch(() => {});
    await work.begun.promise;
    work.undone.resolve();
    await expect(harness.task("Delete", { id: "c1", execId: "e1" })).rejects.toMatchObject({
      code: "NotFound",
      message: "exec e1 of task c1 does not exist",
    });
    await expect(making).rejects.toMatchObject({ code: "Cancelled" });
    expect(await harness.task("State", { id: "c1" })).toMatchObject({ status: 2 });
    harness.container("c1").onCreateProcess = async () => {};
    await harness.task("Exec", { id: "c1", execId: "e1", spec });
  });
});

describe("a sandbox created by CreateSandbox", () => {
  beforeEach(() => harness.open("s1"));

  const createSandbox = () =>
    harness.client.call(Sandbox, "CreateSandbox", { sandboxId: "s1", bundlePath: harness.bundle("s1", undefined) });

  it("outlives a container whose caller gives up, and accepts it again", async () => {
    await createSandbox();
    await harness.client.call(Sandbox, "StartSandbox", { sandboxId: "s1" });
    harness.sandbox.onCreateContainer = (_, signal) => work.run(signal);
    const creating = harness.createTask("c1");
    creating.catch(() => {});
    await work.begun.promise;
    work.undone.resolve();
    await expect(harness.task("Delete", { id: "c1" })).rejects.toMatchObject({ code: "NotFound" });
    await expect(creating).rejects.toMatchObject({ code: "Cancelled" });
    await harness.task("Shutdown", { id: "c1" });
    expect([harness.sandbox.state, harness.ended]).toEqual(["running", []]);
    harness.sandbox.onCreateContainer = async () => {};
    await harness.runTask("c1");
  });

  it("keeps no container that was created although its caller gave up", async () => {
    await createSandbox();
    await harness.client.call(Sandbox, "StartSandbox", { sandboxId: "s1" });
    harness.sandbox.onCreateContainer = (_, signal) => work.runToItsEnd(signal);
    const creating = harness.createTask("c1");
    creating.catch(() => {});
    await work.begun.promise;
    work.undone.resolve();
    await harness.task("Delete", { id: "c1" });
    expect(harness.sandbox.containers()).toEqual([]);
    await creating;
    await harness.topics(2);
  });

  it.each([
    ["and fails", (signal?: AbortSignal) => work.run(signal)],
    ["and is made all the same", (signal?: AbortSignal) => work.runToItsEnd(signal)],
  ])("is cancelled by ShutdownSandbox while it is made %s", async (_, make) => {
    harness.platform.onCreateSandbox = (_, signal) => make(signal);
    createSandbox().catch(() => {});
    await work.begun.promise;
    const shuttingDown = harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId: "s1" });
    await work.cancelled.promise;
    work.undone.resolve();
    await shuttingDown;
    expect(harness.ended).toEqual(["shutdown of sandbox s1"]);
    expect(harness.platform.sandboxes.map(({ state }) => state)).toEqual(
      harness.platform.sandboxes.map(() => "stopped"),
    );
  });

  it("undoes containers whose creation overlaps its shutdown", async () => {
    await createSandbox();
    await harness.client.call(Sandbox, "StartSandbox", { sandboxId: "s1" });
    harness.sandbox.onCreateContainer = (_, signal) => work.run(signal);
    const creating = harness.createTask("c1");
    creating.catch(() => {});
    await work.begun.promise;
    const shuttingDown = harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId: "s1" });
    await work.cancelled.promise;
    expect(await isSettled(shuttingDown)).toBe(false);
    work.undone.resolve();
    await shuttingDown;
    await expect(creating).rejects.toMatchObject({ code: "Cancelled" });
    expect(harness.ended).toEqual(["shutdown of sandbox s1"]);
  });
});

describe("a guest that hangs", () => {
  it("does not keep the shim from undoing its only task", async () => {
    const clock = new ManualClock();
    harness.clock = clock;
    await harness.open();
    harness.platform.onCreateSandbox = async (sandbox) => {
      sandbox.onPing = () => new Promise(() => {});
      sandbox.onStop = async () => work.undone.resolve();
      sandbox.onCreateContainer = (_, signal) => work.run(signal);
    };
    harness.createTask("c1").catch(() => {});
    await work.begun.promise;
    let answer: unknown;
    harness.task("Delete", { id: "c1" }).catch((error: unknown) => {
      answer = error;
    });
    await work.cancelled.promise;
    for (let passed = 0; passed < 3000 && answer === undefined; passed += 500) {
      await clock.advance(500);
      await harness.task("Connect", { id: "c1" });
    }
    await expect.poll(() => answer).toMatchObject({ code: "NotFound" });
    await harness.task("Shutdown", { id: "c1" });
    expect(harness.ended).toEqual(["shutdown of c1"]);
  });
});
