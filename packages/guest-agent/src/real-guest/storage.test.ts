/** How the real guest treats containers' folders: what it mounts there, and what it deletes. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { bundleOf, specificationFor } from "../testing/specifications.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const mebibyte = 1024 * 1024;
const layer = { MountPath: "/run/mounts/scsi/0/0/0", Controller: 0, Lun: 0, Partition: 0, ReadOnly: true };

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("the folder of a container", () => {
  let machine: Machine;
  let luns = 1;

  machineForSuite("crun", async (booted) => {
    machine = booted;
    const image = join(machine.fixtures.folder, "layer.img");
    writeFileSync(image, "");
    truncateSync(image, 16 * mebibyte);
    execFileSync("mkfs.ext4", ["-q", "-d", machine.fixtures.rootfs, image]);
    machine.attachDisk(image, layer.Lun);
    await machine.modify("Add", "MappedVirtualDisk", layer);
  });

  const inGuest = async (script: string): Promise<string> => (await machine.inGuest(["sh", "-c", script])).stdout;
  const mountsBelow = (path: string): Promise<string> =>
    inGuest(`cut -d" " -f2 /proc/self/mounts | grep -E "^${path}(/|$)" | sort`);

  /** A new scratch disk, mounted at the given place, with the root of a container on it. */
  async function layered(id: string, place?: string) {
    const lun = luns++;
    const image = join(machine.fixtures.folder, `${id}.img`);
    writeFileSync(image, "");
    truncateSync(image, 16 * mebibyte);
    machine.attachDisk(image, lun);
    const MountPath = place ?? `/run/mounts/scsi/0/${lun}/0`;
    const disk = { ...layer, MountPath, Lun: lun, ReadOnly: false, EnsureFilesystem: true };
    await machine.modify("Add", "MappedVirtualDisk", disk);
    const bundle = bundleOf(id);
    const layers = {
      ContainerID: id,
      ContainerRootPath: `${bundle}/rootfs`,
      Layers: [{ Path: layer.MountPath }],
      ScratchPath: `${MountPath}/scratch/${id}`,
    };
    await machine.modify("Add", "CombinedLayers", layers);
    const windows = { network: { networkNamespace: id } };
    return {
      bundle,
      layers,
      scratch: layers.ScratchPath,
      create: (args: readonly string[]) =>
        machine.create(
          id,
          { ...specificationFor(layers.ContainerRootPath, { args }, { sysctl: {} }), windows },
          { bundle, scratch: layers.ScratchPath },
        ),
      uncombine: (path: string) =>
        machine.modify("Remove", "CombinedLayers", { ...layers, ContainerRootPath: path, Layers: [], ScratchPath: "" }),
      eject: async () => {
        await machine.modify("Remove", "MappedVirtualDisk", disk);
        await machine.modify("Remove", "SCSIDevice", { Controller: 0, Lun: lun });
      },
    };
  }

  it("is on the scratch disk until the layers and then the state are removed", async () => {
    const { bundle, layers, scratch, create, uncombine, eject } = await layered("bound");
    expect(await mountsBelow(bundle)).toBe(`${bundle}\n${bundle}/rootfs\n`);
    await create(["true"]);
    expect(await inGuest(`ls ${scratch}/bundle`)).toContain("config.json");
    await (await machine.execute("bound")).exit;
    await uncombine(layers.ContainerRootPath);
    expect(await mountsBelow(bundle)).toBe(`${bundle}\n`);
    await machine.client.request("deleteContainerState", "bound", {});
    expect(await mountsBelow(bundle)).toBe("");
    expect(await inGuest(`ls -d ${bundle} ${scratch} 2>/dev/null`)).toBe("");
    await eject();
  });

  it("is not mounted over if the scratch directory is inside it", async () => {
    const bundle = bundleOf("nested");
    const { layers, uncombine, eject } = await layered("nested", bundle);
    expect(await mountsBelow(bundle)).toBe(`${bundle}\n${bundle}/rootfs\n`);
    expect(await inGuest(`ls ${bundle}/scratch/nested`)).toBe("upper\nwork\n");
    await uncombine(layers.ContainerRootPath);
    await eject();
    expect(await mountsBelow(bundle)).toBe("");
  });

  it("stays mounted, with an empty root, if the container could not be created", async () => {
    const { bundle, layers, create, uncombine, eject } = await layered("failed");
    await expect(create(["/no/such/program"])).rejects.toThrow("/no/such/program");
    expect(await mountsBelow(bundle)).toBe(`${bundle}\n${bundle}/rootfs\n`);
    expect(await inGuest(`ls ${bundle}/rootfs; ls ${layer.MountPath}/bin/busybox`)).toBe(
      `${layer.MountPath}/bin/busybox\n`,
    );
    await expect(machine.client.request("deleteContainerState", "failed", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });
    await uncombine(layers.ContainerRootPath);
    await expect(eject()).rejects.toMatchObject({ message: expect.stringContaining(`still mounted at ${bundle}`) });
  });

  it("can be removed by the host if the container has no state", async () => {
    const { bundle, layers, scratch, create, uncombine, eject } = await layered("undone");
    await expect(create(["/no/such/program"])).rejects.toThrow("/no/such/program");
    for (const path of [layers.ContainerRootPath, bundle, scratch]) await uncombine(path);
    expect(await inGuest(`ls -d ${bundle} ${scratch} 2>/dev/null`)).toBe("");
    await eject();
  });

  it("is emptied with the state of a container whose root is still mounted", async () => {
    const { bundle, layers, scratch, create, uncombine, eject } = await layered("rooted");
    await create(["sh", "-c", "mkdir -p /a/b && echo text > /a/b/written && echo text > /written"]);
    await (await machine.execute("rooted")).exit;
    expect(await inGuest(`find ${scratch} -name written | wc -l`)).toBe("2\n");
    await expect(machine.client.request("deleteContainerState", "rooted", {})).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining(`${bundle}/rootfs is a mount`),
    });
    // Only mount points and the folders above them stay.
    expect(await inGuest(`find ${scratch} ! -type d; find ${scratch} -mindepth 1 -name a`)).toBe("");
    for (const path of [layers.ContainerRootPath, bundle]) await uncombine(path);
    await eject();
  });

  it("must hold no files of the host, which the real guest would delete: this one refuses", async () => {
    const { bundle, layers, create, uncombine, eject } = await layered("shared");
    const files = join(machine.fixtures.folder, "files");
    mkdirSync(files);
    writeFileSync(join(files, "file"), "");
    await machine.share("written", files, `${bundle}/mounts/m1`);
    await machine.share("read", files, `${bundle}/mounts/m2`, true);
    await expect(create(["/no/such/program"])).rejects.toThrow(
      /no\/such\/program.*would now delete the host.s files at \S+\/mounts\/m1, a share/s,
    );
    expect(existsSync(join(files, "file"))).toBe(true);
    for (const [name, number] of [
      ["written", 1],
      ["read", 2],
    ]) {
      await machine.modify("Remove", "MappedDirectory", { MountPath: `${bundle}/mounts/m${number}`, ShareName: name });
    }
    for (const path of [layers.ContainerRootPath, bundle]) await uncombine(path);
    await eject();
  });
});
