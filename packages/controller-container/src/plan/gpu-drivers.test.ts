import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, overlayMount, specification } from "../testing/index.ts";

describe("GPU drivers", () => {
  const gpuVhdPath = "/disks/gpu.vhd";
  const withDevice = (idType: string, annotations = {}) =>
    specification({ windows: { devices: [{ id: "PCIP\\A", idType }] }, annotations });
  const onHost = (options = {}) => {
    const made = new ContainerBench(undefined, options);
    for (const path of [gpuVhdPath, "/disks/own.vhd"]) made.files.kinds.set(path, "file");
    return made;
  };
  const drivers = (hostPath: string) => ({
    disk: { hostPath, readOnly: true, type: "VirtualDisk" },
    mount: { partition: 0, readOnly: true, options: ["ro"], guestPath: "/run/nvidia" },
  });

  it("are mounted where the guest looks for them, while a container has a GPU", async () => {
    const made = await onHost({ gpuVhdPath }).created([overlayMount], withDevice("gpu"));
    expect(made.disks.requests).toEqual([drivers(gpuVhdPath)]);
    await made.controller.delete();
    expect(made.leftovers).toEqual([]);
  });

  it("may belong to the container", async () => {
    const annotations = { "io.microsoft.lcow.gpuvhdpath": "/disks/own.vhd" };
    for (const options of [{}, { gpuVhdPath }]) {
      const made = await onHost(options).created([overlayMount], withDevice("gpu", annotations));
      expect(made.disks.requests).toEqual([drivers("/disks/own.vhd")]);
    }
  });

  it("are attached only for GPUs, and the guest's own are used if no disk is named", async () => {
    expect((await onHost({ gpuVhdPath }).created([overlayMount], withDevice("vpci"))).disks.requests).toEqual([]);
    expect((await onHost().created([overlayMount], withDevice("gpu"))).disks.requests).toEqual([]);
  });

  it("must exist", async () => {
    const made = onHost({ gpuVhdPath: "/disks/none.vhd" });
    const creating = made.controller.create({ spec: withDevice("gpu"), rootfs: [overlayMount], stdio: noStdio });
    await expect(creating).rejects.toMatchObject({
      code: "NotFound",
      message: expect.stringContaining("GPU driver disk /disks/none.vhd is missing, expected a file"),
    });
    expect(made.leftovers).toEqual([]);
  });
});
