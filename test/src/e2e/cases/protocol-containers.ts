/** What a container's specification can ask of a utility VM, and what it cannot; spoken to the shim directly. */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { appendVhdFooter, attachedBelow, makeExt4 } from "@uvm-shim/test-support/disk";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import type { ContainerOptions, Pod, PodContainer } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withPod,
} from "./protocol.ts";

const { TaskExit } = containerd.events;

export const bind = (destination: string, source: string, ...options: readonly string[]) => ({
  destination,
  type: "bind",
  source,
  options,
});
export const withMounts =
  (...mounts: readonly object[]) =>
  (specification: Specification): object => ({ ...specification, mounts: [...specification.mounts, ...mounts] });

export async function makeDisk(path: string, contents?: string): Promise<string> {
  await makeExt4(path, 16, contents);
  appendVhdFooter(path);
  return path;
}

/** A pod, and containers in it that run a script to their end. */
export async function withScripts(
  context: ProtocolCaseContext,
  work: (outputOf: (script: string, options?: Partial<ContainerOptions>) => Promise<string>, pod: Pod) => Promise<void>,
): Promise<void> {
  let count = 0;
  await withPod(context, (pod) =>
    work(async (script, options = {}) => {
      const args = ["sh", "-c", script];
      const container = await pod.createContainer({
        ...{ id: `script-${count++}`, args, rootfs: directoryRootfs(context) },
        ...options,
      });
      const { stdout, stderr } = await runToEnd(container);
      return stdout + stderr;
    }, pod),
  );
}

async function disks(context: ProtocolCaseContext): Promise<void> {
  const contents = join(context.directory, "contents");
  mkdirSync(contents);
  writeFileSync(join(contents, "file"), "on the disk\n");
  const disk = await makeDisk(join(context.directory, "data.vhd"), contents);
  const mount = (destination: string, type: string, ...options: readonly string[]) =>
    withMounts({ destination, type, source: disk, options });
  await withScripts(context, async (outputOf) => {
    const write = await outputOf("cat /d/file; echo more >>/d/file; grep -c ' /d ' /proc/self/mountinfo", {
      change: mount("/d", "virtual-disk", "rbind"),
    });
    assert.equal(write, "on the disk\n1\n");
    const readOnly = await outputOf("cat /d/file; echo x >/d/file", { change: mount("/d", "virtual-disk", "ro") });
    assert.match(readOnly, /^on the disk\nmore\n.*Read-only file system/s);
    const device = await outputOf(
      "test -b /dev/data && dd if=/dev/data bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1",
      {
        change: mount("blockdev:///dev/data", "virtual-disk", "ro"),
      },
    );
    assert.equal(device.trim(), "53 ef");
    assert.deepEqual(attachedBelow(context.directory), []);

    assert.match(await outputOf("cat /d/file", { change: mount("/d", "automanage-virtual-disk") }), /^on the disk/);
    assert.equal(existsSync(disk), false, "a disk that is managed automatically goes with its container");
  });
}

async function sharedPlaces(context: ProtocolCaseContext): Promise<void> {
  await withScripts(context, async (outputOf) => {
    for (const prefix of ["sandbox", "sandbox-tmp"]) {
      const change = withMounts(bind("/shared", `${prefix}://a`, "rbind"));
      await outputOf(`echo from ${prefix} >/shared/file`, { change });
      assert.equal(await outputOf("cat /shared/file", { change }), `from ${prefix}\n`);
    }
    const huge = withMounts(bind("/huge", "hugepages://2M/a"), bind("/uvm", "uvm:///run"));
    assert.match(await outputOf("grep ' /huge ' /proc/self/mountinfo; ls /uvm", { change: huge }), /hugetlbfs.*\ngcs/s);
  });
}

async function settings(context: ProtocolCaseContext): Promise<void> {
  await withScripts(context, async (outputOf) => {
    const process = { user: { uid: 1, gid: 2, additionalGids: [3], umask: 0o77 }, cwd: "/tmp/made" };
    const asUser = await outputOf("id -u; id -g; id -G; umask; pwd", {
      rootfs: [],
      change: (specification) => ({
        ...specification,
        root: { path: writableRoot(context) },
        process: { ...specification.process, ...process },
      }),
    });
    assert.equal(asUser, "1\n2\n2 3\n0077\n/tmp/made\n");
    const byName = await outputOf("id -u", {
      change: (specification) => ({
        ...specification,
        process: { ...specification.process, user: { uid: 7, gid: 7, username: "root" } },
      }),
    });
    assert.equal(byName, "0\n");
    const annotations = { "io.microsoft.lcow.shm.size-kb": "4096", "io.microsoft.lcow.rlimitcore": "1024;2048" };
    const annotated = await outputOf("df -k /dev/shm | tail -n 1; ulimit -c; ulimit -H -c", {
      change: (specification) => ({ ...specification, annotations }),
    });
    // The shell counts blocks of 512 bytes.
    assert.match(annotated, /^shm +4096 .*\n2\n4\n$/);
  });
}

