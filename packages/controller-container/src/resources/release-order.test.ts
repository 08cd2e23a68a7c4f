import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import type { LinuxContainerOptions } from "../plan/options.ts";
import {
  ContainerBench,
  imageMount,
  layersMount,
  noStdio,
  overlayMount,
  ownLayout,
  specification,
} from "../testing/index.ts";

const bundle = "/run/gcs/pods/p1/c1";
const data = { destination: "/data", type: "bind", source: "/data" };
const sandbox = specification({
  annotations: { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "p1" },
});

/** Scripted calls that refuse the next call of a given name. */
class RefusingCalls extends ScriptedCalls {
  readonly #refused = new Map<string, string>();

  failCall(name: string, code: string): void {
    this.#refused.set(name, code);
  }

  override run<T>(name: string, detail: string, signal: AbortSignal | undefined, effect: () => T): Promise<T> {
    const code = this.#refused.get(name);
    this.#refused.delete(name);
    return super.run(name, detail, signal, () => {
      if (code !== undefined) throw scriptedError(code, `${name} is refused`);
      return effect();
    });
  }
}

const lastCalls = (script: ScriptedCalls, after: string): readonly string[] => {
  const calls = script.calls.map(({ name, detail }) => `${name} ${detail}`);
  return calls.slice(calls.lastIndexOf(after) + 1);
};

function scripted(options: Partial<LinuxContainerOptions> = {}) {
  const script = new RefusingCalls();
  return { script, bench: new ContainerBench(script, options) };
}

/** Makes the guest fail to create the container, as for a missing program. */
async function failedCreate(bench: ContainerBench, script: RefusingCalls, spec: unknown = specification()) {
  const request = { spec, rootfs: [layersMount], stdio: noStdio };
  script.failCall("createContainer", "InvalidArgument");
  await expect(bench.controller.create(request)).rejects.toMatchObject({ code: "InvalidArgument" });
}

describe("a container's leftovers in its guest", () => {
  it("do not include the scratch disk over its folder if the guest failed to create it", async () => {
    const { script, bench } = scripted();
    await failedCreate(bench, script);
    expect(lastCalls(script, "createContainer c1")).toEqual([
      `uncombine ${bundle}/rootfs`,
      `uncombine ${bundle}`,
      "uncombine /run/mounts/scsi/disk2/scratch/p1/c1",
      "unmap disk /snapshots/3/sandbox.vhdx",
      "unmap disk /snapshots/1/layer.vhd",
      "unmap disk /snapshots/2/layer.vhd",
    ]);
    expect(bench.leftovers).toEqual([]);
  });

  it("do not include what a sandbox has mounted in its folder either, which is on that disk", async () => {
    const { script, bench } = scripted({ id: "p1" });
    await failedCreate(bench, script, sandbox);
    expect(lastCalls(script, "createContainer p1").slice(0, 5)).toEqual(
      ["rootfs", "sandboxTmpfsMounts", "sandboxMounts", "hugepages"]
        .map((name) => `uncombine /run/gcs/pods/p1/p1/${name}`)
        .concat("uncombine /run/gcs/pods/p1/p1"),
    );
  });

  it("go with its state when the guest deletes that", async () => {
    const { script, bench } = scripted();
    await bench.created([layersMount]);
    await bench.controller.delete();
    expect(script.calls.filter(({ detail }) => detail === bundle)).toEqual([]);
  });

  it("are removed even if the guest has failed to delete its state", async () => {
    const { script, bench } = scripted();
    await bench.created([layersMount]);
    script.failCall("deleteState", "Internal");
    await expect(bench.controller.delete()).rejects.toMatchObject({ code: "Internal" });
    await bench.controller.delete();
    expect(lastCalls(script, "deleteState c1")[0]).toBe(`uncombine ${bundle}`);
    expect(bench.leftovers).toEqual([]);
  });

  it("include no mount over its folder if writes are kept in that folder", async () => {
    const { script, bench } = scripted();
    const spec = specification();
    script.failCall("createContainer", "InvalidArgument");
    const rootfs = [{ ...imageMount, options: ["ro"] }];
    await expect(bench.controller.create({ spec, rootfs, stdio: noStdio })).rejects.toThrow();
    expect(script.calls.filter(({ detail }) => detail === bundle)).toEqual([]);
  });
});

