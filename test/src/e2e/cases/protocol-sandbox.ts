/** The container that the shim makes for a sandbox of the Sandbox API, and what the containers beside it rely on. */
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { makeExt4 } from "@uvm-shim/test-support/disk";
import { Sandbox, Task } from "../../shim-client/shim.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { freezeGuest, systemOf, thawGuest } from "../../support/frozen-guest.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { timed } from "./ctr.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withPod,
} from "./protocol.ts";

/** What containerd waits for a deletion. */
const DELETION_MS = 5_000;
const sandboxId = "pod";
const KILL = ["CAP_KILL"];

/** In the VM's process namespace, with the right to end what runs there. */
const inVm = ({ process, linux, ...specification }: Specification): object => ({
  ...specification,
  process: { ...process, capabilities: { bounding: KILL, effective: KILL, permitted: KILL } },
  linux: { ...linux, namespaces: ["ipc", "uts", "mount", "network"].map((type) => ({ type })) },
});

async function deathOfTheSandbox(context: ProtocolCaseContext): Promise<void> {
  const rootfs = directoryRootfs(context);
  await withPod(context, async (pod) => {
    const { pid } = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId });
    const survivor = await pod.createContainer({ id: "survivor", args: ["sleep", "1000"], rootfs });
    await survivor.start();
    const wait = pod.shim.call(Sandbox, "WaitSandbox", { sandboxId });
    const killer = { id: "killer", args: ["kill", "-9", `${pid}`], rootfs, change: inVm };
    const { status, stderr } = await runToEnd(await pod.createContainer(killer));
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.equal((await wait).exitStatus, 137);
    await poll(
      "the sandbox to be not ready",
      async () => {
        const { state } = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId });
        return state === "SANDBOX_NOTREADY" || undefined;
      },
      { timeoutMs: WAIT_MS, signal: context.signal },
    );
    const late = pod.createContainer({ id: "late", args: ["true"], rootfs });
    await assertRefused(late, "FailedPrecondition", "its sandbox container has ended");
    // What runs is ended in good order.
    await survivor.kill(15);
    await survivor.kill(9);
    assert.equal(await survivor.wait(), 137);
    assert.equal(await survivor.delete(), 137);
  });
}

const SHARED_KINDS = { ipc: "ipc", uts: "uts", network: "net" } as const;
/** Those of a process of the guest, new ones, or none at all. */
const withNamespaces =
  (which: number | "new" | "left out", annotations: { readonly [key: string]: string } = {}) =>
  ({ linux, ...specification }: Specification): object => {
    const kinds = which === "left out" ? [] : Object.entries(SHARED_KINDS);
    const shared = kinds.map(([type, name]) =>
      which === "new" ? { type } : { type, path: `/proc/${which}/ns/${name}` },
    );
    return { ...specification, annotations, linux: { ...linux, namespaces: [{ type: "mount" }, ...shared] } };
  };

async function namedAndUnnamed(context: ProtocolCaseContext): Promise<void> {
  const rootfs = directoryRootfs(context);
  const ofCri = { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": sandboxId };
  const names = Object.values(SHARED_KINDS).join(" ");
  const args = ["sh", "-c", `for name in ${names}; do readlink /proc/self/ns/$name; done; hostname`];
  await withPod(context, async (pod) => {
    const { pid } = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId });
    const containers = await Promise.all(
      Object.entries({
        ...{ one: withNamespaces(pid), two: withNamespaces(pid), ofFirst: withNamespaces(1) },
        ...{ new: withNamespaces("new"), newToo: withNamespaces("new"), newByCri: withNamespaces("new", ofCri) },
        ...{ left: withNamespaces("left out"), leftByCri: withNamespaces("left out", ofCri) },
      }).map(([id, change]) => pod.createContainer({ id, args, rootfs, change })),
    );
    // All of them are made before the first one ends: the number of a namespace that has gone may come again.
    const [one, two, ofFirst, ...others] = (await Promise.all(containers.map(runToEnd))).map(({ stdout }) =>
      stdout.trim().split("\n"),
    );
    assert.deepEqual(two, one);
    assert.equal(one?.[3], "pod");
    // Process 1 is the guest's own, whose namespaces are no container's.
    assert.deepEqual(ofFirst, one);
    const [first, second, byCri, left, leftByCri] = others;
    // NICs are in one place only, and a client that knows no pods cannot know where.
    for (const seen of [first, second, left, leftByCri]) assert.equal(seen?.[2], one?.[2]);
    for (const kind of [0, 1]) {
      const found: ReadonlySet<string | undefined> = new Set(
        [one, first, second, byCri, left, leftByCri].map((seen) => seen?.[kind]),
      );
      assert.equal(found.size, 6, [...found].join(" "));
    }
  });
}

