import { type Fault, faultCases, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, layersMount, noStdio, overlayMount, specification } from "./testing/index.ts";
import type { RootfsMount } from "./types.ts";

/** A container with everything: layers, shares and a device, an exec, and its end. What fails on the way is given up. */
async function layersScenario(faults: ReadonlyMap<number, Fault>) {
  const impatient = new AbortController();
  const script = new ScriptedCalls(faults, () => impatient.abort());
  const bench = new ContainerBench(script);
  const mounts = [{ destination: "/data", type: "bind", source: "/data" }];
  const windows = { devices: [{ id: "PCIP\\A/1", idType: "vpci-instance-id" }] };
  return await live(bench, script, impatient, { spec: specification({ mounts, windows }), rootfs: [layersMount] });
}

/** A container whose root the host mounts. */
async function sharedScenario(faults: ReadonlyMap<number, Fault>) {
  const impatient = new AbortController();
  const script = new ScriptedCalls(faults, () => impatient.abort());
  const bench = new ContainerBench(script);
  return await live(bench, script, impatient, { spec: specification(), rootfs: [overlayMount] });
}

async function live(
  bench: ContainerBench,
  script: ScriptedCalls,
  impatient: AbortController,
  { spec, rootfs }: { readonly spec: unknown; readonly rootfs: readonly RootfsMount[] },
) {
  const { controller } = bench;
  const { signal } = impatient;
  let reached = "nothing";
  try {
    await controller.create({ spec, rootfs, stdio: noStdio }, signal);
    reached = "created";
    await controller.init.start(signal);
    reached = "started";
    const exec = await controller.createProcess(
      { execId: "e", spec: { args: ["ls"], cwd: "/" }, stdio: noStdio },
      signal,
    );
    await exec.start(signal);
    reached = "exec started";
    await exec.kill(9);
    await exec.wait();
    await controller.deleteProcess("e");
    reached = "exec deleted";
  } catch {
    // Whoever gives up ends the container, as the pod does.
  }
  await controller.terminate(signal).catch(() => {});
  await controller.terminate();
  let isVmGone = false;
  // A release that failed is kept for the second time. One that hangs is not the caller's to interrupt: it ends with
  // the VM, as whoever stops the pod ends that.
  for (let round = 0; round < 2; round++) {
    await controller.delete(signal).catch(() => {
      if (!signal.aborted) return;
      isVmGone = true;
      controller.vmExited({ reason: "given up" });
    });
  }
  await controller.delete();
  const exits = await Promise.all(controller.processes().map((process) => process.wait()));
  return { bench, names: script.names, reached, exits, isVmGone };
}

const scenarios = [
  { name: "layers", scenario: layersScenario, ...(await layersScenario(new Map())) },
  { name: "shared directory", scenario: sharedScenario, ...(await sharedScenario(new Map())) },
];

describe.each(scenarios)("a container of $name", ({ scenario, bench: faultless, names, reached, exits: ends }) => {
  it("lives and leaves nothing when no call fails", () => {
    expect({ reached, leftovers: faultless.leftovers }).toEqual({ reached: "exec deleted", leftovers: [] });
    expect(ends).toMatchObject([{ status: 137 }]);
    expect(names.length).toBeGreaterThan(10);
  });

  // Unmounting on the host cannot be interrupted: there is nobody whose end would end it.
  const cases = faultCases(names.length).filter(({ call, fault }) => {
    return names[call] !== "unmountAll" || (fault !== "hang" && fault !== "hangDone");
  });

  it.each(cases)("$fault at call $call leaves nothing and nobody waiting", async ({ call, fault }) => {
    const { bench, exits, isVmGone } = await scenario(new Map([[call, fault]]));
    // What a VM held is gone with it.
    const left = isVmGone ? bench.hostLeftovers : bench.leftovers;
    expect(left).toEqual([]);
    for (const exit of exits) expect([137, 255]).toContain(exit.status);
  });
});