export function writableRoot(context: Pick<ProtocolCaseContext, "directory" | "images">): string {
  const root = join(context.directory, "root");
  cpSync(context.images.rootfs, root, { recursive: true, verbatimSymlinks: true });
  return root;
}

async function sharedScratch(context: ProtocolCaseContext): Promise<void> {
  const layer = await makeLayer(join(context.directory, "layer"), context.images.rootfs);
  const scratch = await makeScratch(join(context.directory, "scratch"));
  const linked = join(context.directory, "linked");
  mkdirSync(linked);
  symlinkSync(join(scratch, "sandbox.vhd"), join(linked, "sandbox.vhd"));
  await withPod(context, async (pod) => {
    const containers: PodContainer[] = [];
    for (const [index, folder] of [scratch, linked].entries()) {
      const script = `ls /data; echo ${index} >/data/mine; cat /data/mine; read line`;
      const rootfs = [layersMount(folder, [layer])];
      const container = await pod.createContainer({ id: `c${index}`, args: ["sh", "-c", script], rootfs });
      await container.start();
      containers.push(container);
    }
    assert.equal(attachedBelow(context.directory).length, 2, "one layer and one scratch disk, each attached once");
    for (const [index, container] of containers.entries()) {
      container.stdio.stdin.end("\n");
      const { stdout } = await container.stdio.output();
      assert.equal(stdout.toString(), `pattern\n${index}\n`);
      await container.wait();
      await container.delete();
    }
  });
  const folders = await (async () => {
    let output = "";
    await withScripts(context, async (outputOf) => {
      output = await outputOf("ls /data; echo x >/data/y && echo written", {
        rootfs: [],
        change: (specification) => ({ ...specification, windows: { layerFolders: [layer, scratch] } }),
      });
    });
    return output;
  })();
  assert.match(folders, /pattern\nwritten\n$/);
}

/** Who lost an answer gets it again, after the deletion too. */
async function repeatedAnswers(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({
      id: "c1",
      args: ["sh", "-c", "exit 7"],
      rootfs: directoryRootfs(context),
    });
    await container.start();
    await container.wait();
    await poll("the exit event", async () => pod.sink.topics().includes("/tasks/exit") || undefined, {
      timeoutMs: WAIT_MS,
      signal: context.signal,
    });
    const call = { id: "c1" };
    const first = await pod.shim.call(Task, "Delete", call);
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await pod.shim.call(Task, "Delete", call), first);
      const { exitStatus, exitedAt } = await pod.shim.call(Task, "Wait", call);
      assert.deepEqual({ exitStatus, exitedAt }, { exitStatus: first.exitStatus, exitedAt: first.exitedAt });
      const state = await pod.shim.call(Task, "State", call);
      assert.equal(state.status, containerd.v1.types.Status.STOPPED);
      assert.deepEqual([state.id, state.exitStatus, state.exitedAt], ["c1", 7, first.exitedAt]);
    }
    const exits = pod.sink.events
      .filter(({ topic }) => topic === "/tasks/exit")
      .map(({ value }) => TaskExit.decode(value));
    assert.deepEqual(
      exits.map(({ id, exitStatus }) => `${id} ${exitStatus}`),
      ["c1 7"],
    );
    await assertRefused(pod.shim.call(Task, "Kill", { id: "c1", signal: 15 }), "NotFound", "c1");
    container.stdio.close();
    pod.forget(container.bundle);
  });
}

export const protocolContainerCases: readonly ProtocolCase[] = [
  { name: "disks as mounts: written, read-only, as devices, managed automatically", run: disks },
  { name: "folders that the containers of a pod share", run: sharedPlaces },
  { name: "a container's user, directory and annotations", run: settings },
  { name: "containers that share a scratch disk, and layers as folders", run: sharedScratch },
  { name: "State, Wait and Delete answer after the deletion", run: repeatedAnswers },
];
