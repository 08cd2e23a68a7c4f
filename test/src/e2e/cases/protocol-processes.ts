/** Processes: their stdio of every kind, signals, ends and what is reported of them; spoken to the shim directly. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd, io } from "@uvm-shim/shim/protocol";
import { readProcesses } from "../../leaks/holdings.ts";
import { Fifos } from "../../shim-client/fifos.ts";
import type { Pod, PodContainer } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import { guestInit } from "../../support/guest-init.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { makeLoggingProgram } from "../../support/logging-program.ts";
import { poll } from "../../support/wait.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  withPod,
  withContainer as withRunning,
} from "./protocol.ts";

const { TaskExit } = containerd.events;
const { RUNNING, STOPPED } = containerd.v1.types.Status;
/** Bytes: more than the pipes to the client hold, and less than what lies between the client and the process. */
const UNREAD = 400 * 1024;
const SIGKILL = 9;
const SIGTERM = 15;
const SIGUSR1 = 10;

const shell = (script: string): readonly string[] => ["sh", "-c", script];

/** Of a container that the work may have ended. */
const withContainer = (
  context: ProtocolCaseContext,
  args: readonly string[],
  work: (container: PodContainer, pod: Pod) => Promise<void>,
): Promise<void> => withRunning(context, args, work, { mayHaveEnded: true });

function exitsOf(pod: Pod) {
  return pod.sink.events.filter(({ topic }) => topic === "/tasks/exit").map(({ value }) => TaskExit.decode(value));
}

async function untilExit(context: ProtocolCaseContext, pod: Pod, id: string) {
  const find = () => exitsOf(pod).find((exit) => exit.id === id);
  return await poll(`the exit of ${id}`, find, { timeoutMs: WAIT_MS, signal: context.signal });
}

/** Runs an exec to its end. */
async function run(
  container: PodContainer,
  execId: string,
  script: string,
  stdio: { readonly stdin?: string; readonly stdout?: string; readonly stderr?: string },
): Promise<number> {
  await container.addExec(execId, { args: shell(script) }, stdio);
  await container.startExec(execId);
  // Nothing else ends its input, not even a client that goes.
  if (stdio.stdin !== undefined) await container.closeStdin(execId);
  const status = await container.wait(execId);
  assert.equal(await container.deleteExec(execId), status);
  return status;
}

async function everyStdio(context: ProtocolCaseContext): Promise<void> {
  const { directory } = context;
  const script = "echo out; echo err >&2; exit 3";
  await withContainer(context, ["sleep", "1000"], async (container) => {
    assert.equal(await run(container, "none", `cat; ${script}`, {}), 3);

    const file = join(directory, "logs", "both");
    for (const execId of ["file", "appended"]) {
      assert.equal(await run(container, execId, script, { stdout: `file://${file}`, stderr: `file://${file}` }), 3);
    }
    assert.equal(readFileSync(file, "utf8").split("\n").sort().join(" "), " err err out out");

    const logger = makeLoggingProgram(join(directory, "logger"));
    const uri = `binary://${logger.path}?level=high&plain`;
    assert.equal(await run(container, "binary", script, { stdout: uri, stderr: uri }), 3);
    const received = "pods c1 level high plain\n";
    assert.deepEqual(await logger.written(context.signal), { received, stdout: "out\n", stderr: "err\n" });

    const fifos = await Fifos.make(directory, "uri", false);
    try {
      const { stdin, stdout, stderr } = fifos.paths;
      const output = fifos.output();
      fifos.stdin.end("typed\n");
      const uris = { stdin: `fifo://${stdin}`, stdout: `fifo://${stdout}`, stderr: `fifo://${stderr}` };
      assert.equal(await run(container, "fifo", `cat; ${script}`, uris), 3);
      assert.deepEqual(Object.values(await output).map(String), ["typed\nout\n", "err\n"]);
    } finally {
      fifos.close();
    }
  });
}

async function stuckLoggingProgram(context: ProtocolCaseContext): Promise<void> {
  const path = join(context.directory, "stuck-logger");
  const pidFile = join(context.directory, "stuck-logger.pid");
  writeFileSync(path, `#!/bin/sh\necho $$ >${pidFile}\nexec 5>&-\nexec sleep 1000\n`, { mode: 0o755 });
  await withPod(context, async (pod) => {
    const stdout = `binary://${path}`;
    // What lies between the process and the program takes it all, or the process is held up and ends by the signal.
    const args = shell("head -c 500000 /dev/zero");
    const container = await pod.createContainer({ id: "c1", args, rootfs: directoryRootfs(context), stdout });
    await container.start();
    await container.kill(SIGKILL).catch(() => undefined);
    const begun = performance.now();
    assert.ok([0, 137].includes(await container.wait()));
    // The bound for a client that takes nothing is 10 s.
    assert.ok(performance.now() - begun < 20_000);
    await container.delete();
    // While the shim serves: a program that has been given everything has 12 s for it.
    const pid = Number(readFileSync(pidFile, "utf8"));
    const hasEnded = () => !existsSync(`/proc/${pid}`) || undefined;
    await poll("the logging program to end", hasEnded, { timeoutMs: WAIT_MS, signal: context.signal });
  });
}

