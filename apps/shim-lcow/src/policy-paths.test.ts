import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FakeUpstream, pipes } from "@uvm-shim/controller-process/testing";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import type { LinuxCombinedLayers, LinuxMappedDirectory, LinuxMappedVirtualDisk } from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { Platform, Sandbox } from "@uvm-shim/shim";
import { attachedBelow, makeExt4 } from "@uvm-shim/test-support/disk";
import { appendHashTree } from "@uvm-shim/test-support/hash-tree";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createLcowPlatform } from "./platform-lcow.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));
const decisions = [
  ...["mount_device", "rw_mount_device", "mount_blockdev", "mount_overlay", "create_container"],
  ...["unmount_device", "rw_unmount_device", "unmount_blockdev", "unmount_overlay", "exec_in_container"],
  ...["exec_external", "shutdown_container", "signal_container_process", "plan9_mount", "plan9_unmount"],
  ...["get_properties", "dump_stacks", "runtime_logging", "load_fragment", "scratch_mount", "scratch_unmount"],
  "host_network",
];
const openPolicy = [
  "package policy",
  'api_version := "0.12.0"',
  ...decisions.map((name) => `${name} := {"allowed": true}`),
];
const podId = "a1".repeat(32);
const virtualMachine = "io.microsoft.virtualmachine.";

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("a pod with a security policy", () => {
  let folder: string;
  let socketPath: string;
  let host: ComputeHost;
  let platform: Platform;
  let sandbox: Sandbox | undefined;
  let rootfs: string;
  let layers: readonly string[];
  /** What the guest was asked to mount, in order. */
  let disks: LinuxMappedVirtualDisk[];
  let shares: LinuxMappedDirectory[];
  let combined: LinuxCombinedLayers[];

  const createPod = async (annotations: { readonly [key: string]: string }): Promise<void> => {
    sandbox = await platform.createSandbox({
      ...{ id: podId, namespace: "policy", bundle: folder, annotations, makesContainer: false },
    });
    await sandbox.start();
  };
  const pod = (): Sandbox => {
    if (sandbox === undefined) throw new Error("there is no pod");
    return sandbox;
  };
  const withPolicy = {
    [`${virtualMachine}lcow.securitypolicy`]: Buffer.from(openPolicy.join("\n")).toString("base64"),
    [`${virtualMachine}no_security_hardware`]: "true",
    // The emulated guest has no device mapper.
    [`${virtualMachine}storage.scratch.encrypted`]: "false",
  };
  /** The same, in words of which the shim does not know that they allow every share. */
  const withWordyPolicy = {
    ...withPolicy,
    [`${virtualMachine}lcow.securitypolicy`]: Buffer.from(
      openPolicy.join("\n").replace(/^(plan9_mount := \{"allowed": true)\}$/m, '$1, "env_list": null}'),
    ).toString("base64"),
  };
  const small = {
    [`${virtualMachine}computetopology.memory.sizeinmb`]: "256",
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "policy-"));
    mkdirSync(join(folder, "LinuxBootFiles"));
    writeFileSync(join(folder, "LinuxBootFiles/kernel"), `${processGuestKernel}\n`);
    symlinkSync(sourceOf("guest-agent/src/main.ts"), join(folder, "LinuxBootFiles/initrd.img"));
    socketPath = join(folder, "host.sock");
    const env = { [hostVariables.idleMs]: "100" };
    const start = { command: process.execPath, args: [sourceOf("host-emulator/src/main.ts")], env };
    host = await connectEmulatedHost({ socketPath, start });
    platform = createLcowPlatform({
      log: { log: () => {} },
      guestLog: { log: () => {} },
      requestLog: { log: () => {} },
      upstreamStdio: new FakeUpstream(new ScriptedCalls()),
      env: { UVM_SHIM_HOST: `unix:${socketPath}` },
      executableDirectory: folder,
      servesOnePod: true,
      namespace: "policy",
    });
    rootfs = join(folder, "rootfs");
    await makeRootfs(rootfs);
    mkdirSync(join(folder, "top"));
    writeFileSync(join(folder, "top/on-top"), "top\n");
    layers = [await treeLayer("layer-top", join(folder, "top")), await treeLayer("layer-base", rootfs)];
    [disks, shares, combined] = [[], [], []];
    for (const [method, seen] of [
      ["mountDisk", disks],
      ["mountShare", shares],
      ["addCombinedLayers", combined],
    ] as const) {
      const original = Reflect.get(LinuxGuest.prototype, method) as (...values: unknown[]) => Promise<void>;
      vi.spyOn(LinuxGuest.prototype, method).mockImplementation(function (this: LinuxGuest, ...values: unknown[]) {
        (seen as unknown[]).push(values[0]);
        return original.apply(this, values);
      });
    }
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await sandbox?.stop(10_000);
    sandbox = undefined;
    await platform.close();
    await host.close();
    await vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 });
    expect(attachedBelow(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  async function treeLayer(name: string, contents: string): Promise<string> {
    return await makeLayer(join(folder, name), contents, 32, appendHashTree);
  }

  async function userDisk(name: string, hasTree: boolean): Promise<string> {
    const contents = join(folder, `${name}-contents`);
    mkdirSync(contents);
    writeFileSync(join(contents, "file"), `${name}\n`);
    const disk = join(folder, name);
    await makeExt4(disk, 16, contents);
    if (hasTree) appendHashTree(disk);
    return disk;
  }

  const specification = (script: string, mounts: readonly object[], annotations = {}) => ({
    ociVersion: "1.0.2",
    process: { args: ["sh", "-c", script], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } },
    root: { path: "rootfs" },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }, ...mounts],
    linux: { namespaces: [{ type: "pid" }, { type: "mount" }], resources: {} },
    annotations,
  });

  const run = async (
    id: string,
    spec: object,
    roots: readonly { type: string; source: string; options: readonly string[] }[],
  ) => {
    const container = await pod().createContainer({
      id,
      bundle: folder,
      spec,
      rootfs: roots,
      stdio: pipes,
      onOutOfMemory: () => {},
    });
    await container.init.start();
    return await container.init.wait();
  };

  it("policy paths: layers, scratch, disks and shares are mounted where the guest and its framework demand", async () => {
    await createPod({ ...small, ...withWordyPolicy });
    const shared = join(folder, "shared");
    mkdirSync(shared);
    writeFileSync(join(shared, "file"), "shared\n");
    const mounts = [
      { destination: "/ro", type: "virtual-disk", source: await userDisk("read-only", true), options: ["ro"] },
      {
        destination: "/rw",
        type: "virtual-disk",
        source: await userDisk("writable", false),
        options: ["rbind", "nosuid"],
      },
      { destination: "/dir", type: "bind", source: shared, options: ["rbind"] },
      { destination: "/one", type: "bind", source: join(shared, "file"), options: ["bind", "ro"] },
    ];
    const script = [
      "set -e; test $(cat /on-top) = top; test $(cat /ro/file) = read-only; test $(cat /rw/file) = writable",
      "test $(cat /dir/file) = shared; test $(cat /one) = shared; echo new >/rw/new; echo new >/dir/new; echo new >/root-file",
      "! touch /ro/x 2>/dev/null; ! touch /one 2>/dev/null; test -s $UVM_SECURITY_CONTEXT_DIR/security-policy-base64",
    ].join("; ");
    const sandboxType = { "io.kubernetes.cri.container-type": "sandbox" };
    const scratch = (name: string) => makeScratch(join(folder, name));
    const pause = specification("true", [], sandboxType);
    expect(await run(podId, pause, [layersMount(await scratch("s0"), layers)])).toMatchObject({ status: 0 });
    const workload = { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": podId };
    // No id of the form that the guest takes, so that it knows the container by another.
    const spec = specification(script, mounts, workload);
    expect(await run("workload", spec, [layersMount(await scratch("s1"), layers)])).toMatchObject({ status: 0 });
    expect(readFileSync(join(shared, "new"), "utf8")).toBe("new\n");

    const readOnly = disks.filter(({ ReadOnly }) => ReadOnly);
    const writable = disks.filter(({ ReadOnly }) => !ReadOnly);
    expect(readOnly.length).toBe(3);
    for (const { MountPath, Options } of readOnly) {
      expect(MountPath).toMatch(/^\/run\/mounts\/scsi\/m[0-9]+$/);
      expect(Options).toEqual(["ro"]);
    }
    expect(writable.length).toBe(3);
    for (const { MountPath, Options } of writable) {
      expect(MountPath).toMatch(/^\/run\/gcs\/c\/[0-9a-f]{64}$/);
      expect(Options).toEqual([]);
    }
    expect(combined.map(({ ContainerID }) => ContainerID)).toEqual([podId, expect.stringMatching(/^[0-9a-f]{64}$/)]);
    for (const { ContainerID: id, ContainerRootPath, ScratchPath } of combined) {
      expect(ContainerRootPath).toBe(`/run/gcs/c/${id}/rootfs`);
      expect(ScratchPath).toBe(`/run/gcs/c/${id}/scratch/${id}`);
      expect(writable.map(({ MountPath }) => MountPath)).toContain(`/run/gcs/c/${id}`);
    }
    const workloadId = combined[1]?.ContainerID ?? "";
    expect(shares.length).toBe(2);
    for (const { MountPath, ShareName } of shares) {
      expect(MountPath).toMatch(new RegExp(`^/run/gcs/c/${workloadId}/mounts/m[0-9]+$`));
      expect(ShareName).toMatch(/^[0-9]+$/);
    }
    const places = [...disks, ...shares].map(({ MountPath }) => MountPath);
    expect(new Set(places).size).toBe(places.length);

    await pod().deleteContainer("workload");
    expect(attachedBelow(folder).filter((path) => !path.includes("/layer-"))).toEqual([join(folder, "s0/sandbox.vhd")]);
    // The same again: what was given back can be had again, under the same names.
    expect(await run("workload", spec, [layersMount(join(folder, "s1"), layers)])).toMatchObject({ status: 0 });
    await pod().deleteContainer("workload");
    await pod().deleteContainer(podId);
  });

  it("policy paths: a shared root is the lower layer of one in memory, a root disk is mounted in the container's folder", async () => {
    await createPod({ ...small, ...withPolicy });
    const script = specification("set -e; echo new >/new; test $(cat /new) = new; rm /bin/sleep", []);
    expect(await run(podId, script, [])).toMatchObject({ status: 0 });
    expect(existsSync(join(rootfs, "new"))).toBe(false);
    expect(existsSync(join(rootfs, "bin/sleep"))).toBe(true);
    await pod().deleteContainer(podId);
    const image = join(folder, "image");
    await makeExt4(image, 32, rootfs);
    const disk = { type: "ext4", source: image, options: ["loop"] };
    expect(await run("image", specification("echo new >/new", []), [disk])).toMatchObject({ status: 0 });
    await pod().deleteContainer("image");
    expect(attachedBelow(folder)).toEqual([]);
    expect(shares.map(({ MountPath, ReadOnly }) => [MountPath, ReadOnly])).toEqual([["/run/mounts/p9/0", true]]);
    expect(combined).toMatchObject([{ ContainerRootPath: `/run/gcs/c/${podId}/rootfs` }]);
    expect(disks.map(({ MountPath, Options }) => [MountPath, Options])).toEqual([
      [expect.stringMatching(/^\/run\/gcs\/c\/[0-9a-f]{64}\/rootfs$/), []],
    ]);
  });

  it("policy paths: files of the host are mounted where a guest that fails to create a container deletes none", async () => {
    await createPod({ ...small, ...withPolicy });
    const shared = join(folder, "shared");
    mkdirSync(shared);
    writeFileSync(join(shared, "file"), "shared\n");
    const mounts = [{ destination: "/dir", type: "bind", source: shared, options: ["rbind"] }];
    const { process, ...spec } = specification("", mounts);
    const missing = { ...spec, process: { ...process, args: ["/no/such/program"] } };
    const roots = [layersMount(await makeScratch(join(folder, "s0")), layers)];
    // The emulated guest would say what the real one had deleted.
    await expect(run(podId, missing, roots)).rejects.toThrow(/^(?!.*deletes).*\/no\/such\/program/s);
    expect(shares.map(({ MountPath }) => MountPath)).toEqual(["/run/mounts/p9/0"]);
    expect(readFileSync(join(shared, "file"), "utf8")).toBe("shared\n");
    expect(attachedBelow(folder)).toEqual([]);
    // The disk comes to a retry as it was, and its container has all of its root.
    expect(await run(podId, specification("test -e /bin/sh", mounts), roots)).toMatchObject({ status: 0 });
    await pod().deleteContainer(podId);
  });

  it("policy paths: without a policy each pod has its own folder, and its containers use common shares", async () => {
    await createPod(small);
    const mounts = [{ destination: "/dir", type: "bind", source: rootfs, options: ["rbind"] }];
    for (const id of ["first", "second"]) {
      const roots = [layersMount(await makeScratch(join(folder, id)), layers)];
      expect(await run(id, specification("test -e /dir/bin", mounts), roots)).toMatchObject({ status: 0 });
    }
    expect(combined.map(({ ContainerRootPath }) => ContainerRootPath)).toEqual([
      `/run/gcs/pods/${podId}/first/rootfs`,
      `/run/gcs/pods/${podId}/second/rootfs`,
    ]);
    expect(shares.length).toBe(1);
    for (const id of ["first", "second"]) await pod().deleteContainer(id);
    expect(attachedBelow(folder)).toEqual([]);
  });
});
