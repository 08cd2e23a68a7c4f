/**
 * Windows pods through the runtime interface of a containerd for Linux: it asks the shim for the sandbox's platform, and
 * does everything with a Windows container but write its specification. That is done by the calls of a containerd for
 * Windows (../windows/cri-container.ts); the rest is the runtime interface's own again.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { containerd as shimMessages } from "@uvm-shim/shim/protocol";
import type { PodConfig } from "../../cri/client.ts";
import { CriPod } from "../../cri/pod.ts";
import { CriStream } from "../../cri/stream.ts";
import { utilityVmAnnotation } from "../../shim-client/windows-spec.ts";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { taskMetrics, taskPids } from "../containerd-grpc.ts";
import {
  CONTAINER_RUNNING,
  containerStatus,
  execSync,
  SANDBOX_NOTREADY,
  SANDBOX_READY,
  untilExited,
} from "../cri-case.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { type CriContainerOptions, recordContainer } from "../windows/cri-container.ts";
import { CONFIGURED_HANDLER, WINDOWS_RUNTIME, type WindowsImage } from "../windows/cri-image.ts";
import type { WindowsSnapshotter } from "../windows/snapshotter.ts";

const { Statistics } = shimMessages.runhcs.stats.v1;

export interface CriWindowsContext extends CriCaseContext {
  readonly image: WindowsImage;
  /** No layer names the utility VM's files to a sandbox, which has no image. */
  readonly baseLayer: string;
  readonly snapshotter: WindowsSnapshotter;
}

/**
 * Without runtime options: containerd from 2.0.5 to 2.3.0 starts no container of a shim's sandbox whose handler has other
 * options than runc's ("can't unmarshal type \"runtimeoptions.v1.Options\" to output \"containerd.runc.v1.Options\"").
 */
async function withPod(
  context: CriWindowsContext,
  work: (pod: CriPod) => Promise<void>,
  pod: { readonly runtimeHandler: string; readonly config?: PodConfig } = {
    runtimeHandler: WINDOWS_RUNTIME,
    config: { annotations: { [utilityVmAnnotation]: context.baseLayer } },
  },
): Promise<void> {
  const { cri, scratch: directory, image, snapshotter } = context;
  const snapshots = snapshotter.names;
  const name = context.newId("windows");
  const made = await CriPod.run({ cri, directory, name, image: image.name, ...pod });
  try {
    await work(made);
  } catch (error) {
    // What failed first is what matters.
    await made.remove().catch(() => undefined);
    throw error;
  }
  await made.remove();
  assert.deepEqual((await cri.call("ListPodSandbox", {})).items, []);
  assert.deepEqual((await cri.call("ListContainers", {})).containers, []);
  // containerd answers first, and removes what was put on its snapshotter's list after that.
  const areGone = (): true | undefined => isDeepStrictEqual(snapshotter.names, snapshots) || undefined;
  await poll("the snapshots to go", areGone, { timeoutMs: READY_MS, signal: context.signal }).catch(() => {});
  assert.deepEqual(snapshotter.names, snapshots, "of the containers nothing is left, of the image everything");
}

type Wanted = Omit<CriContainerOptions, "pod" | "image">;

/** Containers that are created and not started, by their names. */
async function create<Name extends string>(
  context: CriWindowsContext,
  pod: CriPod,
  wanted: { readonly [name in Name]: Omit<Wanted, "name"> },
): Promise<{ readonly [name in Name]: string }> {
  const { cri, containerd, image, signal } = context;
  const ids: { [name: string]: string } = {};
  for (const [name, options] of Object.entries<Omit<Wanted, "name">>(wanted)) {
    ids[name] = await recordContainer(containerd, { ...options, pod, image, name });
  }
  // The runtime interface looks at what is recorded when it starts, and at no other time.
  await containerd.stop();
  await containerd.start(signal);
  const isReady = async (): Promise<true | undefined> => {
    const { items } = await cri.call("ListPodSandbox", {});
    return items.some(({ id, state }) => id === pod.id && state === SANDBOX_READY) || undefined;
  };
  await poll("the pod to be known again", isReady, { timeoutMs: READY_MS, signal });
  return ids as { readonly [name in Name]: string };
}

async function lifeOfAPod(context: CriWindowsContext): Promise<void> {
  const { cri, image } = context;
  const work = async (pod: CriPod): Promise<void> => {
    const podSandboxId = pod.id;
    const { status } = await cri.call("PodSandboxStatus", { podSandboxId });
    assert.equal(status?.state, SANDBOX_READY);
    // Of a pod's own figures, containerd for Linux has those of its cgroup.
    const { stats } = await cri.call("ListPodSandboxStats", { filter: { id: podSandboxId } });
    assert.deepEqual(
      stats.map(({ attributes, linux }) => [attributes?.id, linux?.containers]),
      [[podSandboxId, []]],
    );
    await assert.rejects(pod.create("refused", ["C:\\probe.exe", "wait"]), /failed to generate spec: not implemented/);
    assert.deepEqual((await cri.images()).includes(image.name), true);
    for (let time = 0; time < 2; time++) await cri.call("StopPodSandbox", { podSandboxId });
    const isStopped = async (): Promise<true | undefined> => {
      const answer = await cri.call("PodSandboxStatus", { podSandboxId });
      return answer.status?.state === SANDBOX_NOTREADY || undefined;
    };
    await poll("the pod to be not ready", isStopped, { timeoutMs: READY_MS, signal: context.signal });
  };
  await withPod(context, work, { runtimeHandler: CONFIGURED_HANDLER });
}