/** Beside the end of the VM a task that has ended is deleted like any other. */
async function deletedBesideTheEnd(context: ProtocolCaseContext): Promise<void> {
  for (let time = 0; time < 5; time++) {
    await withPod(context, async (pod) => {
      const options = { id: "c1", args: ["sleep", "1000"], rootfs: directoryRootfs(context) };
      const container = await pod.createContainer(options);
      await container.start();
      await container.kill(9);
      await container.wait();
      const stopping = pod.shim.call(Sandbox, "StopSandbox", { sandboxId, timeoutSecs: 10 });
      assert.deepEqual(await Promise.all([container.delete(), stopping.then(() => "stopped")]), [137, "stopped"]);
    });
  }
}

async function deletedInAHungGuest(context: ProtocolCaseContext): Promise<void> {
  const { signal } = context;
  await withPod(context, async (pod) => {
    const rootfs = directoryRootfs(context);
    const ended = await pod.createContainer({ id: "ended", args: ["true"], rootfs });
    const runs = await pod.createContainer({ id: "runs", args: ["sleep", "1000"], rootfs });
    for (const container of [ended, runs]) await container.start();
    await ended.wait();
    const system = systemOf(pod.identity.namespace, sandboxId);
    await freezeGuest(system);
    const { milliseconds } = await timed(() =>
      assertRefused(ended.delete(), "Unavailable", "delete task ended", "the guest has not answered"),
    );
    assert.ok(milliseconds < DELETION_MS, `Delete took ${milliseconds} ms`);
    const { status } = await pod.shim.call(Task, "State", { id: "runs" });
    assert.equal(status, containerd.v1.types.Status.RUNNING);
    await thawGuest(system);
    // As a kubelet does, until it is done.
    const repeated = async () => await ended.delete().catch(() => undefined);
    assert.equal(await poll("the deletion", repeated, { timeoutMs: WAIT_MS, signal }), 0);
    await runs.kill(9);
    await runs.wait();
    await runs.delete();
  });
}

async function rootsForReading(context: ProtocolCaseContext): Promise<void> {
  const root = join(context.directory, "root");
  cpSync(context.images.rootfs, root, { recursive: true, verbatimSymlinks: true });
  for (const name of ["etc", "dev", "proc", "sys"]) rmSync(join(root, name), { recursive: true, force: true });
  const image = join(context.directory, "image.ext4");
  await makeExt4(image, 32, root);
  await withPod(context, async (pod) => {
    for (const [id, mount] of [
      ["image", { type: "ext4", source: image, options: ["loop", "ro"] }],
      ["folder", { type: "bind", source: root, options: ["rbind", "ro"] }],
    ] as const) {
      const script = "cat /etc/hostname; touch /own || echo read-only";
      const options = { id, args: ["sh", "-c", script], rootfs: [mount] };
      const { status, stdout } = await runToEnd(await pod.createContainer(options));
      assert.deepEqual({ status, stdout }, { status: 0, stdout: "pod\nread-only\n" }, id);
    }
  });
}

export const protocolSandboxCases: readonly ProtocolCase[] = [
  { name: "a sandbox whose own container dies is not ready, and is shut down in order", run: deathOfTheSandbox },
  { name: "containers of a pod share the namespaces that they name by path, and no other", run: namedAndUnnamed },
  { name: "a task is deleted while its VM ends", run: deletedBesideTheEnd },
  {
    name: "a guest that hangs: a deletion is refused in time, and completes when it goes on",
    run: deletedInAHungGuest,
  },
  { name: "read-only root file systems without a single mount point", run: rootsForReading },
];
