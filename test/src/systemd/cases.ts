/** What an operator of the units of packaging/systemd relies on. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, runCommand } from "@uvm-shim/test-support/command";
import { CriPod } from "../cri/pod.ts";
import { undefinedIfUnavailable } from "../e2e/cases/cri-sandboxer.ts";
import { assertStatus, runContainer, servingShim, withDetached } from "../e2e/cases/ctr.ts";
import { CONTAINER_EXITED, containerStatus, handlerName, output, SANDBOX_NOTREADY, withPod } from "../e2e/cri-case.ts";
import { IMAGE } from "../e2e/images.ts";
import { USUAL_SOCKET } from "../e2e/sandboxer.ts";
import type { Case, CriCaseContext } from "../e2e/suite.ts";
import { READY_MS } from "../support/guest-kind.ts";
import { poll } from "../support/wait.ts";
import { propertyOf, SERVICE, SOCKETS, systemctl } from "./manager.ts";

export interface SystemdContext extends CriCaseContext {
  /** The sandboxer's settings. */
  readonly settings: string;
  /** What it has logged since its first start. */
  readonly log: string;
}

const PODS = 3;
const OPEN_FILES = /^Max open files +1024 +1048576 /m;

async function mainPid(): Promise<number> {
  return Number(await propertyOf(SERVICE, "MainPID"));
}

async function until(what: string, context: SystemdContext, holds: () => Promise<boolean>): Promise<void> {
  const ask = async (): Promise<true | undefined> => ((await holds()) ? true : undefined);
  await poll(what, ask, { timeoutMs: READY_MS, signal: context.signal });
}

async function runs(context: SystemdContext): Promise<void> {
  assertStatus(await runContainer(context, { id: context.newId("run"), command: ["sh", "-c", "exit 3"] }), 3);
}

async function startsWithItsSockets(context: SystemdContext): Promise<void> {
  assert.equal(await propertyOf(SERVICE, "ActiveState"), "active");
  assert.equal(await propertyOf(SOCKETS, "ActiveState"), "active");
  await runs(context);
  await withPod(context, async (pod) => {
    const container = await pod.run("main", ["sleep", "100000"]);
    assert.equal(await output(context, container, "echo", "up"), "up\n");
  });
  assert.equal(await propertyOf(SERVICE, "NRestarts"), "0");
}

/** What the unit asks for and its containers are not to have. */
async function limits(context: SystemdContext): Promise<void> {
  const pid = await mainPid();
  assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), OPEN_FILES);
  assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"), "-999\n");
  await withPod(context, async (pod) => {
    const container = await pod.run("main", ["sleep", "100000"]);
    assert.equal(await output(context, container, "cat", "/proc/1/oom_score_adj"), "0\n");
    assert.match(await output(context, container, "cat", "/proc/1/limits"), OPEN_FILES);
  });
}

