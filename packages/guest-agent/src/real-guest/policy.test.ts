/** What the real guest demands with any policy, even an open one (microsoft/hcsshim, internal/guest/runtime/hcsv2). */
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { uvmContainerId } from "@uvm-shim/gcs-bridge";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { appendHashTree } from "@uvm-shim/test-support/hash-tree";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Fixtures, makeFixtures } from "../testing/fixtures.ts";
import { Machine } from "../testing/machine.ts";
import { specificationFor } from "../testing/specifications.ts";

const mebibyte = 1024 * 1024;
const decisions = [
  ...["mount_device", "rw_mount_device", "mount_blockdev", "mount_overlay", "create_container"],
  ...["unmount_device", "rw_unmount_device", "unmount_blockdev", "unmount_overlay", "exec_in_container"],
  ...["exec_external", "shutdown_container", "signal_container_process", "plan9_mount", "plan9_unmount"],
  ...["get_properties", "dump_stacks", "runtime_logging", "load_fragment", "scratch_mount", "scratch_unmount"],
  "host_network",
];
const open = [
  "package policy",
  'api_version := "0.12.0"',
  ...decisions.map((name) => `${name} := {"allowed": true}`),
].join("\n");
const id = "c0".repeat(32);
const other = "D1".repeat(32);
const bundle = `/run/gcs/c/${id}`;

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("a guest with a policy", () => {
  let fixtures: Fixtures;
  let layer: string;
  let machine: Machine;
  let lun = 0;

  const give = async (policy: string, EnforcerType = "rego"): Promise<void> => {
    const Settings = { EnforcerType, EncodedSecurityPolicy: Buffer.from(policy).toString("base64") };
    await machine.modify("Add", "SecurityPolicy", Settings);
  };
  const attach = (file: string): number => {
    machine.attachDisk(file, lun);
    return lun++;
  };
  const emptyDisk = (): number => {
    const file = join(fixtures.folder, `empty-${lun}`);
    writeFileSync(file, "");
    truncateSync(file, 16 * mebibyte);
    return attach(file);
  };
  const readOnlyDisk = (file = layer) => ({
    MountPath: `/run/mounts/scsi/m${lun}`,
    Controller: 0,
    Lun: attach(file),
    Partition: 0,
    ReadOnly: true,
    Options: ["ro"] as string[],
  });
  const scratchDisk = (MountPath = bundle) => ({
    MountPath,
    Controller: 0,
    Lun: emptyDisk(),
    Partition: 0,
    ReadOnly: false,
    Options: [] as string[],
    EnsureFilesystem: true,
    Filesystem: "ext4",
  });
  const layersOn = (path: string, more: object = {}) => ({
    ContainerID: id,
    ContainerRootPath: `${bundle}/rootfs`,
    Layers: [{ Path: path }],
    ScratchPath: `${bundle}/scratch/${id}`,
    ...more,
  });
  const settings = (more: object = {}, spec: Partial<OciSpec> = {}) => ({
    SchemaVersion: { Major: 2, Minor: 1 },
    OciBundlePath: bundle,
    ScratchDirPath: `${bundle}/scratch/${id}`,
    OciSpecification: { ...specificationFor(`${bundle}/rootfs`, { args: ["sleep", "600"] }), ...spec },
    ...more,
  });
  const create = (configuration: object, containerId = id) =>
    machine.client.request("create", containerId, { ContainerConfig: JSON.stringify(configuration) });
  const add = (type: string, request: object) => machine.modify("Add", type, request);
  const remove = (type: string, request: object) => machine.modify("Remove", type, request);
  const refused = async (request: Promise<unknown>, words: string): Promise<void> => {
    await expect(request).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining(words),
    });
  };

  beforeAll(async () => {
    fixtures = await makeFixtures("crun");
    layer = join(fixtures.folder, "layer.img");
    writeFileSync(layer, "");
    truncateSync(layer, 16 * mebibyte);
    execFileSync("mkfs.ext4", ["-q", "-d", fixtures.rootfs, layer]);
    appendHashTree(layer);
  });
  afterAll(() => rmSync(fixtures.folder, { recursive: true }));
  beforeEach(async () => {
    machine = await Machine.boot(fixtures);
    lun = 0;
  });
  afterEach(async () => {
    await machine.powerOff();
    await machine.removeCgroups();
  });

  it("policy: it is accepted once, and only if it allows everything", async () => {
    await refused(give("package policy"), "api_version is missing");
    await refused(give('{"allow_all":true}'), 'it does not begin with "package policy"');
    await refused(give(open, "open_door"), "the enforcer open_door accepts no policy");
    const closed = open.replace('plan9_mount := {"allowed": true}', 'plan9_mount := {"allowed": false}');
    await expect(give(closed)).rejects.toMatchObject({ hresultName: "ERROR_NOT_SUPPORTED" });
    await give(open);
    await refused(give(open), "the guest already has a policy");
  });

  it("policy: an empty one demands nothing, but counts as the guest's policy", async () => {
    await give("", "");
    await machine.createContainer("any-id", { args: ["sh", "-c", "echo got $UVM_SECURITY_CONTEXT_DIR"] });
    const { stdout, exit } = await machine.execute("any-id");
    expect(String(await stdout.all)).toBe("got\n");
    await exit;
    await refused(give(open), "the guest already has a policy");
  });

  it("policy: a container has its own folder, and sees the policy", async () => {
    await give(open);
    const disk = readOnlyDisk();
    const scratch = scratchDisk();
    await add("MappedVirtualDisk", disk);
    await add("MappedVirtualDisk", scratch);
    await add("CombinedLayers", layersOn(disk.MountPath));
    const script = "cat $UVM_SECURITY_CONTEXT_DIR/*; echo x >$UVM_SECURITY_CONTEXT_DIR/y";
    const process = specificationFor(`${bundle}/rootfs`, { args: ["sh", "-c", script] });
    await create(settings({}, process));
    const { stdout, stderr, exit } = await machine.execute(id);
    expect(String(await stdout.all)).toBe(Buffer.from(open).toString("base64"));
    expect(String(await stderr?.all)).toContain("Read-only file system");
    await exit;
    await remove("CombinedLayers", layersOn(disk.MountPath));
    await remove("MappedVirtualDisk", scratch);
    await remove("MappedVirtualDisk", disk);
    await machine.client.request("deleteContainerState", id, {});
  });

  it("policy: ids are 64 hexadecimal digits", async () => {
    await give(open);
    for (const wrong of ["c1", `${id}0`, "g".repeat(64), id.slice(1)]) {
      await refused(create(settings(), wrong), "expected 64 hexadecimal digits");
      await refused(machine.client.request("deleteContainerState", wrong, {}), "expected 64 hexadecimal digits");
      await refused(add("CombinedLayers", layersOn("/run", { ContainerID: wrong })), "expected 64 hexadecimal digits");
      const Settings = { Linux: {} };
      const Request = { ResourceType: "ContainerConstraints", RequestType: "Update", Settings } as const;
      await refused(machine.client.request("modifySettings", wrong, { Request }), "expected 64 hexadecimal digits");
      const annotations = { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": wrong };
      await refused(create(settings({}, { annotations })), "invalid sandbox id");
    }
    await expect(machine.client.request("deleteContainerState", other, {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });
  });

  it("policy: a container with an unexpected folder, root, scratch directory or hooks is denied", async () => {
    await give(open);
    const root = { path: "/run/mounts/p9/0" };
    const scratch = `${bundle}/scratch/${id}`;
    for (const [field, more, spec, expected] of [
      ["OciBundlePath", { OciBundlePath: `/run/gcs/pods/p/${id}` }, {}, bundle],
      ["OciBundlePath", { OciBundlePath: `/run/gcs/c/${other}` }, {}, bundle],
      ["OciSpecification.root.path", {}, { root }, `${bundle}/rootfs`],
      ["ScratchDirPath", { ScratchDirPath: "" }, {}, scratch],
      ["ScratchDirPath", { ScratchDirPath: `/run/gcs/c/${other}/scratch/${id}` }, {}, scratch],
      ["OciSpecification.hooks", {}, { hooks: { poststop: [] } }, "no hooks"],
      ["OciSpecification.hooks", {}, { hooks: {} }, "no hooks"],
    ] as const) {
      await refused(create(settings(more, spec)), field);
      await refused(create(settings(more, spec)), `expected ${expected}`);
    }
  });

  it("policy: a workload's scratch directory may be on its sandbox's disk, and a GPU counts as hooks", async () => {
    await give(open);
    const annotations = { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": other };
    const shared = { ScratchDirPath: `/run/gcs/c/${other}/scratch/${id}` };
    const windows = { devices: [{ id: "11111111-1111-1111-1111-111111111111", idType: "gpu" }] };
    await refused(create(settings(shared, { annotations, windows })), "expected no hooks and no GPU");
    const elsewhere = { ScratchDirPath: `/run/gcs/c/${"e".repeat(64)}/scratch/${id}` };
    await refused(create(settings(elsewhere, { annotations })), `or ${shared.ScratchDirPath}`);
  });

  it("policy: read-only disks need a hash tree and the option ro, and writable ones may have no option", async () => {
    await give(open);
    const plain = join(fixtures.folder, "plain.img");
    copyFileSync(layer, plain);
    truncateSync(plain, 16 * mebibyte);
    await refused(add("MappedVirtualDisk", readOnlyDisk(plain)), "expected a hash tree");
    truncateSync(plain, 17 * mebibyte);
    await refused(add("MappedVirtualDisk", readOnlyDisk(plain)), "no dm-verity super block at byte 16777216");
    await refused(
      add("MappedVirtualDisk", { ...scratchDisk(), ReadOnly: true, Options: ["ro"] }),
      "has no ext4 file system",
    );
    const disk = readOnlyDisk();
    await refused(add("MappedVirtualDisk", { ...disk, Filesystem: "erofs" }), "expected ext4 or none");
    for (const Options of [[], ["rw"], ["ro", "noexec"]]) {
      await refused(add("MappedVirtualDisk", { ...disk, Options }), 'expected ["ro"] with ReadOnly true');
      await refused(add("MappedVirtualDisk", { ...disk, Options, BlockDev: true }), 'expected ["ro"]');
    }
    const scratch = scratchDisk();
    await refused(add("MappedVirtualDisk", { ...scratch, Options: ["nosuid"] }), "expected [] with ReadOnly false");
    await add("MappedVirtualDisk", disk);
    await add("MappedVirtualDisk", scratch);
    const block = { ...disk, MountPath: "/run/mounts/scsi/m9", BlockDev: true };
    await add("MappedVirtualDisk", block);
    await remove("MappedVirtualDisk", block);
    await refused(remove("MappedVirtualDisk", block), "cannot unmount /run/mounts/scsi/m9: it does not exist");
  });

  it("policy: the guest tracks what is mounted where, as what, and what uses it", async () => {
    await give(open);
    const disk = readOnlyDisk();
    const scratch = scratchDisk();
    await add("MappedVirtualDisk", disk);
    await add("MappedVirtualDisk", scratch);
    await refused(add("MappedVirtualDisk", scratchDisk(disk.MountPath)), "already");
    const layers = layersOn(disk.MountPath);
    await add("CombinedLayers", layers);
    await refused(add("CombinedLayers", layers), `${bundle}/rootfs is already a mount`);
    await refused(remove("MappedVirtualDisk", disk), "in use by 1 combined layers");
    await refused(remove("MappedVirtualDisk", scratch), "in use by 1 combined layers");
    await remove("CombinedLayers", layers);
    await remove("CombinedLayers", layers);
    await refused(remove("MappedVirtualDisk", { ...disk, ReadOnly: false }), "it is mounted as read-only disk");
    await refused(
      remove("MappedVirtualDisk", { ...scratch, MountPath: disk.MountPath }),
      "it is a mount of /dev/scsi/0/0",
    );
    await remove("MappedVirtualDisk", scratch);
    await remove("MappedVirtualDisk", disk);
    await refused(remove("MappedVirtualDisk", disk), `cannot unmount ${disk.MountPath}: it does not exist`);
    await refused(remove("MappedVirtualDisk", scratch), `cannot unmount ${bundle}`);
  });

  it("policy: a disk that could not be mounted counts as not mounted", async () => {
    await give(open);
    const scratch = scratchDisk();
    await expect(add("MappedVirtualDisk", { ...scratch, EnsureFilesystem: false })).rejects.toThrow("no file system");
    await add("MappedVirtualDisk", scratch);
    await remove("MappedVirtualDisk", scratch);
  });

  it("policy: layers are combined at their container's root, with the scratch directory of its id", async () => {
    await give(open);
    const path = "/run/mounts/scsi/m0";
    for (const ContainerRootPath of [`/run/gcs/pods/p/${id}/rootfs`, `/run/gcs/c/${other}/rootfs`, bundle]) {
      await refused(add("CombinedLayers", layersOn(path, { ContainerRootPath })), `expected ${bundle}/rootfs`);
    }
    for (const ScratchPath of [`/run/mounts/scsi/0/1/0/scratch/p/${id}`, `${bundle}/scratch/${other}`, bundle]) {
      await refused(add("CombinedLayers", layersOn(path, { ScratchPath })), "Request.Settings.ScratchPath");
    }
  });

  it("policy: layers of a running container stay, and its state stays until they are removed", async () => {
    await give(open);
    const disk = readOnlyDisk();
    await add("MappedVirtualDisk", disk);
    const scratch = scratchDisk();
    await add("MappedVirtualDisk", scratch);
    const layers = layersOn(disk.MountPath);
    await add("CombinedLayers", layers);
    await create(settings());
    await machine.client.request("start", id, {});
    const { exit } = await machine.execute(id);
    await refused(remove("CombinedLayers", layers), "it is the root file system of a running container");
    await refused(
      machine.client.request("deleteContainerState", id, {}),
      "cannot delete the state of a running container",
    );
    await machine.client.request("shutdownForced", id, {});
    await exit;
    await refused(machine.client.request("deleteContainerState", id, {}), "are still combined");
    await remove("CombinedLayers", layers);
    await remove("MappedVirtualDisk", scratch);
    await machine.client.request("deleteContainerState", id, {});
  });

  it("policy: names of shares are numbers", async () => {
    await give(open);
    await refused(machine.share("files", fixtures.rootfs, "/run/files"), 'ShareName "files": expected digits');
    const directory = { MountPath: `${bundle}/mounts/m0`, ShareName: "7" };
    await machine.share(directory.ShareName, fixtures.rootfs, directory.MountPath);
    await remove("MappedDirectory", directory);
    await remove("MappedDirectory", directory);
  });

  it("policy: after a failed unmount nothing can be mounted, created or deleted", async () => {
    await give(open);
    const scratch = scratchDisk();
    await add("MappedVirtualDisk", scratch);
    const reader = { CommandArgs: ["sh", "-c", "read line"], WorkingDirectory: bundle };
    const user = await machine.execute(uvmContainerId, reader);
    await expect(remove("MappedVirtualDisk", scratch)).rejects.toThrow("EBUSY");
    user.stdin.end();
    await user.exit;
    const left = `frozen since a failure: cannot unmount ${bundle}`;
    await refused(remove("MappedVirtualDisk", scratch), left);
    await refused(add("MappedVirtualDisk", readOnlyDisk()), left);
    await refused(machine.share("1", fixtures.rootfs, `${bundle}/mounts/m0`), left);
    await refused(add("CombinedLayers", layersOn("/run")), left);
    await refused(create(settings()), left);
    await refused(machine.client.request("deleteContainerState", id, {}), left);
  });
});
