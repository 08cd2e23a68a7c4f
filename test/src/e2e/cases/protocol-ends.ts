/**
 * How processes end where the guest has the manners of the reference's: it reports no exit before the host has read and
 * closed the outputs, knows no size of an init's terminal, and sends no word of a container that was never executed.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { containerd } from "@uvm-shim/shim/protocol";
import type { ClientStdio } from "../../shim-client/client-stdio.ts";
import { Task } from "../../shim-client/shim.ts";
import { makeStdio } from "../../shim-client/stdio.ts";
import { patient, WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { directoryRootfs, type ProtocolCase, type ProtocolCaseContext, withContainer, withPod } from "./protocol.ts";

const { STOPPED } = containerd.v1.types.Status;
/** The exit of an exec whose output others hold is reported within this, and so is that of one whose client reads nothing. */
const HELD_EXIT_MS = 10_000;
const STALLED_EXIT_MS = 20_000;
/** Bytes: more than the pipes to the client hold, and less than what lies between the client and the process. */
const UNREAD = 400 * 1024;
const SIGKILL = 9;
const UNTOLD = 255;
/** Execs at once whose children go on printing, and how long their ends may take where others have the processors. */
const PRINTING_MS = patient(60_000);
const PRINTING = 40;

const shell = (script: string): readonly string[] => ["sh", "-c", script];

