/** Pods through containerd's implementation of Kubernetes' runtime interface, with the shim as sandboxer. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import type { CriPod } from "../../cri/pod.ts";
import { CriStream } from "../../cri/stream.ts";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { askedHandler, classicHandler } from "../containerd.ts";
import {
  CONTAINER_RUNNING,
  containerStatus,
  execSync,
  inEachForm,
  memoryLimit,
  output,
  SANDBOX_NOTREADY,
  SANDBOX_READY,
  untilExited,
  withPod,
} from "../cri-case.ts";
import { MEBIBYTE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";

async function lifeOfAPod(context: CriCaseContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const { status } = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
    assert.equal(status?.state, SANDBOX_READY);
    const long = await pod.run("long", ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"]);
    assert.equal((await containerStatus(context, long)).state, CONTAINER_RUNNING);
    const short = await pod.run("short", ["sh", "-c", "exit 3"]);
    assert.equal((await untilExited(context, short)).exitCode, 3);
    assert.deepEqual(await execSync(context, long, ["sh", "-c", "echo in; echo bad >&2; exit 5"]), {
      status: 5,
      stdout: "in\n",
      stderr: "bad\n",
    });
    assert.deepEqual(pod.logged("long"), { stdout: "out\n", stderr: "err\n" });
    await cri.call("StopContainer", { containerId: long, timeout: 1 });
    assert.equal((await untilExited(context, long)).exitCode, 137);
    // Kubelets repeat what they are not sure of.
    await cri.call("StopContainer", { containerId: long, timeout: 1 });
    for (const containerId of [long, short, long]) await cri.call("RemoveContainer", { containerId });
    for (let time = 0; time < 2; time++) await cri.call("StopPodSandbox", { podSandboxId: pod.id });
    const stopped = await poll(
      "the pod to be not ready",
      async () => {
        const answer = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
        return answer.status?.state === SANDBOX_NOTREADY ? answer : undefined;
      },
      { timeoutMs: READY_MS, signal: context.signal },
    );
    assert.equal(stopped.status?.id, pod.id);
  });
  const { items } = await cri.call("ListPodSandbox", {});
  assert.deepEqual(items, []);
}

async function terminals(context: CriCaseContext): Promise<void> {
  const { cri } = context;
  await withPod(context, async (pod) => {
    const id = await pod.run("shell", ["sh", "-c", "echo ready; read line; echo got $line; read line; exit 4"], {
      tty: true,
      stdin: true,
    });
    const exec = await cri.call("Exec", {
      containerId: id,
      // The size may come after the start.
      cmd: ["sh", "-c", 'until [ "$(stty size)" = "37 101" ]; do sleep 0.05; done; read line; exit 7'],
      tty: true,
      stdin: true,
      stdout: true,
    });
    const inside = await CriStream.open(exec.url);
    inside.resize(101, 37);
    inside.write("go\n");
    assert.equal((await inside.ended).status, 7, inside.stdout);
    const attach = await cri.call("Attach", { containerId: id, tty: true, stdin: true, stdout: true });
    const attached = await CriStream.open(attach.url);
    attached.write("hello\n");
    await attached.outputMatches(/got hello/, READY_MS);
    attached.write("bye\n");
    await attached.ended;
    assert.equal((await untilExited(context, id)).exitCode, 4);
    assert.match(pod.logged("shell").stdout, /ready[\s\S]*got hello/);
  });
}

/** What needs the pod's shim beside the calls of the case itself. */
async function everythingWorks(context: CriCaseContext, podId: string, id: string): Promise<void> {
  const { cri } = context;
  const { stats } = await cri.call("ContainerStats", { containerId: id });
  assert.ok(Number(stats?.memory?.workingSetBytes?.value) > 0, JSON.stringify(stats?.memory));
  const pods = await cri.call("ListPodSandboxStats", { filter: { id: podId } });
  // containerd lists those that have ended too.
  assert.deepEqual(
    pods.stats.map(({ attributes, linux }) => [attributes?.id, linux?.containers.length]),
    [[podId, 2]],
  );
  const limit = 96 * MEBIBYTE;
  await cri.call("UpdateContainerResources", { containerId: id, linux: { memoryLimitInBytes: limit } });
  assert.equal(await memoryLimit(context, id), limit);
  const cmd = ["sh", "-c", "read line; echo got $line; exit 7"];
  const exec = await cri.call("Exec", { containerId: id, cmd, tty: true, stdin: true, stdout: true });
  const terminal = await CriStream.open(exec.url);
  terminal.write("typed\n");
  assert.equal((await terminal.ended).status, 7);
  assert.match(terminal.stdout, /got typed/);
  const attach = await cri.call("Attach", { containerId: id, stdout: true });
  const attached = await CriStream.open(attach.url);
  await attached.outputMatches(/\d+\n\d+\n/, READY_MS);
  attached.close();
}

async function untilReady({ cri, signal }: CriCaseContext, podSandboxId: string): Promise<void> {
  await poll(
    "the pod to be ready again",
    async () => {
      try {
        const { status } = await cri.call("PodSandboxStatus", { podSandboxId });
        return status?.state === SANDBOX_READY ? true : undefined;
      } catch (error) {
        // It accepts calls before it answers them, and 1.7 says so without a code.
        const { code, details } = error as ServiceError;
        if (code !== grpcStatus.UNAVAILABLE && details !== "server is not initialized yet") throw error;
        return undefined;
      }
    },
    { timeoutMs: READY_MS, signal },
  );
}

