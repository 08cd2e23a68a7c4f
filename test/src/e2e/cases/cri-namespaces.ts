/** What the containers of a pod share, whoever makes the container that holds it: the shim, or containerd. */
import assert from "node:assert/strict";
import type { CriPod } from "../../cri/pod.ts";
import { runtime } from "../../generated/messages.js";
import { poll } from "../../support/wait.ts";
import { classicHandler } from "../containerd.ts";
import { containerStatus, execSync, output, READY_MS, SANDBOX_READY, untilExited, withPod } from "../cri-ground.ts";
import type { Case, CriGround } from "../suite.ts";

const { POD } = runtime.v1.NamespaceMode;
const ROOT = { value: 0 };
const SHARED = ["net", "ipc", "uts"];
const OWN = ["pid", "mnt"];

const namespaces = async (ground: CriGround, id: string, names: readonly string[]): Promise<string> =>
  await output(ground, id, "sh", "-c", `for name in ${names.join(" ")}; do readlink /proc/self/ns/$name; done`);

async function threeContainers(ground: CriGround, handler: string): Promise<void> {
  const { cri } = ground;
  const work = async (pod: CriPod): Promise<void> => {
    const ids = await Promise.all(["one", "two", "three"].map((name) => pod.run(name, ["sleep", "1000"])));
    const [one = "", two = "", three = ""] = ids;
    const shared = await namespaces(ground, one, SHARED);
    const own = new Set<string>();
    for (const id of ids) {
      assert.equal(await namespaces(ground, id, SHARED), shared);
      own.add(await namespaces(ground, id, OWN));
      assert.equal(await output(ground, id, "hostname"), `${pod.config.hostname}\n`);
    }
    assert.equal(own.size, ids.length, "each has processes and mounts of its own");
    await output(ground, one, "sh", "-c", "echo word > /dev/shm/word");
    assert.equal(await output(ground, two, "cat", "/dev/shm/word"), "word\n");
    // Not from its input: the end of the caller's would end it, whatever of that had been sent by then.
    const listening = execSync(ground, two, ["nc", "-l", "-p", "7070", "-e", "echo", "heard"]);
    const heard = async (): Promise<string | undefined> =>
      (await execSync(ground, three, ["nc", "127.0.0.1", "7070"])).stdout || undefined;
    const until = { timeoutMs: READY_MS, signal: ground.signal };
    assert.equal(await poll("one container to hear the other", heard, until), "heard\n");
    assert.equal((await listening).status, 0);
    // The pod's network outlives the container that was the first in it.
    await cri.call("StopContainer", { containerId: one, timeout: 0 });
    assert.equal((await untilExited(ground, one)).exitCode, 137);
    await cri.call("RemoveContainer", { containerId: one });
    assert.equal(await namespaces(ground, await pod.run("four", ["sleep", "1000"]), SHARED), shared);
    const { status } = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
    assert.equal(status?.state, SANDBOX_READY);
  };
  await withPod(ground, work, {}, handler);
}

async function sharedProcesses(ground: CriGround, handler: string, root: readonly string[] | undefined): Promise<void> {
  const work = async (pod: CriPod): Promise<void> => {
    const linux = { securityContext: { namespaceOptions: { pid: POD } } };
    const ids = await Promise.all(["one", "two"].map((name) => pod.run(name, ["sleep", "1000"], { linux })));
    const [one = "", two = ""] = ids;
    const mine = await namespaces(ground, one, ["pid"]);
    assert.equal(await namespaces(ground, two, ["pid"]), mine);
    assert.equal(await output(ground, one, "readlink", "/proc/1/ns/pid"), mine);
    // Of containerd's pause image the suite has no program that reaps.
    if (root !== undefined) {
      assert.equal(await output(ground, one, "cat", "/proc/1/comm"), "sandbox\n");
      assert.deepEqual((await output(ground, one, "ls", "/proc/1/root")).trim().split("\n").sort(), root);
      await output(ground, one, "sh", "-c", "(sleep 0.2 & exec true) & wait");
      const isReaped = async (): Promise<true | undefined> => {
        const { stdout } = await execSync(ground, two, ["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status"]);
        return stdout === "" || undefined;
      };
      await poll("no zombies", isReaped, { timeoutMs: READY_MS, signal: ground.signal });
    }
    await ground.cri.call("StopContainer", { containerId: two, timeout: 0 });
    assert.equal((await untilExited(ground, two)).exitCode, 137);
    assert.equal((await containerStatus(ground, one)).exitCode, 0, "the other one runs on");
  };
  await withPod(ground, work, { linux: { securityContext: { runAsUser: ROOT } } }, handler);
}

const byShim = (ground: CriGround): string => ground.runtime.name;
const byContainerd = (ground: CriGround): string => classicHandler(ground.runtime.name);

export const criNamespaceCases: readonly Case<CriGround>[] = [
  {
    name: "CRI: three containers of a pod share network, IPC and name, with the shim's sandbox container",
    run: (ground) => threeContainers(ground, byShim(ground)),
  },
  {
    name: "CRI: three containers of a pod share network, IPC and name, with containerd's sandbox container",
    run: (ground) => threeContainers(ground, byContainerd(ground)),
  },
  {
    name: "CRI: containers that share processes do not see the VM's files, with the shim's sandbox container",
    run: (ground) => sharedProcesses(ground, byShim(ground), ["dev", "etc", "proc", "sandbox", "sys"]),
  },
  {
    name: "CRI: containers share processes with containerd's sandbox container",
    run: (ground) => sharedProcesses(ground, byContainerd(ground), undefined),
  },
];