/** Fails when the work takes longer than this number of milliseconds. */
async function timed<T>(work: Promise<T>, limit: number): Promise<T> {
  const timer = new AbortController();
  const late = delay(limit, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`still pending after ${limit} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

/** With a client for each stream, with one for one of them, and with none. */
async function everyEnd(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const script = "echo out; echo err >&2; exit 3";
    const container = await pod.createContainer({
      id: "c1",
      args: shell(`read line; ${script}`),
      rootfs: directoryRootfs(context),
    });
    await container.start();
    const both = await container.exec("both", { args: shell(script) });
    const output = both.output();
    assert.equal(await timed(container.wait("both"), HELD_EXIT_MS), 3);
    assert.deepEqual(Object.values(await output).map(String), ["out\n", "err\n"]);
    const one = await container.exec("terminal", { args: shell(script), terminal: true });
    const typed = one.output();
    assert.equal(await timed(container.wait("terminal"), HELD_EXIT_MS), 3);
    assert.equal((await typed).stdout.toString(), "out\r\nerr\r\n");
    await container.addExec("none", { args: shell(script) }, {});
    await container.startExec("none");
    assert.equal(await timed(container.wait("none"), HELD_EXIT_MS), 3);
    for (const execId of ["both", "terminal", "none"]) assert.equal(await container.deleteExec(execId), 3);
    for (const stdio of [both, one]) stdio.close();
    const ofInit = container.stdio.output();
    container.stdio.stdin.write("\n");
    assert.equal(await timed(container.wait(), HELD_EXIT_MS), 3);
    assert.deepEqual(Object.values(await ofInit).map(String), ["out\n", "err\n"]);
    await container.delete();
  });
}

/** The guest cannot report the exit while something else holds the output: the shim reports it without its code. */
async function backgroundChild(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container) => {
    const script = "sleep 1000 & head -c 300000 /dev/zero; echo done; exit 0";
    const stdio = await container.exec("background", { args: shell(script) });
    const output = stdio.output();
    assert.equal(await timed(container.wait("background"), HELD_EXIT_MS), UNTOLD);
    assert.equal((await output).stdout.length, 300_005);
    await container.deleteExec("background");
    stdio.close();

    const chatty = await container.exec("chatty", {
      args: shell("(while :; do echo .; sleep 0.01; done) 2>/dev/null & exit 5"),
    });
    const chatter = chatty.output();
    // What is left behind finds its output closed, and the guest can report the exit after all.
    assert.equal(await timed(container.wait("chatty"), HELD_EXIT_MS), 5);
    assert.match((await chatter).stdout.toString(), /^(\.\n)+$/);
    await container.deleteExec("chatty");
    chatty.close();

    const killed = await container.exec("killed", { args: shell("sleep 1000 & exec sleep 1001") });
    await container.kill(SIGKILL, { execId: "killed" });
    assert.equal(await timed(container.wait("killed"), HELD_EXIT_MS), 128 + SIGKILL);
    await container.deleteExec("killed");
    killed.close();
  });
}

/**
 * Each exec leaves a child that holds both outputs, goes on printing to one, and so keeps the guest from telling the code.
 * They are reported all the same, and hold nothing of the shim's.
 */
async function childrenThatPrint(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    const descriptors = `/proc/${await pod.shimPid()}/fd`;
    const before = readdirSync(descriptors).length;
    const args = shell("echo first; (while :; do echo; sleep 0.1; done) & exit 0");
    const execs = await Promise.all(
      Array.from({ length: PRINTING }, async (_, index) => {
        const id = `printing-${index}`;
        const stdio = await container.exec(id, { args });
        return { id, stdio, output: stdio.output() };
      }),
    );
    const ended = execs.map(async ({ id, stdio, output }) => {
      assert.equal(await timed(container.wait(id), PRINTING_MS), UNTOLD);
      assert.match((await output).stdout.toString(), /^first\n/);
      await container.deleteExec(id);
      stdio.close();
    });
    await Promise.all(ended);
    const given = () => readdirSync(descriptors).length <= before || undefined;
    await poll("the descriptors to be given back", given, { timeoutMs: WAIT_MS, signal: context.signal });
  });
}

/** A client that takes nothing loses what it has not taken, and nobody waits for it for ever. */
async function stalledClient(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container) => {
    const stdio = await container.exec("unread", { args: shell(`head -c ${UNREAD} /dev/zero; exit 6`) });
    stdio.stdout.pause();
    assert.equal(await timed(container.wait("unread"), STALLED_EXIT_MS), 6);
    await container.deleteExec("unread");
    stdio.close();
  });
}

/** The size that the client has given before the start reaches the program. */
async function firstSize(context: ProtocolCaseContext): Promise<void> {
  const script = 'until [ "$(stty size 2>/dev/null)" = "33 101" ]; do sleep 0.02; done; echo sized; read line';
  const process = { args: shell(script), terminal: true };
  const size = { width: 101, height: 33 };
  const sized = async (stdio: ClientStdio): Promise<void> => {
    let seen = "";
    stdio.stdout.on("data", (chunk: Buffer) => {
      seen += chunk;
    });
    const find = () => seen.includes("sized") || undefined;
    await poll("the terminal to have its size", find, { timeoutMs: WAIT_MS, signal: context.signal });
  };
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({ id: "c1", rootfs: directoryRootfs(context), ...process });
    await pod.shim.call(Task, "ResizePty", { id: "c1", ...size });
    await container.start();
    await sized(container.stdio);
    const stdio = await makeStdio(container.bundle, "sized", true);
    await container.addExec("sized", process, stdio.paths);
    await pod.shim.call(Task, "ResizePty", { id: "c1", execId: "sized", ...size });
    await container.startExec("sized");
    await sized(stdio);
    stdio.stdin.write("\n");
    assert.equal(await timed(container.wait("sized"), HELD_EXIT_MS), 0);
    await container.deleteExec("sized");
    stdio.close();
    container.stdio.stdin.write("\n");
    assert.equal(await container.wait(), 0);
    await container.delete();
  });
}

/** A container that was never started is killed and deleted without a word of the guest. */
async function neverStarted(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    for (const isKilled of [true, false]) {
      const container = await pod.createContainer({ id: "c1", args: ["true"], rootfs: directoryRootfs(context) });
      if (isKilled) {
        await timed(container.kill(SIGKILL), HELD_EXIT_MS);
        assert.equal(await timed(container.wait(), HELD_EXIT_MS), 128 + SIGKILL);
        assert.equal((await pod.shim.call(Task, "State", { id: "c1" })).status, STOPPED);
      }
      assert.equal(await timed(container.delete(), HELD_EXIT_MS), isKilled ? 128 + SIGKILL : 0);
    }
  });
}

/** Before its start a container has the pid that it is going to have, and has used nothing. */
async function waitsForItsStart(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const id = "c1";
    const container = await pod.createContainer({ id, args: ["true"], rootfs: directoryRootfs(context) });
    const { taskPid } = await pod.shim.call(Task, "Connect", { id });
    assert.ok(taskPid > 0, "Connect returns a pid");
    assert.equal((await pod.shim.call(Task, "State", { id })).pid, taskPid);
    assert.deepEqual(
      (await pod.shim.call(Task, "Pids", { id })).processes.map(({ pid }) => pid),
      [taskPid],
    );
    const { stats } = await pod.shim.call(Task, "Stats", { id });
    assert.ok((stats?.value.length ?? 0) > 0, "there are statistics");
    assert.equal(await container.start(), taskPid);
    await container.wait();
    await container.delete();
  });
}

export const protocolEndCases: readonly ProtocolCase[] = [
  { name: "exits: an init and execs, with clients for their output and without", run: everyEnd },
  {
    name: "exits: an exec that leaves a child behind is reported, with its code where the guest can report it",
    run: backgroundChild,
  },
  {
    name: "exits: execs whose children go on printing end all the same, and leak no descriptor",
    run: childrenThatPrint,
  },
  { name: "exits: a client that reads nothing delays no exit for ever", run: stalledClient },
  { name: "exits: a container that is killed and deleted before its start", run: neverStarted },
  { name: "a container that waits for its start has its pid, and statistics", run: waitsForItsStart },
  { name: "terminal size: what was asked for before the start of an init and of an exec", run: firstSize },
];
