/** What the containers of a pod share, whoever makes the container that holds it: the shim, or containerd. */
import assert from "node:assert/strict";
import type { CriPod } from "../../cri/pod.ts";
import { runtime } from "../../generated/messages.js";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import type { PodForm } from "../containerd.ts";
import {
  CONTAINER_RUNNING,
  containerStatus,
  execSync,
  inEachForm,
  output,
  SANDBOX_READY,
  untilExited,
  withPod,
} from "../cri-case.ts";
import type { Case, CriCaseContext } from "../suite.ts";

const { POD, NODE, TARGET } = runtime.v1.NamespaceMode;
const ROOT = { value: 0 };
const SHARED = ["net", "ipc", "uts"];
const OWN = ["pid", "mnt"];

const namespaces = async (context: CriCaseContext, id: string, names: readonly string[]): Promise<string> =>
  await output(context, id, "sh", "-c", `for name in ${names.join(" ")}; do readlink /proc/self/ns/$name; done`);

async function threeContainers(context: CriCaseContext, handler: string): Promise<void> {
  const { cri } = context;
  const work = async (pod: CriPod): Promise<void> => {
    const ids = await Promise.all(["one", "two", "three"].map((name) => pod.run(name, ["sleep", "1000"])));
    const [one = "", two = "", three = ""] = ids;
    const shared = await namespaces(context, one, SHARED);
    const own = new Set<string>();
    for (const id of ids) {
      assert.equal(await namespaces(context, id, SHARED), shared);
      own.add(await namespaces(context, id, OWN));
      assert.equal(await output(context, id, "hostname"), `${pod.config.hostname}\n`);
    }
    assert.equal(own.size, ids.length, "each has processes and mounts of its own");
    await output(context, one, "sh", "-c", "echo word > /dev/shm/word");
    assert.equal(await output(context, two, "cat", "/dev/shm/word"), "word\n");
    // Not from its input: the end of the caller's would end it, whatever of that had been sent by then.
    const listening = execSync(context, two, ["nc", "-l", "-p", "7070", "-e", "echo", "heard"]);
    listening.catch(() => undefined);
    const heard = async (): Promise<string | undefined> =>
      (await execSync(context, three, ["nc", "127.0.0.1", "7070"])).stdout || undefined;
    const until = { timeoutMs: READY_MS, signal: context.signal };
    assert.equal(await poll("one container to hear the other", heard, until), "heard\n");
    assert.equal((await listening).status, 0);
    // The pod's network outlives the container that was the first in it.
    await cri.call("StopContainer", { containerId: one, timeout: 0 });
    assert.equal((await untilExited(context, one)).exitCode, 137);
    await cri.call("RemoveContainer", { containerId: one });
    assert.equal(await namespaces(context, await pod.run("four", ["sleep", "1000"]), SHARED), shared);
    const { status } = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
    assert.equal(status?.state, SANDBOX_READY);
  };
  await withPod(context, work, {}, handler);
}

/** What the program of the shim's sandbox has of files. Of containerd's the suite has only what holds it. */
const SANDBOX_ROOT = ["dev", "etc", "proc", "sandbox", "sys"];

async function sharedProcesses(context: CriCaseContext, handler: string, form: PodForm): Promise<void> {
  const work = async (pod: CriPod): Promise<void> => {
    const linux = processesOf(POD);
    const ids = await Promise.all(["one", "two"].map((name) => pod.run(name, ["sleep", "1000"], { linux })));
    const [one = "", two = ""] = ids;
    const mine = await namespaces(context, one, ["pid"]);
    assert.equal(await namespaces(context, two, ["pid"]), mine);
    assert.equal(await output(context, one, "readlink", "/proc/1/ns/pid"), mine);
    const first = await output(context, one, "cat", "/proc/1/comm");
    assert.equal(first, form === "containerd" ? "sleep\n" : "sandbox\n");
    for (const signal of [9, 15]) await output(context, one, "kill", `-${signal}`, "1");
    assert.equal(await output(context, two, "cat", "/proc/1/comm"), first, "it is nobody's to end");
    // Of containerd's pause image the suite has no program that reaps.
    if (form !== "containerd") {
      assert.deepEqual((await output(context, one, "ls", "/proc/1/root")).trim().split("\n").sort(), SANDBOX_ROOT);
      await output(context, one, "sh", "-c", "(sleep 0.2 & exec true) & wait");
      const isReaped = async (): Promise<true | undefined> => {
        const { stdout } = await execSync(context, two, ["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status"]);
        return stdout === "" || undefined;
      };
      await poll("no zombies", isReaped, { timeoutMs: READY_MS, signal: context.signal });
    }
    await context.cri.call("StopContainer", { containerId: two, timeout: 0 });
    assert.equal((await untilExited(context, two)).exitCode, 137);
    assert.equal((await containerStatus(context, one)).exitCode, 0, "the other one runs on");
  };
  await withPod(context, work, { linux: { securityContext: { runAsUser: ROOT } } }, handler);
}