/** Types a line into a container by an attachment of its own, which then goes. */
async function typeAttached({ cri }: CriCaseContext, containerId: string, tty: boolean, line: string): Promise<void> {
  const attach = await cri.call("Attach", { containerId, tty, stdin: true, stdout: true, stderr: !tty });
  const attached = await CriStream.open(attach.url);
  attached.write(`${line}\n`);
  await attached.outputMatches(new RegExp(`got ${line}`), READY_MS);
  attached.close();
}

async function inputOutlivesClients(context: CriCaseContext, handler: string): Promise<void> {
  const { containerd } = context;
  const script = "while read line; do echo got $line; done; exit 4";
  const work = async (pod: CriPod): Promise<void> => {
    const containers: { readonly id: string; readonly tty: boolean }[] = [];
    for (const tty of [false, true]) {
      const id = await pod.run(tty ? "terminal" : "pipes", ["sh", "-c", script], { tty, stdin: true });
      containers.push({ id, tty });
    }
    const typeToAll = async (line: string): Promise<void> => {
      for (const { id, tty } of containers) await typeAttached(context, id, tty, line);
    };
    for (const line of ["first", "second"]) await typeToAll(line);
    await containerd.stop("SIGKILL");
    await containerd.start(context.signal);
    await untilReady(context, pod.id);
    for (const line of ["third", "fourth"]) await typeToAll(line);
    for (const { id } of containers) assert.equal((await containerStatus(context, id)).state, CONTAINER_RUNNING);
  };
  await withPod(context, work, {}, handler);
}

async function restart(context: CriCaseContext): Promise<void> {
  const { cri, containerd } = context;
  await withPod(context, async (pod) => {
    const script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done";
    const counter = await pod.run("counter", ["sh", "-c", script]);
    // Of what ended while it was away, containerd loses the exit code, also with runc.
    const ending = await pod.run("ending", ["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.05; done; exit 9"]);
    await containerd.stop();
    await containerd.start(context.signal);
    await untilReady(context, pod.id);
    assert.equal((await containerStatus(context, counter)).state, CONTAINER_RUNNING);
    // Its own exit code is 137 where the container ends before it does.
    await execSync(context, ending, ["touch", "/tmp/go"]);
    assert.equal((await untilExited(context, ending)).exitCode, 9);
    assert.equal(await output(context, counter, "echo", "after"), "after\n");
    await everythingWorks(context, pod.id, counter);
    const another = await pod.run("another", ["sh", "-c", "exit 6"]);
    assert.equal((await untilExited(context, another)).exitCode, 6);
    const seen = pod.logged("counter").stdout.length;
    await poll("more to be logged", () => (pod.logged("counter").stdout.length > seen ? true : undefined), {
      timeoutMs: READY_MS,
      signal: context.signal,
    });
    const numbers = pod.logged("counter").stdout.trim().split("\n").map(Number);
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index),
      "the log has every line once, in order",
    );
    await cri.call("StopContainer", { containerId: counter, timeout: 0 });
    assert.equal((await untilExited(context, counter)).exitCode, 137);
  });
}

/**
 * From 2.1 on containerd says what its handlers can do. It asks the runtimes of runc's type alone, by `-info`: what it
 * knows nothing of it has nothing to say about. Only pods that it makes itself are run by the shim of such a path, which
 * its sandboxer for shims does not look at.
 */
async function featuresOfHandlers(context: CriCaseContext): Promise<void> {
  const { cri, runtime } = context;
  const asked = askedHandler(classicHandler(runtime.name));
  const { runtimeHandlers } = await cri.call("Status", {});
  const featuresOf = (handler: string) => runtimeHandlers.find(({ name }) => name === handler)?.features;
  for (const name of [runtime.name, classicHandler(runtime.name)]) assert.equal(featuresOf(name), null);
  const { recursiveReadOnlyMounts, userNamespaces } = featuresOf(asked) ?? {};
  assert.deepEqual([recursiveReadOnlyMounts, userNamespaces], [true, false]);
  const work = async (pod: CriPod): Promise<void> => {
    const host = join(context.scratch, context.newId("read-only"));
    mkdirSync(host);
    const mounts = [{ containerPath: "/in", hostPath: host, readonly: true, recursiveReadOnly: true }];
    const id = await pod.run("reader", ["sleep", "1000"], { mounts });
    assert.match(await output(context, id, "grep", " /in ", "/proc/self/mountinfo"), / \/in ro,/);
  };
  await withPod(context, work, {}, asked);
}

export const criCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: a pod and its containers, from run to remove", run: lifeOfAPod },
  { name: "CRI: exec with a terminal, attach", run: terminals },
  { name: "CRI: containerd restarts in the middle of a running pod", run: restart },
  {
    name: "CRI: the features that containerd reports for a handler",
    applies: ({ containerd, forms }) => containerd.build.major >= 2 && forms.includes("shim"),
    run: featuresOfHandlers,
  },
  ...inEachForm("standard input outlives its clients and a killed containerd", inputOutlivesClients),
];
