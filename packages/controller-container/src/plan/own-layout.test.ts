import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import {
  ContainerBench,
  imageMount,
  layersMount,
  noStdio,
  overlayMount,
  ownLayout,
  specification,
} from "../testing/index.ts";
import type { LinuxContainerOptions } from "./options.ts";

const disk = { destination: "/disk", type: "virtual-disk", source: "/disks/data.vhdx" };
const data = { destination: "/data", type: "bind", source: "/data" };

function bench(script = new ScriptedCalls(), options: Partial<LinuxContainerOptions> = {}): ContainerBench {
  const made = new ContainerBench(script, { layout: ownLayout, ...options });
  made.files.kinds.set("/disks/data.vhdx", "file");
  return made;
}

const typed = (type: string) => ({ "io.kubernetes.cri.container-type": type, "io.kubernetes.cri.sandbox-id": "p1" });

describe("a guest with separate folders for each container", () => {
  it("knows container and sandbox by its own ids, in its own folders", async () => {
    const { guest, warnings } = await bench().created(
      [layersMount],
      specification({ hostname: "", annotations: typed("container") }),
    );
    expect(guest.combinations).toMatchObject([{ ContainerID: "guest-c1", ContainerRootPath: "/own/guest-c1/rootfs" }]);
    expect([...guest.known]).toEqual(["guest-c1"]);
    const [settings] = guest.settings;
    expect(settings).toMatchObject({ OciBundlePath: "/own/guest-c1" });
    expect(settings?.OciSpecification).toMatchObject({
      root: { path: "/own/guest-c1/rootfs" },
      annotations: { "io.kubernetes.cri.sandbox-id": "guest-p1" },
    });
    expect(warnings).toEqual(["the guest does not accept this container id, and knows the container as guest-c1"]);
  });

  it("has the scratch disk in the container's folder, unless it is already mounted elsewhere", async () => {
    const { disks, guest } = await bench().created([layersMount]);
    expect(disks.requests.at(-1)?.mount).toMatchObject({ preferredGuestPath: "/own/guest-c1", readOnly: false });
    expect(guest.settings[0]?.ScratchDirPath).toBe("/own/guest-c1/scratch/guest-c1");
    const shared = bench();
    shared.disks.standing.set("/snapshots/3/sandbox.vhdx", "/own/guest-p1");
    await shared.created([layersMount]);
    expect(shared.guest.combinations[0]?.ScratchPath).toBe("/own/guest-p1/scratch/guest-c1");
    expect(shared.guest.settings[0]?.ScratchDirPath).toBe("/own/guest-p1/scratch/guest-c1");
  });

  it("gets only the options of its mounts, not the flags of the host's", async () => {
    const made = bench();
    made.files.kinds.set("/data", "directory");
    made.files.flagsOfMounts.set("/data", ["nosuid", "nodev"]);
    await made.created([layersMount], specification({ mounts: [{ ...data, options: ["rbind", "ro"] }] }));
    expect(made.guest.settings[0]?.OciSpecification.mounts).toMatchObject([{ options: ["rbind", "ro"] }]);
  });

  it("has an encrypted scratch disk there too", async () => {
    const { disks } = await bench(new ScriptedCalls(), { encryptScratch: true }).created([layersMount]);
    const encrypted = { preferredGuestPath: "/own/guest-c1", filesystem: "xfs", encrypted: true };
    expect(disks.requests.at(-1)?.mount).toMatchObject(encrypted);
  });

  it.each([
    ["layers for reading", { ...layersMount, options: ["ro", 'parentLayerPaths=["/snapshots/1"]'] }],
    ["an image", { ...imageMount, options: ["loop"] }],
    ["what the host mounts", overlayMount],
  ])("gets a scratch directory even with a root of %s", async (_, root) => {
    const { guest } = await bench().created([root]);
    expect(guest.settings[0]?.ScratchDirPath).toBe("/own/guest-c1/scratch/guest-c1");
    // Writes over read-only layers are kept in the VM's memory.
    for (const { ScratchPath } of guest.combinations) expect(ScratchPath).toBe("/own/guest-c1/scratch/guest-c1");
  });

  it("has a writable image in the container's folder, with a warning about lost files", async () => {
    const { disks, warnings } = await bench().created([{ ...imageMount, options: ["loop"] }]);
    expect(disks.requests).toMatchObject([{ mount: { guestPath: "/own/guest-c1/rootfs", readOnly: false } }]);
    expect(warnings).toContainEqual(
      expect.stringMatching(/^image \/images\/7\.img is writable and may lose its files/),
    );
  });

  it("reads a root shared by the host as a lower layer, and keeps writes in its memory", async () => {
    const { guest, shares, warnings } = await bench().created([overlayMount]);
    expect(shares.requests).toEqual([
      { hostPath: "/bundle/rootfs", readOnly: true, guestPath: "/own/guest-c1/mounts/m0" },
    ]);
    expect(guest.combinations).toMatchObject([
      { ContainerRootPath: "/own/guest-c1/rootfs", Layers: [{ Path: "/run/mounts/p9/share0" }] },
    ]);
    const root = guest.settings[0]?.OciSpecification.root;
    expect(root?.readonly ?? false).toBe(false);
    expect(warnings).toContainEqual(expect.stringMatching(/^writes to the container's root stay in memory/));
  });

  it("has writable shares of the host only with a warning, or elsewhere if the layout allows it", async () => {
    const mounts = [data, { ...data, destination: "/read", options: ["ro"] }];
    const bound = await bench().created([layersMount], specification({ mounts }));
    const dangers = bound.warnings.filter((sentence) => sentence.includes("security policy deletes"));
    expect(dangers).toEqual([expect.stringMatching(/^mount \/data: files of \/data may be deleted/)]);
    const layout = {
      placesOf: (container: { readonly id: string; readonly podId: string }) => {
        const { own, ...places } = ownLayout.placesOf(container);
        const { share: _, ...rest } = own ?? { scratchDisk: "", scratch: "", root: "" };
        return { ...places, own: rest };
      },
    };
    const free = await bench(new ScriptedCalls(), { layout }).created([layersMount], specification({ mounts }));
    expect(free.shares.requests.map(({ guestPath }) => guestPath)).toEqual([undefined, undefined]);
    expect(free.warnings.filter((sentence) => sentence.includes("security policy deletes"))).toEqual([]);
  });

  it("has a read-only image as a lower layer of the root in the container's folder", async () => {
    const { disks, guest } = await bench().created([{ ...imageMount, options: ["loop", "ro"] }]);
    expect(disks.requests).toMatchObject([{ mount: { readOnly: true, options: ["ro"] } }]);
    expect(disks.requests[0]?.mount).not.toHaveProperty("guestPath");
    expect(guest.combinations).toMatchObject([{ ContainerRootPath: "/own/guest-c1/rootfs" }]);
  });

  it("has each container's shares in the container's own folder", async () => {
    const mounts = [data, { ...data, destination: "/again" }];
    const { shares } = await bench().created([layersMount], specification({ mounts }));
    expect(shares.requests).toMatchObject([
      { hostPath: "/data", guestPath: "/own/guest-c1/mounts/m1" },
      { hostPath: "/data", guestPath: "/own/guest-c1/mounts/m2" },
    ]);
  });

  it.each([
    [["rbind", "RO", "noexec"], ["ro"]],
    [["ro"], ["ro"]],
    [["rw", "nosuid"], []],
    [undefined, []],
  ])("mounts a disk with options %j with %j, and passes the rest to the container", async (options, expected) => {
    const mounts = [{ ...disk, ...(options && { options }) }];
    const { disks, guest } = await bench().created([layersMount], specification({ mounts }));
    expect(disks.requests.at(-1)?.mount.options ?? []).toEqual(expected);
    const own = guest.settings[0]?.OciSpecification.mounts?.[0]?.options;
    for (const option of options ?? []) expect(own).toContain(option);
  });

  it.each([
    ["ro", ["ro"]],
    ["rw", []],
  ])("gives a block device that is %s with options %j", async (option, expected) => {
    const mounts = [{ ...disk, destination: "blockdev:///dev/data", options: [option, "noatime"] }];
    const { disks } = await bench().created([layersMount], specification({ mounts }));
    const { blockDevice, options = [] } = disks.requests.at(-1)?.mount ?? {};
    expect([blockDevice, options]).toEqual([true, expected]);
  });

  it("gets no mount with options that it would deny and that nothing else can apply", async () => {
    const spec = specification({ mounts: [{ ...disk, options: ["rbind", "data=ordered", "discard"] }] });
    const request = { spec, rootfs: [layersMount], stdio: noStdio };
    await expect(bench().controller.create(request)).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining(
        "config.json: mounts[0].options: data=ordered, discard given, expected no file system option but ro",
      ),
    });
    const image = { spec: specification(), rootfs: [imageMount], stdio: noStdio };
    await expect(bench().controller.create(image)).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("ext4 image /images/7.img: options noatime given, expected none"),
    });
  });

  it.each([
    ["layers", layersMount],
    ["an image", { ...imageMount, options: [] }],
    ["what the host mounts", overlayMount],
  ])("deletes a container's state after everything of %s has been unmounted from its folder", async (_, root) => {
    const script = new ScriptedCalls();
    const made = await bench(script).created([root], specification({ mounts: [data, disk] }));
    await made.controller.delete();
    expect(made.leftovers).toEqual([]);
    const state = script.names.lastIndexOf("deleteState");
    expect(state).toBeGreaterThan(0);
    for (const name of ["unmap disk", "unmap share", "uncombine"]) {
      expect(script.names.lastIndexOf(name)).toBeLessThan(state);
    }
  });

  it("keeps a sandbox's file systems, in which it keeps its own files, until the VM ends", async () => {
    const script = new ScriptedCalls();
    const made = bench(script, { id: "p1" });
    await made.created([layersMount], specification({ annotations: typed("sandbox") }));
    await made.controller.delete();
    expect([...made.guest.running]).toEqual([]);
    expect(script.names.filter((name) => /^(unmap|uncombine|deleteState)/.test(name))).toEqual([]);
    expect(made.disks.mapped.size).toBe(3);
    expect(made.hostLeftovers).toEqual([]);
  });
});