async function closedStdin(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, shell("cat; echo end of init"), async (container) => {
    const exec = await container.exec("reader", { args: shell("cat; echo end of exec") });
    const outputs = [exec.output(), container.stdio.output()];
    // The client keeps its ends open: what it says is what ends the input.
    exec.stdin.write("to the exec\n");
    await container.closeStdin("reader");
    assert.equal(await container.wait("reader"), 0);
    container.stdio.stdin.write("to init\n");
    await container.closeStdin();
    assert.equal(await container.wait(), 0);
    // Once more, of processes that have ended.
    for (const execId of ["reader", ""]) await container.closeStdin(execId);
    const [ofExec, ofInit] = await Promise.all(outputs);
    assert.equal(ofExec?.stdout.toString(), "to the exec\nend of exec\n");
    assert.equal(ofInit?.stdout.toString(), "to init\nend of init\n");
    await container.deleteExec("reader");
    exec.close();
  });
}

async function signals(context: ProtocolCaseContext): Promise<void> {
  const trap = "trap 'echo usr1' USR1; trap 'echo rt; exit 8' 34; echo ready; while :; do sleep 0.02; done";
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    const exec = await container.exec("trapping", { args: shell(trap) });
    let seen = "";
    exec.stdout.on("data", (chunk: Buffer) => {
      seen += chunk;
    });
    const saw = (line: string) =>
      poll(`the exec to say ${line}`, () => seen.includes(line) || undefined, { timeoutMs: WAIT_MS });
    await saw("ready");
    const options = { execId: "trapping" };
    for (const signal of [0, 65, 4_000_000_000]) {
      await assertRefused(container.kill(signal, options), "InvalidArgument", "c1", `${signal}`, "64");
    }
    await container.kill(SIGUSR1, options);
    await saw("usr1");
    await container.kill(34, options);
    assert.equal(await container.wait("trapping"), 8);
    await assertRefused(container.kill(SIGTERM, options), "NotFound", "trapping", "already finished");
    await assertRefused(container.kill(SIGTERM, { execId: "nobody" }), "NotFound", "nobody", "does not exist");
    assert.equal((await pod.shim.call(Task, "State", { id: "c1" })).status, RUNNING);
    await container.deleteExec("trapping");
    exec.close();
  });
}

/** Without a namespace of its own for pids, the kernel does not end a container's processes with its init. */
async function killAll(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({
      ...{
        id: "c1",
        args: shell("trap 'exit 3' TERM; while :; do sleep 0.02; done"),
        rootfs: directoryRootfs(context),
      },
      change: (specification) => ({
        ...specification,
        linux: { ...specification.linux, namespaces: ["ipc", "uts", "mount"].map((type) => ({ type })) },
      }),
    });
    await container.start();
    const execs = ["one", "two"];
    const stdio = await Promise.all(execs.map((execId) => container.exec(execId, { args: ["sleep", "1000"] })));
    await container.kill(SIGTERM, { execId: "one" });
    assert.equal(await container.wait("one"), 128 + SIGTERM);
    assert.equal((await pod.shim.call(Task, "State", { id: "c1", execId: "two" })).status, RUNNING);
    await container.kill(SIGTERM, { all: true });
    assert.equal(await container.wait("two"), 128 + SIGTERM);
    assert.equal(await container.wait(), 3);
    for (const end of stdio) end.close();
    await container.delete();
  });
}

/** Exits are reported once the client has all output, and every answer about an exit says the same. */
async function drainedExits(context: ProtocolCaseContext): Promise<void> {
  const started = Date.now();
  await withPod(context, async (pod) => {
    const args = shell(`head -c ${UNREAD} /dev/zero; exit 6`);
    const container = await pod.createContainer({ id: "c1", args, rootfs: directoryRootfs(context) });
    await container.start();
    // The guest's part is over, and the client has yet to take what is more than its pipe holds.
    const left = () => readProcesses().every(({ command }) => !command.includes(`head -c ${UNREAD}`)) || undefined;
    await poll("the guest to be done with its process", left, { timeoutMs: WAIT_MS, signal: context.signal });
    assert.equal((await pod.shim.call(Task, "State", { id: "c1" })).status, RUNNING);
    assert.equal((await pod.shim.call(Task, "Pids", { id: "c1" })).processes.length, 1);
    assert.deepEqual(exitsOf(pod), []);
    const { stdout } = await container.stdio.output();
    assert.equal(stdout.length, UNREAD);
    const { exitStatus, exitedAt } = await untilExit(context, pod, "c1");
    const state = await pod.shim.call(Task, "State", { id: "c1" });
    const waited = await pod.shim.call(Task, "Wait", { id: "c1" });
    const deleted = await pod.shim.call(Task, "Delete", { id: "c1" });
    assert.equal(state.status, STOPPED);
    for (const answer of [state, waited, deleted]) {
      assert.deepEqual([answer.exitStatus, answer.exitedAt], [exitStatus, exitedAt]);
    }
    const milliseconds = Number(exitedAt?.seconds) * 1000;
    assert.ok(milliseconds >= started - 1000 && milliseconds <= Date.now(), `exited at ${milliseconds}`);
    container.stdio.close();
    pod.forget(container.bundle);
  });
}