async function lifeOfContainers(context: CriWindowsContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const { long, short } = await create(context, pod, {
      long: { args: ["C:\\probe.exe", "copy"], stdin: true },
      short: { args: ["cmd", "/c", "echo out& echo err>&2& echo %FROM%& exit 42"] },
    });
    for (const containerId of [long, short]) await cri.call("StartContainer", { containerId });
    assert.equal((await untilExited(context, short)).exitCode, 42);
    const { stdout, stderr } = pod.logged("short");
    assert.deepEqual([stdout.trim().split(/\r?\n/), stderr.trim()], [["out", "image"], "err"]);
    const running = await containerStatus(context, long);
    assert.equal(running.state, CONTAINER_RUNNING, JSON.stringify(running));
    assert.deepEqual(await execSync(context, long, ["cmd", "/c", "echo in& echo bad>&2& exit 5"]), {
      ...{ status: 5, stdout: "in\r\n", stderr: "bad\r\n" },
    });
    const attach = await cri.call("Attach", { containerId: long, stdin: true, stdout: true, stderr: true });
    const attached = await CriStream.open(attach.url);
    attached.write("hello\r\n");
    await attached.outputMatches(/hello/, READY_MS);
    attached.close();
    assert.match(pod.logged("long").stdout, /hello/);
    await cri.call("StopContainer", { containerId: long, timeout: 10 });
    await untilExited(context, long);
    for (const containerId of [long, short, long]) await cri.call("RemoveContainer", { containerId });
  });
}

async function streamsOfExecs(context: CriWindowsContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const { shell } = await create(context, pod, {
      shell: { args: ["C:\\probe.exe", "sizes"], tty: true, stdin: true },
    });
    await cri.call("StartContainer", { containerId: shell });
    const script = "set /p line=& echo got !line!& exit 7";
    const piped = await cri.call("Exec", {
      ...{ containerId: shell, cmd: ["cmd", "/v:on", "/c", script], stdin: true, stdout: true, stderr: true },
    });
    const asking = await CriStream.open(piped.url);
    asking.write("a line\r\n");
    assert.equal((await asking.ended).status, 7);
    assert.match(asking.stdout, /got a line/);
    const cmd = ["C:\\probe.exe", "sizes"];
    const exec = await cri.call("Exec", { containerId: shell, cmd, tty: true, stdin: true, stdout: true });
    const attach = await cri.call("Attach", { containerId: shell, tty: true, stdin: true, stdout: true });
    for (const [url, width, height] of [
      [exec.url, 117, 42],
      [attach.url, 101, 37],
    ] as const) {
      const terminal = await CriStream.open(url);
      terminal.resize(width, height);
      const resized = terminal.outputMatches(new RegExp(`size=${width}x${height}`), READY_MS);
      const typing = setInterval(() => terminal.write("\r"), 100);
      await resized.finally(() => clearInterval(typing));
      terminal.write("\x1a\r");
      assert.equal((await terminal.ended).status, 0);
    }
    assert.equal((await untilExited(context, shell)).exitCode, 0);
  });
}

async function statistics(context: CriWindowsContext): Promise<void> {
  const { cri, containerd } = context;
  await withPod(context, async (pod) => {
    const { worker } = await create(context, pod, { worker: { args: ["C:\\probe.exe", "wait"] } });
    await cri.call("StartContainer", { containerId: worker });
    assert.equal((await execSync(context, worker, ["cmd", "/c", "echo 1234> C:\\written.txt"])).status, 0);
    // Debian builds its containerd without what reads the figures of a Windows container: a message of hcsshim's.
    const refusal = /container metrics for platform .*windows.*: not implemented/;
    await assert.rejects(cri.call("ContainerStats", { containerId: worker }), refusal);
    assert.deepEqual((await cri.call("ListContainerStats", {})).stats, []);
    const { stats } = await cri.call("ListPodSandboxStats", { filter: { id: pod.id } });
    assert.deepEqual(
      stats.map(({ attributes }) => attributes?.id),
      [pod.id],
    );
    // What the same calls ask for on Windows: the figures of every task and of the pod itself, and the processes.
    const endpoint = { socket: containerd.address, namespace: containerd.namespace };
    const metrics = await taskMetrics(endpoint, [worker, pod.id]);
    const byId = new Map(
      metrics.map(({ id, data }) => {
        assert.match(data.typeUrl, /containerd\.runhcs\.stats\.v1\.Statistics$/);
        return [id, Statistics.decode(data.value)];
      }),
    );
    assert.deepEqual([...byId.keys()].sort(), [worker, pod.id].sort());
    const windows = byId.get(worker)?.windows;
    assert.ok(Number(windows?.processor?.totalRuntimeNs) > 0, JSON.stringify(windows));
    assert.ok(Number(windows?.memory?.memoryUsagePrivateWorkingSetBytes) > 0, JSON.stringify(windows));
    assert.ok(Number(byId.get(pod.id)?.vm?.memory?.workingSetBytes) > 0, JSON.stringify(byId.get(pod.id)));
    assert.ok((await taskPids(endpoint, worker)).length > 0);
    await cri.call("StopContainer", { containerId: worker, timeout: 0 });
  });
}

const asOnWindows = "whose container is recorded by the calls of a containerd for Windows";

export const criWindowsCases: readonly Case<CriWindowsContext>[] = [
  { name: "CRI: a Windows pod lives and goes; containerd for Linux has no words for its containers", run: lifeOfAPod },
  { name: `CRI: start, exec, attach, stop and remove in a Windows pod ${asOnWindows}`, run: lifeOfContainers },
  { name: `CRI: streams and terminals of a Windows pod ${asOnWindows}`, run: streamsOfExecs },
  { name: `CRI: statistics of a Windows pod ${asOnWindows}`, run: statistics },
];