/** What only a process with CAP_SYS_RESOURCE, 24, can raise. */
export function canRaiseLimits(): boolean {
  const bounding = /^CapBnd:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${bounding}`) & (1n << 24n)) !== 0n;
}

async function killedAndStartedAgain(context: SystemdContext): Promise<void> {
  const { cri, scratch: directory, runtime } = context;
  const run = async (): Promise<{ pod: CriPod; container: string }> => {
    const name = context.newId("pod");
    const runtimeHandler = handlerName(runtime.name, "sandboxer");
    const pod = await CriPod.run({ cri, directory, name, runtimeHandler, image: IMAGE });
    return { pod, container: await pod.run("main", ["sleep", "100000"]) };
  };
  const lost = [];
  for (let count = 0; count < PODS; count += 1) lost.push(await run());
  const before = await mainPid();
  process.kill(before, "SIGKILL");
  // A call that was under way fails, and one that comes after it is not refused: the sockets are systemd's.
  const fresh = await poll("the call that was under way to be over", () => run().catch(undefinedIfUnavailable), {
    ...{ timeoutMs: READY_MS, signal: context.signal },
  });
  assert.equal(await output(context, fresh.container, "echo", "new"), "new\n");
  await fresh.pod.remove();
  assert.equal(await propertyOf(SERVICE, "NRestarts"), "1");
  assert.notEqual(await mainPid(), before);
  for (const { pod, container } of lost) {
    await until(`${pod.config.hostname} to be lost`, context, async () => {
      const { status } = await cri.call("PodSandboxStatus", { podSandboxId: pod.id });
      return (
        status?.state === SANDBOX_NOTREADY && (await containerStatus(context, container)).state === CONTAINER_EXITED
      );
    });
    // Of the sandboxer, or of containerd, which loses its connection before it could be told.
    assert.match(`${(await containerStatus(context, container)).exitCode}`, /^(?:137|255)$/);
    await pod.remove();
  }
}

async function stoppedAlone(context: SystemdContext): Promise<void> {
  const before = await mainPid();
  await systemctl("stop", SERVICE);
  assert.equal(await propertyOf(SOCKETS, "ActiveState"), "active");
  // Whoever comes next starts it, and containerd may be that already.
  await runs(context);
  assert.notEqual(await mainPid(), before);
  assert.equal(await propertyOf(SERVICE, "ActiveState"), "active");
}

async function restartedInOrder(context: SystemdContext): Promise<void> {
  const before = readFileSync(context.settings, "utf8");
  appendFileSync(context.settings, "drain = true\n");
  try {
    await systemctl("restart", SERVICE);
    const { cri, scratch: directory, runtime } = context;
    const name = context.newId("drained");
    const runtimeHandler = handlerName(runtime.name, "sandboxer");
    const pod = await CriPod.run({ cri, directory, name, runtimeHandler, image: IMAGE });
    const container = await pod.run("main", ["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"]);
    await systemctl("restart", SERVICE);
    await until("the container's end", context, async () => {
      return (await containerStatus(context, container)).state === CONTAINER_EXITED;
    });
    await pod.remove();
    await runs(context);
    const logged = readFileSync(context.log, "utf8").split("\n");
    assert.equal(logged.filter((line) => /msg=ending reason=SIGTERM pods=1 drain=true/.test(line)).length, 1);
    // What is not ended in order is found by the next one, and lost.
    assert.deepEqual(
      logged.filter((line) => line.includes("pod lost with") && line.includes(pod.id)),
      [],
    );
  } finally {
    writeFileSync(context.settings, before);
    await systemctl("restart", SERVICE);
  }
}

async function wrongSetting(context: SystemdContext): Promise<void> {
  const before = readFileSync(context.settings, "utf8");
  writeFileSync(context.settings, `${before}colour = "red"\n`);
  try {
    // `restart` waits for the start of the program alone, not for what it makes of its settings.
    await systemctl("restart", SERVICE);
    await until("the service to have failed", context, async () => {
      return (await propertyOf(SERVICE, "ActiveState")) === "failed";
    });
    assert.equal(await propertyOf(SERVICE, "ExecMainStatus"), "2");
    assert.equal(await propertyOf(SERVICE, "Result"), "exit-code");
  } finally {
    writeFileSync(context.settings, before);
    await systemctl("reset-failed", SERVICE);
    await systemctl("start", SOCKETS, SERVICE);
  }
  await runs(context);
}

async function socketsStopped(context: SystemdContext): Promise<void> {
  await systemctl("stop", SOCKETS);
  try {
    await until("the service to end with its sockets", context, async () => {
      return (await propertyOf(SERVICE, "ActiveState")) === "inactive";
    });
    for (const path of [USUAL_SOCKET, `${USUAL_SOCKET}.ttrpc`]) assert.equal(existsSync(path), false, path);
    // A shim serves its pod itself.
    await withDetached(context, {}, async (id) => assert.ok(servingShim(context, id) > 0));
  } finally {
    await systemctl("start", SOCKETS, SERVICE);
  }
  await runs(context);
}

async function verified(): Promise<void> {
  // Manual pages are placed by install.sh, and are no part of this.
  const result = await runCommand("systemd-analyze", ["verify", "--man=no", SERVICE, SOCKETS], { timeoutMs: 60_000 });
  assert.equal(result.status, 0, describe(result));
  assert.deepEqual(linesAbout("uvm-shim", result.stderr.toString()), []);
}

function linesAbout(what: string, text: string): readonly string[] {
  return text.split("\n").filter((line) => line.includes(what));
}

export const systemdCases: readonly Case<SystemdContext>[] = [
  { name: "systemd finds no fault with the units", run: verified },
  { name: "the service serves pods of CRI and of ctr", run: startsWithItsSockets },
  {
    name: "the service has the limits of its unit, and its containers their own",
    applies: canRaiseLimits,
    run: limits,
  },
  {
    name: "kill -9 of the service with three pods: it starts again, and says what was lost",
    run: killedAndStartedAgain,
  },
  { name: "the service that is stopped alone is started by the next pod", run: stoppedAlone },
  { name: "a restart with drain ends the pods in order", run: restartedInOrder },
  { name: "a wrong setting fails the service, which is not started again", run: wrongSetting },
  { name: "the sockets that are stopped take the service with them, and shims serve their pods", run: socketsStopped },
];