describe("a failed release", () => {
  it.each(["terminate", "uncombine"])("of %s keeps state and disks", async (name) => {
    const { script, bench } = scripted();
    await bench.created([layersMount]);
    script.failCall(name, "Internal");
    await expect(bench.controller.delete()).rejects.toMatchObject({ code: "Internal" });
    expect(script.names.filter((call) => call === "deleteState" || call === "unmap disk")).toEqual([]);
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("keeps the state of a container that still has a share in its folder", async () => {
    const { script, bench } = scripted({ layout: ownLayout });
    await bench.created([layersMount], specification({ mounts: [data] }));
    script.failCall("unmap share", "Internal");
    await expect(bench.controller.delete()).rejects.toMatchObject({ code: "Internal" });
    expect(script.names).not.toContain("deleteState");
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("the state of a container whose start failed", () => {
  it("is deleted once the guest lists no process of it", async () => {
    const { script, bench } = scripted();
    await bench.created([layersMount]);
    script.failCall("execute", "DeadlineExceeded");
    await expect(bench.controller.init.start()).rejects.toThrow();
    await bench.controller.delete();
    expect(script.names.lastIndexOf("processIds")).toBeGreaterThan(script.names.indexOf("terminate"));
    expect(script.names.indexOf("deleteState")).toBeGreaterThan(script.names.lastIndexOf("processIds"));
    expect(bench.leftovers).toEqual([]);
  });

  it("is kept, with its disks, as long as the guest lists any", async () => {
    const { script, bench } = scripted();
    await bench.created([layersMount]);
    script.failCall("execute", "DeadlineExceeded");
    await expect(bench.controller.init.start()).rejects.toThrow();
    const container = bench.guestContainer;
    const { processIds } = container;
    container.processIds = async () => [100];
    await expect(bench.controller.delete()).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("its processes still run in the guest after a kill"),
    });
    expect(script.names.filter((call) => call === "deleteState" || call === "unmap disk")).toEqual([]);
    container.processIds = processIds;
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("the VM may end before a container is released", () => {
  const readOnlyLayers = { ...layersMount, options: ["ro", 'parentLayerPaths=["/snapshots/1"]'] };
  const provided = "evd://provider/disk";

  it.each([
    ["whose root is mounted by the host", true, overlayMount, {}],
    ["that writes to shares", true, overlayMount, { mounts: [data] }],
    ["of layers that are only read", true, readOnlyLayers, {}],
    ["of an image that is only read", true, { ...imageMount, options: ["ro"] }, {}],
    ["with a disk that is only read", true, overlayMount, { mounts: [disk("virtual-disk", "/images/7.img", "ro")] }],
    ["with a scratch disk", false, layersMount, {}],
    ["of an image that is written to", false, imageMount, {}],
    ["with a disk that is written to", false, overlayMount, { mounts: [disk("virtual-disk", "/images/7.img")] }],
    ["with a provider's disk", false, overlayMount, { mounts: [disk("extensible-virtual-disk", provided, "ro")] }],
    ["with a device", false, overlayMount, { windows: { devices: [{ id: "A", idType: "vpci" }] } }],
  ] as const)("%s: %s", async (_, may, root, changes) => {
    const { bench } = scripted();
    expect(bench.controller.canEndWithVm).toBe(false);
    await bench.created([root], specification(changes));
    expect(bench.controller.canEndWithVm).toBe(may);
  });

  function disk(type: string, source: string, ...options: readonly string[]) {
    return { destination: "/disk", type, source, options };
  }
});
