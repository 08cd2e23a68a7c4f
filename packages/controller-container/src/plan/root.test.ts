import { describe, expect, it } from "vitest";
import { ContainerBench, imageMount, layersMount, noStdio, overlayMount, specification } from "../testing/index.ts";
import type { RootfsMount } from "../types.ts";

const layer = (hostPath: string, partition = 0) => ({
  disk: { hostPath, readOnly: true, type: "VirtualDisk" },
  mount: { partition, readOnly: true, options: ["ro"] },
});
const scratch = {
  disk: { hostPath: "/snapshots/3/sandbox.vhdx", readOnly: false, type: "VirtualDisk" },
  mount: { partition: 0, readOnly: false, ensureFilesystem: true, filesystem: "ext4" },
};

describe("layer folders of the specification", () => {
  const withFolders = (...layerFolders: readonly string[]) => specification({ windows: { layerFolders } });

  it("are layers, topmost first, and the folder of the scratch disk", async () => {
    const spec = withFolders("/snapshots/2", "/snapshots/1", "/snapshots/3");
    const bench = await new ContainerBench().created([], spec);
    expect(bench.disks.requests).toEqual([layer("/snapshots/2/layer.vhd"), layer("/snapshots/1/layer.vhd"), scratch]);
    expect(bench.guest.combinations[0]?.Layers).toHaveLength(2);
    expect(bench.guest.settings[0]?.OciSpecification).not.toHaveProperty("windows");
  });

  it.each([
    [["/snapshots/1"], "InvalidArgument", "windows.layerFolders: expected the absolute paths of 1 to 500 layers and"],
    [["x", "/snapshots/3"], "InvalidArgument", 'got ["x","/snapshots/3"]'],
    [["/gone", "/snapshots/3"], "NotFound", "rootfs: layer /gone/layer.vhd does not exist in /gone"],
    [["/snapshots/1", "/gone"], "NotFound", "rootfs: scratch disk /gone/sandbox.vhdx does not exist in /gone"],
  ])("%j are refused", async (folders, code, message) => {
    const bench = new ContainerBench();
    const request = { spec: withFolders(...folders), rootfs: [], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(bench.leftovers).toEqual([]);
  });

  it("are refused together with mounts", async () => {
    const request = { spec: withFolders("/snapshots/1", "/snapshots/3"), rootfs: [overlayMount], stdio: noStdio };
    await expect(new ContainerBench().controller.create(request)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(
        "either mounts or config.json: windows.layerFolders, got 1 mounts and 2 folders",
      ),
    });
  });
});

describe("partitions as layers", () => {
  const mountOf = (...options: readonly string[]): RootfsMount => ({
    type: "lcow-partitioned-layer",
    source: "",
    options,
  });
  const partitions = (...list: readonly object[]) => `parent-partitioned-layers=${JSON.stringify(list)}`;
  const scratchOption = "scratch=/snapshots/3/sandbox.vhdx";

  it("are mounted by their numbers, with the scratch disk named separately", async () => {
    const layers = partitions({ Path: "/images/7.img", Partition: 3 }, { Path: "/images/7.img", Partition: 2 });
    const bench = await new ContainerBench().created([mountOf(scratchOption, layers)]);
    expect(bench.disks.requests).toEqual([layer("/images/7.img", 3), layer("/images/7.img", 2), scratch]);
  });

  it.each([
    [[scratchOption], "InvalidArgument", "expected option parent-partitioned-layers= with a JSON list of 1 to 500"],
    [[scratchOption, partitions()], "InvalidArgument", "got parent-partitioned-layers=[]"],
    [[scratchOption, partitions({ Path: "x" })], "InvalidArgument", 'got parent-partitioned-layers=[{"Path":"x"}]'],
    [[scratchOption, partitions({ Path: "/a", Partition: -1 })], "InvalidArgument", '"Partition": <0 to 65535>'],
    [
      [partitions({ Path: "/images/7.img" })],
      "InvalidArgument",
      'expected option scratch= with an absolute path, got ""',
    ],
    [[scratchOption, "rw"], "InvalidArgument", "unknown option rw, expected scratch= and parent-partitioned-layers="],
    [[scratchOption, partitions({ Path: "/gone" })], "NotFound", "rootfs: layer /gone does not exist in /"],
  ])("with options %j are refused", async (options, code, message) => {
    const bench = new ContainerBench();
    const request = { spec: specification(), rootfs: [mountOf(...options)], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(bench.leftovers).toEqual([]);
  });
});

describe("the scratch disk", () => {
  it("is encrypted if the pod asks for it, with the file system that the guest encrypts", async () => {
    const bench = await new ContainerBench(undefined, { encryptScratch: true }).created([layersMount]);
    expect(bench.disks.requests.at(-1)?.mount).toEqual({
      partition: 0,
      readOnly: false,
      ensureFilesystem: true,
      filesystem: "xfs",
      encrypted: true,
    });
  });

  it.each([[overlayMount], [imageMount]])("is required if it is to be encrypted: %j", async (mount) => {
    const bench = new ContainerBench(undefined, { encryptScratch: true });
    const request = { spec: specification(), rootfs: [mount], stdio: noStdio };
    await expect(bench.controller.create(request)).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("scratch disks of this pod are encrypted, expected layers with a scratch disk"),
    });
  });

  it("may be a link to the sandbox's, on which each container has a directory of its own", async () => {
    const bench = new ContainerBench(undefined, { id: "c2" });
    bench.files.links.set("/snapshots/4/sandbox.vhdx", "/snapshots/3/sandbox.vhdx");
    await bench.created([{ ...layersMount, source: "/snapshots/4" }]);
    expect(bench.disks.requests.at(-1)).toEqual(scratch);
    expect(bench.guest.combinations[0]?.ScratchPath).toBe("/run/mounts/scsi/disk2/scratch/p1/c2");
  });
});

describe("a read-only root", () => {
  const inMemory = "/run/gcs/pods/p1/c1/scratch/c1";
  const rootfs = "/run/gcs/pods/p1/c1/rootfs";
  const squashfs: RootfsMount = { type: "squashfs", source: "/images/7.img", options: [] };
  const view: RootfsMount = { type: "overlay", source: "overlay", options: ["lowerdir=/a:/b"] };
  const bind: RootfsMount = { type: "bind", source: "/snapshots/1/fs", options: ["ro", "rbind"] };

  it.each([
    ["an image for reading", { ...imageMount, options: ["ro"] }, "/run/mounts/scsi/disk0"],
    ["a file system for reading", squashfs, "/run/mounts/scsi/disk0"],
    ["a view of layers", view, "/run/mounts/p9/share0"],
    ["a view of one layer", bind, "/run/mounts/p9/share0"],
  ] as const)("has a writable layer for guest and runtime in the VM's memory: %s", async (_, mount, layer) => {
    const bench = await new ContainerBench().created([mount]);
    expect(bench.guest.combinations).toEqual([
      { ContainerID: "c1", ContainerRootPath: rootfs, Layers: [{ Path: layer }], ScratchPath: inMemory },
    ]);
    expect(bench.guest.settings[0]).toMatchObject({
      ScratchDirPath: inMemory,
      OciSpecification: { root: { path: rootfs, readonly: true } },
    });
    for (const { readOnly } of bench.shares.requests) expect(readOnly).toBe(true);
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("needs no encryption", async () => {
    const bench = new ContainerBench(undefined, { encryptScratch: true });
    await bench.created([squashfs]);
    expect(bench.guest.combinations).toHaveLength(1);
  });
});