async function processesOfTheVm(context: CriCaseContext, handler: string): Promise<void> {
  const { cri } = context;
  const linux = processesOf(NODE);
  const work = async (pod: CriPod): Promise<void> => {
    const one = await pod.run("one", ["sleep", "1001"], { linux });
    const two = await pod.run("two", ["sleep", "1002"], { linux });
    const commands = await commandsSeen(context, one);
    for (const command of ["sleep 1001", "sleep 1002"]) assert.ok(commands.includes(command), commands.join("\n"));
    const agent = await output(context, one, "cat", "/proc/1/cmdline");
    assert.match(agent, /initrd/);
    // What no handler of its own takes, the kernel keeps from the first process of a namespace; a debugger is such a handler.
    const signals = Array.from({ length: 31 }, (_, index) => index + 1);
    await output(context, one, "sh", "-c", `for signal in ${signals.join(" ")}; do kill -$signal 1 || exit 1; done`);
    assert.equal(await output(context, two, "cat", "/proc/1/cmdline"), agent);
    assert.doesNotMatch(await output(context, one, "sh", "-c", "cat /proc/1/task/*/comm"), /inspector/i);
    await pod.run("three", ["sleep", "1003"], { linux });
    const { status } = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
    assert.equal(status?.state, SANDBOX_READY);
  };
  await withPod(context, work, { linux }, handler);
}

async function debugged(context: CriCaseContext, handler: string): Promise<void> {
  const { cri } = context;
  const work = async (pod: CriPod): Promise<void> => {
    const target = await pod.run("target", ["sleep", "1001"]);
    const other = await pod.run("other", ["sleep", "1002"]);
    const config = { linux: { securityContext: { namespaceOptions: { pid: TARGET, targetId: target } } } };
    const debug = await pod.run("debug", ["sleep", "1003"], config);
    const joined = await namespaces(context, debug, ["pid"]);
    assert.equal(await namespaces(context, target, ["pid"]), joined);
    assert.notEqual(await namespaces(context, other, ["pid"]), joined);
    assert.notEqual(await namespaces(context, debug, ["mnt"]), await namespaces(context, target, ["mnt"]));
    const slept = (await commandsSeen(context, debug)).filter((command) => command.startsWith("sleep"));
    assert.deepEqual(slept, ["sleep 1001", "sleep 1003"]);
    assert.equal(await output(context, debug, "cat", "/proc/1/cmdline"), "sleep\x001001\x00");
    await output(context, target, "sh", "-c", "echo of the target > /tmp/word");
    assert.equal(await output(context, debug, "cat", "/proc/1/root/tmp/word"), "of the target\n");
    assert.notEqual((await execSync(context, debug, ["cat", "/tmp/word"])).status, 0, "its own files are others");
    // With its first process, a namespace ends.
    await cri.call("StopContainer", { containerId: target, timeout: 0 });
    assert.equal((await untilExited(context, debug)).exitCode, 137);
    assert.equal((await containerStatus(context, other)).state, CONTAINER_RUNNING);
  };
  await withPod(context, work, {}, handler);
}

const processesOf = (pid: runtime.v1.NamespaceMode) => ({ securityContext: { namespaceOptions: { pid } } });

async function commandsSeen(context: CriCaseContext, id: string): Promise<readonly string[]> {
  const script = 'for of in /proc/[0-9]*/cmdline; do tr "\\0" " " < $of; echo; done';
  const lines = (await output(context, id, "sh", "-c", script)).split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "");
}

const isShim = ({ runtime: { key } }: CriCaseContext): boolean => key === "lcow";

export const criNamespaceCases: readonly Case<CriCaseContext>[] = [
  ...inEachForm("three containers share network, IPC and name", threeContainers),
  ...inEachForm("containers share processes with what holds the pod, and see nothing of the VM", sharedProcesses),
  ...inEachForm("the node's processes are the VM's, whose agent nobody can end or debug", processesOfTheVm, isShim),
  ...inEachForm("a debugging container joins the processes of its target", debugged),
];
