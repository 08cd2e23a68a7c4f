import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import {
  ContainerBench,
  FakeFiles,
  imageMount,
  layersMount,
  noStdio,
  overlayMount,
  specification,
} from "../testing/index.ts";
import { EarlyMounts } from "./early-mounts.ts";

const directory = "/bundle/rootfs";
const request = { bundle: "/bundle", spec: specification(), rootfs: [overlayMount] };

function begun(script = new ScriptedCalls(), changes: Partial<typeof request> = {}) {
  const files = new FakeFiles(script);
  const early = new EarlyMounts({ ...request, ...changes }, files);
  early.begin();
  return { script, files, early };
}

describe("early mounts", () => {
  it("are made once, and are the container's from its creation to its deletion", async () => {
    const script = new ScriptedCalls();
    const { early, files } = begun(script);
    const bench = new ContainerBench(script, { files, begunMounts: early });
    await bench.created([overlayMount]);
    early.begin();
    await early.release();
    expect([...files.mounted]).toEqual([directory]);
    await bench.controller.delete();
    expect([...files.mounted]).toEqual([]);
    expect(script.names.filter((name) => name.endsWith("All"))).toEqual(["mountAll", "unmountAll"]);
  });

  it("are unmounted if no container takes them, and taken by none afterwards", async () => {
    const { early, files } = begun();
    await early.release();
    expect([...files.mounted]).toEqual([]);
    expect(early.take(directory)).toBeUndefined();
    early.begin();
    expect([...files.mounted]).toEqual([]);
  });

  it("have their unmounting repeated after a failure", async () => {
    const { early, files } = begun(new ScriptedCalls(new Map([[1, "fail"]])));
    await expect(early.release()).rejects.toMatchObject({ code: "Unavailable" });
    await early.release();
    expect([...files.mounted]).toEqual([]);
  });

  it.each(["fail", "lose"] as const)("that %s fail the container, which leaves nothing behind", async (fault) => {
    const script = new ScriptedCalls(new Map([[0, fault]]));
    const { early, files } = begun(script);
    const bench = new ContainerBench(script, { files, begunMounts: early });
    const spec = specification();
    await expect(bench.controller.create({ spec, rootfs: [overlayMount], stdio: noStdio })).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining("mountAll /bundle/rootfs"),
    });
    expect([...files.mounted]).toEqual([]);
  });

  it.each(["hang", "hangDone"] as const)("that %s are given up with the container, or by the pod", async (fault) => {
    for (const isTaken of [true, false]) {
      const { early, files } = begun(new ScriptedCalls(new Map([[0, fault]])));
      if (isTaken) {
        const client = new AbortController();
        const taken = early.take(directory, client.signal);
        client.abort(new Error("no longer"));
        await expect(taken).rejects.toThrow("no longer");
        await files.unmountAll(directory);
      } else await early.release();
      expect([...files.mounted]).toEqual([]);
    }
  });

  it.each([
    ["no root", { rootfs: [] }],
    ["layers", { rootfs: [layersMount] }],
    ["an image", { rootfs: [imageMount] }],
    ["folders of layers", { spec: specification({ windows: { layerFolders: ["/a", "/b"] } }) }],
  ])("are not made for %s", async (_, changes) => {
    const { script, early } = begun(new ScriptedCalls(), changes);
    expect(early.take(directory)).toBeUndefined();
    await early.release();
    expect(script.names).toEqual([]);
  });

  it("are not for another directory", async () => {
    const { early } = begun();
    expect(early.take("/other/rootfs")).toBeUndefined();
    await early.release();
  });
});
