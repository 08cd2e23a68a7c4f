import { describe, expect, it } from "vitest";
import { ContainerBench, layersMount, overlayMount, ownLayout, podLayout } from "../testing/index.ts";
import type { ContainerLayout } from "../types.ts";
import type { PodScratch } from "./options.ts";

const sandboxLayers = { ...layersMount, source: "/snapshots/9" };

function bench(id: string, podScratch?: PodScratch, layout: ContainerLayout = podLayout): ContainerBench {
  const made = new ContainerBench(undefined, { id, layout, ...(podScratch && { podScratch }) });
  made.files.kinds.set("/snapshots/9/sandbox.vhdx", "file");
  return made;
}

const scratchOf = ({ disks, guest }: ContainerBench) => [
  disks.requests.at(-1)?.disk.hostPath,
  guest.settings.at(-1)?.ScratchDirPath.replace(/.*\/scratch\//, ""),
];

describe("the scratch disk of a pod", () => {
  it("is that of its sandbox container, with a directory for each container", async () => {
    const podScratch: PodScratch = {};
    const sandbox = await bench("p1", podScratch).created([sandboxLayers]);
    const workload = await bench("c1", podScratch).created([layersMount]);
    expect(scratchOf(sandbox)).toEqual(["/snapshots/9/sandbox.vhdx", "p1/p1"]);
    expect(scratchOf(workload)).toEqual(["/snapshots/9/sandbox.vhdx", "p1/c1"]);
    expect(workload.warnings).toEqual([]);
    await workload.controller.delete();
    expect(workload.leftovers).toEqual([]);
  });

  it("is shared only on request", async () => {
    expect(scratchOf(await bench("c1").created([layersMount]))[0]).toBe("/snapshots/3/sandbox.vhdx");
  });

  it("is not shared, with a warning, if no sandbox container has one", async () => {
    const podScratch: PodScratch = {};
    await bench("p1", podScratch).created([overlayMount]);
    const workload = await bench("c1", podScratch).created([layersMount]);
    expect(scratchOf(workload)[0]).toBe("/snapshots/3/sandbox.vhdx");
    expect(workload.warnings).toEqual([
      "option share_scratch has no effect: the pod has no sandbox container with a scratch disk",
    ]);
  });

  it("is not shared if the guest empties its folder with its container, as with a policy and no sandbox", async () => {
    const podScratch: PodScratch = {};
    await bench("p1", podScratch, ownLayout).created([sandboxLayers]);
    const workload = await bench("c1", podScratch, ownLayout).created([layersMount]);
    expect(scratchOf(workload)[0]).toBe("/snapshots/3/sandbox.vhdx");
  });

  it("does not affect containers without a scratch disk", async () => {
    const workload = await bench("c1", { hostPath: "/snapshots/9/sandbox.vhdx" }).created([overlayMount]);
    expect(workload.disks.requests).toEqual([]);
    expect(workload.warnings).toEqual([]);
  });
});
