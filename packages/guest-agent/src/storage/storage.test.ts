import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { detectFilesystem, readOnlyOptionsOf } from "@uvm-shim/guest-agent-common";
import { mountFlags } from "@uvm-shim/linux-calls";
import { describe, expect, it } from "vitest";
import { parseMountOptions } from "./mount-options.ts";
import { modifyStorage } from "./storage.ts";

describe("mount options", () => {
  it("are flags, data, or no-ops", () => {
    expect(parseMountOptions(["ro", "nosuid", "defaults", "noload", "commit=5"])).toEqual({
      flags: mountFlags.MS_RDONLY | mountFlags.MS_NOSUID,
      data: "noload,commit=5",
    });
    expect(parseMountOptions([])).toEqual({ flags: 0, data: "" });
  });

  it("follow the last one if they contradict each other", () => {
    expect(parseMountOptions(["ro", "noexec", "nosuid", "rw", "exec"])).toEqual({
      flags: mountFlags.MS_NOSUID,
      data: "",
    });
    expect(parseMountOptions(["rw", "ro"]).flags).toBe(mountFlags.MS_RDONLY);
  });
});

describe("file systems", () => {
  it.each([
    ["ext4", 1080, "53ef"],
    ["xfs", 0, "58465342"],
    ["erofs", 1024, "e2e1f5e0"],
    ["squashfs", 0, "68737173"],
    ["btrfs", 65600, "5f42485266535f4d"],
    [undefined, 0, "00"],
  ])("%s is recognized by its superblock", (name, offset, signature) => {
    const folder = mkdtempSync(join(tmpdir(), "guest-agent-"));
    const path = join(folder, "disk");
    const bytes = Buffer.alloc(70_000);
    bytes.write(signature, offset, "hex");
    writeFileSync(path, bytes);
    expect(detectFilesystem(path)).toBe(name);
    writeFileSync(path, "short");
    expect(detectFilesystem(path)).toBeUndefined();
    rmSync(folder, { recursive: true });
  });

  it("are mounted read-only without their journal", () => {
    expect(readOnlyOptionsOf("ext4")).toEqual(["noload"]);
    expect(readOnlyOptionsOf("xfs")).toEqual(["norecovery"]);
    expect(readOnlyOptionsOf("erofs")).toEqual([]);
  });
});

describe("requests that storage cannot serve", () => {
  const surroundings = {
    disks: { find: () => undefined, release: () => {} },
    mountShare: () => Promise.reject(new Error("no share")),
    runTool: async () => ({ exitCode: 1, stderr: "" }),
    guard: undefined,
    containers: [],
  };
  const none = new AbortController().signal;
  const device = { Controller: 0, Lun: 0 };

  it("are answered with what is accepted", async () => {
    const update = { ResourceType: "SCSIDevice", RequestType: "Update", Settings: device } as const;
    await expect(modifyStorage(update, surroundings, none)).rejects.toThrow(
      "Update SCSIDevice: expected Add or Remove",
    );
    const add = { ...update, RequestType: "Add" } as const;
    await expect(modifyStorage(add, surroundings, none)).rejects.toThrow("Add SCSIDevice: expected Remove");
    const layers = { ContainerID: "x", ContainerRootPath: "/run/x", Layers: [], ScratchPath: "" };
    const combine = { ResourceType: "CombinedLayers", RequestType: "Add", Settings: layers } as const;
    await expect(modifyStorage(combine, surroundings, none)).rejects.toThrow("Request.Settings.Layers is empty");
  });

  it("leave no mount point of a share that cannot be mounted", async () => {
    const folder = mkdtempSync(join(tmpdir(), "guest-agent-"));
    const share = { MountPath: join(folder, "below", "it"), Port: 564, ShareName: "7", ReadOnly: false };
    const add = { ResourceType: "MappedDirectory", RequestType: "Add", Settings: share } as const;
    await expect(modifyStorage(add, surroundings, none)).rejects.toThrow("no share");
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it("stop waiting for a disk when the host disconnects", async () => {
    const disk = { ...device, MountPath: "/run/x", Partition: 0, ReadOnly: true };
    const add = { ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: disk } as const;
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(modifyStorage(add, surroundings, gone)).rejects.toThrow("gone");
  });
});

describe("a disk that the host is about to detach", () => {
  const request = { ResourceType: "SCSIDevice", RequestType: "Remove", Settings: { Controller: 1, Lun: 2 } } as const;
  const released: string[] = [];
  const surroundings = (node: string | undefined) => ({
    disks: {
      find: () => node,
      release: (controller: number, lun: number) => released.push(`${controller} ${lun}`),
    },
    mountShare: async () => {},
    runTool: async () => ({ exitCode: 1, stderr: "" }),
    guard: undefined,
    containers: [],
  });

  it("is given up, unless it is gone already", async () => {
    const { signal } = new AbortController();
    await modifyStorage(request, surroundings(undefined), signal);
    expect(released).toEqual([]);
    await modifyStorage(request, surroundings("/dev/null"), signal);
    expect(released).toEqual(["1 2"]);
  });
});
