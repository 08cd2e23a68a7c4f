import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { containerd, runtime } from "../generated/messages.js";
import { ClockedHarness } from "../testing/harness.ts";
import { lingerFrom } from "./retirement.ts";

const { Sandbox } = containerd.runtime.sandbox.v1;
const lingerMilliseconds = 10_000;
const ended = ["sandbox s1 has ended and no task is left"];

let harness: ClockedHarness;
beforeEach(async () => {
  harness = new ClockedHarness();
  await harness.open("s1");
});
afterEach(() => harness.close());

/** The options with which containerd's CRI plugin creates a sandbox. */
const podOptions = {
  type_url: "runtime.v1.PodSandboxConfig",
  value: runtime.v1.PodSandboxConfig.encode({ hostname: "pod" }).finish(),
};
const runPod = () => harness.runSandbox("s1", { options: podOptions });
const stopSandbox = () => harness.client.call(Sandbox, "StopSandbox", { sandboxId: "s1" });

async function lingerOnce(): Promise<void> {
  await harness.pass(lingerMilliseconds);
}

describe("the shim of a completed pod", () => {
  it("ends some time after StopSandbox, and answers until then", async () => {
    await runPod();
    await stopSandbox();
    await expect.poll(() => harness.clock.sleepers).toBeGreaterThan(0);
    await harness.clock.advance(lingerMilliseconds - 1);
    const status = await harness.client.call(Sandbox, "SandboxStatus", { sandboxId: "s1" });
    expect([status.state, harness.ended]).toEqual(["SANDBOX_NOTREADY", []]);
    await harness.clock.advance(1);
    await expect.poll(() => harness.ended).toEqual(ended);
  });

  it("waits for the last task to be deleted", async () => {
    await runPod();
    await harness.runMember("t1");
    await stopSandbox();
    await lingerOnce();
    await lingerOnce();
    expect(harness.ended).toEqual([]);
    await harness.task("Delete", { id: "t1" });
    await lingerOnce();
    await expect.poll(() => harness.ended).toEqual(ended);
  });

  it("also ends after its VM has ended by itself, and releases the VM's resources first", async () => {
    await runPod();
    harness.sandbox.end(1);
    await lingerOnce();
    await expect.poll(() => harness.ended).toEqual(ended);
    expect(harness.sandbox.stops).toBe(1);
  });

  it("retries when not everything was released", async () => {
    await runPod();
    harness.sandbox.end(1);
    harness.sandbox.onStop = async () => {
      throw new Error("a disk is busy");
    };
    await lingerOnce();
    await expect.poll(() => harness.sandbox.stops).toBe(1);
    expect(harness.ended).toEqual([]);
    harness.sandbox.onStop = async () => {};
    await lingerOnce();
    await expect.poll(() => harness.ended).toEqual(ended);
  });

  it("stays when only the sandbox container has ended and the VM still runs", async () => {
    await runPod();
    harness.sandbox.lose(137);
    await lingerOnce();
    await lingerOnce();
    expect(harness.ended).toEqual([]);
  });

  it("stays for a containerd that still needs it, and ends when another containerd has replaced that one", async () => {
    harness.isDispensable = false;
    await runPod();
    await stopSandbox();
    await lingerOnce();
    await lingerOnce();
    expect(harness.ended).toEqual([]);
    harness.isDispensable = true;
    await lingerOnce();
    await expect.poll(() => harness.ended).toEqual(ended);
  });

  it("stays for clients other than CRI, which need it to shut down the sandbox", async () => {
    await harness.runSandbox();
    await stopSandbox();
    await harness.clock.advance(10 * lingerMilliseconds);
    expect(harness.ended).toEqual([]);
    await harness.client.call(Sandbox, "ShutdownSandbox", { sandboxId: "s1" });
    expect(harness.ended).toEqual(["shutdown of sandbox s1"]);
  });
});

describe("the linger time", () => {
  const linger = (text: string | undefined) => {
    const warnings: string[] = [];
    const milliseconds = lingerFrom(text, { log: (_level, message) => void warnings.push(message) });
    return { milliseconds, warnings };
  };

  it("is taken from the environment", () => {
    expect(linger("10000")).toEqual({ milliseconds: 10_000, warnings: [] });
    for (const unset of [undefined, ""]) expect(linger(unset)).toEqual({ milliseconds: 30_000, warnings: [] });
  });

  it.each(["0", "-1", "10s", "1e12", "10000000000"])("is not %j, which would make it poll without a pause", (text) => {
    const { milliseconds, warnings } = linger(text);
    expect(milliseconds).toBe(30_000);
    expect(warnings).toEqual([expect.stringContaining(`UVM_SHIM_LINGER_MS is ${text}, expected a whole number`)]);
  });
});