async function execTombstones(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    const call = { id: "c1", execId: "short" };
    await container.addExec("short", { args: shell("exit 7") }, {});
    await container.startExec("short");
    const exit = await untilExit(context, pod, "short");
    const first = await pod.shim.call(Task, "Delete", call);
    assert.deepEqual([first.exitStatus, first.exitedAt, first.pid], [7, exit.exitedAt, exit.pid]);
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await pod.shim.call(Task, "Delete", call), first);
      assert.equal((await pod.shim.call(Task, "Wait", call)).exitStatus, 7);
      const state = await pod.shim.call(Task, "State", call);
      assert.deepEqual([state.status, state.exitStatus, state.execId], [STOPPED, 7, "short"]);
    }
    // The name is free again.
    assert.equal(await run(container, "short", "exit 2", {}), 2);
  });
}

async function pidsAndFigures(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    await container.addExec("held", { args: ["sleep", "1001"] }, {});
    const execPid = await container.startExec("held");
    const { pid: initPid } = await pod.shim.call(Task, "State", { id: "c1" });
    const { processes } = await pod.shim.call(Task, "Pids", { id: "c1" });
    const details = processes.map(({ pid, info }) => [pid, info?.type_url, Buffer.from(info?.value ?? []).toString()]);
    assert.deepEqual(
      details.sort(),
      [
        [initPid, undefined, ""],
        [execPid, "containerd.runc.v1.ProcessDetails", "\n\x04held"],
      ].sort(),
    );
    assert.deepEqual((await pod.shim.call(Task, "Pids", { id: "pod" })).processes, []);
    const idle = await pod.createContainer({ id: "c2", args: ["sleep", "1000"], rootfs: directoryRootfs(context) });
    await idle.start();
    for (const [id, pids] of [["c1", 2] as const, ["c2", 1] as const, ["pod", undefined] as const]) {
      const { stats } = await pod.shim.call(Task, "Stats", { id });
      assert.equal(stats?.type_url, "io.containerd.cgroups.v1.Metrics", id);
      const metrics = io.containerd.cgroups.v1.Metrics.decode(stats?.value ?? new Uint8Array());
      assert.ok(Number(metrics.cpu?.usage?.total) > 0 && Number(metrics.memory?.usage?.usage) > 0, id);
      if (pids !== undefined) assert.equal(Number(metrics.pids?.current), pids, id);
    }
    await idle.kill(SIGKILL);
    await idle.wait();
    await idle.delete();
  });
}

/** Whoever waits for a process of a VM that dies learns that it has ended, and its container is deleted as any other. */
async function lostVm(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({
      id: "c1",
      args: ["sleep", "1000"],
      rootfs: directoryRootfs(context),
    });
    await container.start();
    const exec = await container.exec("also", { args: ["sleep", "1000"] });
    const waits = ["", "also"].map((execId) => container.wait(execId));
    process.kill(Number(guestInit()), "SIGKILL");
    for (const wait of waits) assert.notEqual(await wait, 0);
    for (const id of ["c1", "also"]) assert.equal((await untilExit(context, pod, id)).containerId, "c1");
    assert.equal((await pod.shim.call(Task, "State", { id: "c1" })).status, STOPPED);
    await assertRefused(container.kill(SIGTERM), "NotFound", "already finished");
    assert.equal(await container.deleteExec("also"), await container.wait("also"));
    exec.close();
    await container.delete();
  });
}

export const protocolProcessCases: readonly ProtocolCase[] = [
  { name: "stdio: none, a file, a logging program, or FIFOs", run: everyStdio },
  { name: "a logging program that stops reading does not keep its container from ending", run: stuckLoggingProgram },
  { name: "CloseIO ends the input of a process while the client's end stays open", run: closedStdin },
  { name: "signals reach a process by number, and invalid ones are named", run: signals },
  { name: "Kill of one process, and of all", run: killAll },
  { name: "an exit is reported when all output is taken, everywhere with the same status and time", run: drainedExits },
  { name: "State, Wait and Delete of an exec answer after its deletion", run: execTombstones },
  { name: "Pids with the names of execs, and figures of every task and of the sandbox", run: pidsAndFigures },
  { name: "processes of a VM that dies have ended", run: lostVm },
];
