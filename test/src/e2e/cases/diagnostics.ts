/** Both diagnostic services on the shim's socket, with a real VM of the emulated host. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { containerd, type StateTree, uvmshim } from "@uvm-shim/shim/protocol";

import { TtrpcClient } from "@uvm-shim/ttrpc";
import type { ClientStdio } from "../../shim-client/client-stdio.ts";
import type { Pod } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import { makeStdio } from "../../shim-client/stdio.ts";
import { readUntil } from "../../shim-client/windows-programs.ts";
import { freezeGuest, systemOf, thawGuest } from "../../support/frozen-guest.ts";
import { guestInit } from "../../support/guest-init.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { type WindowsCase, type WindowsCaseContext, withWindowsContainer } from "../windows/windows-pods.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  withContainer,
  withPod,
} from "./protocol.ts";

const { ShimDiag } = containerd.runhcs.v1.diag;
const { Inspect } = uvmshim.diagnostics.v1;
/** More than two VMs of the suite need to do the rest of a case. */
const FLOOD = 1_000;

interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

let programs = 0;

/** Runs a program of the VM itself; `act` works with its streams while it runs. */
async function execute(
  pod: Pod,
  args: readonly string[],
  options: {
    readonly workdir?: string;
    readonly terminal?: boolean;
    /** Instead of the pod's own connection. */
    readonly client?: Pick<TtrpcClient, "call">;
    readonly act?: (stdio: ClientStdio) => Promise<void>;
  } = {},
): Promise<Ended> {
  const { workdir = "", terminal = false, client = pod.shim, act } = options;
  programs += 1;
  const stdio = await makeStdio(pod.identity.bundle, `program-${programs}`, terminal);
  try {
    const call = client.call(ShimDiag, "DiagExecInHost", { args, workdir, ...stdio.paths });
    call.catch(() => {});
    await act?.(stdio);
    if (act === undefined) stdio.stdin.end();
    const [{ exitCode }, output] = await Promise.all([call, stdio.output()]);
    return { exitCode, stdout: output.stdout.toString(), stderr: output.stderr.toString() };
  } finally {
    stdio.close();
  }
}

/** A connection of its own, whose end is the only way to cancel a call. */
function connectAgain(pod: Pod): TtrpcClient {
  const { socket } = JSON.parse(readFileSync(join(pod.identity.bundle, "uvm-shim.json"), "utf8"));
  return new TtrpcClient(connect(socket));
}

const shell = (script: string): readonly string[] => ["sh", "-c", script];

async function stateOf(pod: Pod): Promise<StateTree> {
  return JSON.parse((await pod.shim.call(Inspect, "State", {})).text);
}

async function programsOfTheVm(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const script = 'pwd; echo "$PATH"; echo wrong >&2; exit 3';
    const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert.deepEqual(await execute(pod, shell(script)), { exitCode: 3, stdout: `/\n${PATH}\n`, stderr: "wrong\n" });
    assert.equal((await execute(pod, shell("pwd"), { workdir: "/run" })).stdout, "/run\n");
    const copied = await execute(pod, ["cat"], {
      act: async ({ stdin }) => {
        stdin.end("what the client writes\n");
      },
    });
    assert.deepEqual(copied, { exitCode: 0, stdout: "what the client writes\n", stderr: "" });
    await assertRefused(pod.shim.call(ShimDiag, "DiagExecInHost", { args: [] }), "InvalidArgument", "args is empty");
    const missing = pod.shim.call(ShimDiag, "DiagExecInHost", { args: ["/no/such/program"] });
    await assertRefused(missing, ["NotFound", "Internal"], "/no/such/program");
  });
}

async function terminalOfTheVm(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const { exitCode, stdout } = await execute(
      pod,
      shell('test -t 0 && echo "$TERM"; read line; echo "got $line"; exit 5'),
      {
        terminal: true,
        act: async ({ stdin, stdout: screen }) => {
          await readUntil(screen, /xterm/);
          stdin.write("words\r");
        },
      },
    );
    assert.equal(exitCode, 5);
    assert.match(stdout, /got words\r\n/);
  });
}

/** Programs of the guest with this text in their command lines, by their pids on this machine. */
function running(text: string): readonly string[] {
  const guest = readFileSync(`/proc/${guestInit()}/task/${guestInit()}/children`, "utf8");
  return guest
    .split(" ")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text));
}

async function cancelledPrograms(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    for (const [terminal, mark] of [
      [false, "1000001"],
      [true, "1000002"],
    ] as const) {
      const leaving = connectAgain(pod);
      let wasSeen = false;
      const ended = execute(pod, ["sleep", mark], {
        terminal,
        client: leaving,
        act: async () => {
          await poll("the program", () => running(mark)[0], { timeoutMs: WAIT_MS, signal: context.signal });
          const isTold = async () => {
            const [program] = (await stateOf(pod)).diagnostics.programs;
            return program?.program === "sleep" && program.state === "running" ? true : undefined;
          };
          await poll("its state", isTold, { timeoutMs: WAIT_MS, signal: context.signal });
          wasSeen = true;
          leaving.close();
        },
      });
      const reason = await ended.catch((error: unknown) => error);
      if (!wasSeen) throw reason;
      const isGone = (): true | undefined => (running(mark).length === 0 ? true : undefined);
      await poll("the end of the program", isGone, { timeoutMs: WAIT_MS, signal: context.signal });
      const noProgram = async () => ((await stateOf(pod)).diagnostics.programs.length === 0 ? true : undefined);
      await poll("a state without programs", noProgram, { timeoutMs: WAIT_MS, signal: context.signal });
    }
  });
}

async function stacksAndTasks(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    await container.addExec("e1", { args: ["true"] }, {});
    const { stacks, guestStacks } = await pod.shim.call(ShimDiag, "DiagStacks", {});
    for (const part of ["task: task=c1", "pending call:", "active resources:"])
      assert.ok(stacks.includes(part), stacks);
    for (const part of ["agent:", "(sleep)"]) assert.ok(guestStacks.includes(part), guestStacks);
    const tasks = async (execs: boolean) =>
      (await pod.shim.call(ShimDiag, "DiagTasks", { execs })).tasks.map((task) => [
        task.id,
        task.execs.map(({ id, state }) => `${id}:${state}`),
      ]);
    assert.deepEqual(await tasks(false), [["c1", []]]);
    assert.deepEqual(await tasks(true), [["c1", [":RUNNING", "e1:CREATED"]]]);
    const { pid } = await pod.shim.call(ShimDiag, "DiagPid", {});
    assert.equal(pid, await pod.shimPid());
    const dumped = await pod.shim.call(Inspect, "Dump", {});
    assert.match(dumped.text, /^sandbox: sandbox=pod mode=api state=running/);
    const vm = JSON.parse((await pod.shim.call(Inspect, "DumpVm", {})).text);
    assert.equal(vm.vm.state, "Running");
    assert.ok(vm.properties.Statistics.Processor.TotalRuntime100ns >= 0);
    assert.match(vm.guestStacks, /^agent:/);
    await container.deleteExec("e1");
  });
}

async function sharedFolders(context: ProtocolCaseContext): Promise<void> {
  const [readable, writable] = ["readable", "writable"].map((name) => join(context.directory, name)) as [
    string,
    string,
  ];
  for (const folder of [readable, writable]) {
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "file"), "of the host\n");
  }
  await withPod(context, async (pod) => {
    const share = (hostPath: string, uvmPath: string, readOnly: boolean) =>
      pod.shim.call(ShimDiag, "DiagShare", { hostPath, uvmPath, readOnly });
    await share(readable, "/mnt/readable", true);
    await share(readable, "/mnt/readable", true);
    await share(writable, "/mnt/writable", false);
    const seen = await execute(pod, shell("cat /mnt/readable/file; echo of the guest > /mnt/writable/file"));
    assert.deepEqual(seen, { exitCode: 0, stdout: "of the host\n", stderr: "" });
    assert.equal(readFileSync(join(writable, "file"), "utf8"), "of the guest\n");
    const refused = await execute(pod, shell("echo x > /mnt/readable/file"));
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /[Rr]ead-only/);
    await share(join(readable, "file"), "/mnt/single", true);
    assert.equal((await execute(pod, ["cat", "/mnt/single/file"])).stdout, "of the host\n");
    const { diagnostics, shares } = await stateOf(pod);
    assert.deepEqual(
      diagnostics.shares.map(({ guestPath, readOnly }) => [guestPath, readOnly]),
      [
        ["/mnt/readable", true],
        ["/mnt/writable", false],
        ["/mnt/single", true],
      ],
    );
    assert.ok(shares.every(({ kind, state, mount }) => kind === "plan9" && state === "Added" && mount === "Mounted"));
    await assertRefused(share(writable, "/mnt/readable", true), "AlreadyExists", "/mnt/readable shows");
    await assertRefused(share(readable, "mnt", true), "InvalidArgument", "expected an absolute one");
    await assertRefused(share(join(context.directory, "absent"), "/mnt/x", true), "NotFound", "absent");
  });
}

async function stateOfPod(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    const { shim, host, sandbox, vm, containers, shares, calls, machines } = await stateOf(pod);
    assert.deepEqual([shim.name, shim.flavour, shim.pid], ["containerd-shim-lcow-v2", "lcow", await pod.shimPid()]);
    assert.ok((shim.descriptors?.open ?? 0) > 0);
    assert.deepEqual([host?.kind, host?.connected], ["emulated", true]);
    assert.deepEqual([sandbox?.id, sandbox?.mode, sandbox?.state, sandbox?.ready], ["pod", "api", "running", true]);
    assert.deepEqual([vm?.id, vm?.state, vm?.isLost], [systemOf("pods", "pod"), "Running", false]);
    assert.ok(vm?.held.includes("compute system"), JSON.stringify(vm));
    assert.ok(vm?.since !== undefined);
    const [task] = containers;
    assert.deepEqual([task?.id, task?.state, task?.processes[0]?.state], [container.id, "Running", "running"]);
    assert.ok((task?.held.length ?? 0) > 0);
    assert.ok(task?.since !== undefined && task.processes[0]?.since !== undefined);
    assert.ok(shares.length > 0);
    assert.ok(calls.some(({ method }) => method.endsWith("Inspect/State")));
    assert.ok(machines.some(({ subject, state }) => subject === "pod" && state === "Running"));
  });
}

async function stateWhileCreationHangs(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const system = systemOf("pods", "pod");
    await freezeGuest(system);
    const creating = pod.createContainer({ id: "c1", args: ["true"], rootfs: directoryRootfs(context) });
    creating.catch(() => {});
    const hanging = async () => {
      const tree = await stateOf(pod);
      return tree.calls.some(({ method }) => method.endsWith("Task/Create")) ? tree : undefined;
    };
    const tree = await poll("a creation under way", hanging, { timeoutMs: WAIT_MS, signal: context.signal });
    assert.deepEqual(
      tree.containers.filter(({ id }) => id === "c1").map(({ processes }) => processes),
      [[]],
    );
    const { stacks, guestStacks } = await pod.shim.call(ShimDiag, "DiagStacks", {});
    assert.ok(stacks.includes("pending call: method=containerd.task.v3.Task/Create"), stacks);
    assert.match(guestStacks, /^\(no stacks of the guest: no answer within 5000 ms\)$/);
    await thawGuest(system);
    const container = await creating;
    await container.start();
    assert.equal(await container.wait(), 0);
    await container.delete();
  });
}

async function flood(context: ProtocolCaseContext): Promise<void> {
  await withContainer(context, ["sleep", "1000"], async (container, pod) => {
    const calls = Array.from({ length: FLOOD }, () => pod.shim.call(Inspect, "State", {}));
    const settled = Promise.allSettled(calls);
    const began = performance.now();
    assert.equal((await pod.shim.call(Task, "State", { id: container.id })).id, container.id);
    const took = performance.now() - began;
    const outcomes = await settled;
    const answered = outcomes.filter(({ status }) => status === "fulfilled").length;
    assert.ok(answered >= 64 && took < 2_000, `${answered} of ${FLOOD} answered, Task State after ${took} ms`);
  });
}

const allowing = [
  ...["mount_device", "mount_overlay", "create_container", "unmount_device", "unmount_overlay", "exec_in_container"],
  ...["shutdown_container", "signal_container_process", "plan9_mount", "plan9_unmount", "get_properties"],
  ...["runtime_logging", "load_fragment", "scratch_mount", "scratch_unmount"],
];
const denying = ["exec_external", "dump_stacks"];

async function deniedByPolicy(context: ProtocolCaseContext): Promise<void> {
  const policy = [
    'package policy\napi_version := "0.10.0"',
    ...allowing.map((name) => `${name} := {"allowed": true}`),
    ...denying.map((name) => `${name} := {"allowed": false}`),
  ].join("\n");
  const annotations = {
    "io.microsoft.virtualmachine.lcow.securitypolicy": Buffer.from(policy).toString("base64"),
    "io.microsoft.virtualmachine.no_security_hardware": "true",
    "io.microsoft.virtualmachine.storage.scratch.encrypted": "false",
  };
  const work = async (pod: Pod): Promise<void> => {
    const executing = pod.shim.call(ShimDiag, "DiagExecInHost", { args: ["true"] });
    await assertRefused(executing, ["Internal", "PermissionDenied"], "denied due to policy");
    const { stacks, guestStacks } = await pod.shim.call(ShimDiag, "DiagStacks", {});
    assert.match(guestStacks, /denied due to policy/);
    assert.ok(stacks.includes("sandbox:"));
  };
  await withPod(context, work, { annotations });
}

export const diagnosticCases: readonly ProtocolCase[] = [
  { name: "a program of the VM itself runs with its streams, and its exit code is told", run: programsOfTheVm },
  { name: "a program of the VM itself runs in a terminal", run: terminalOfTheVm },
  { name: "a program of the VM itself ends when its caller leaves", run: cancelledPrograms },
  { name: "stacks of shim and guest, tasks with their execs, the pid and dumps are told", run: stacksAndTasks },
  { name: "folders of the host are shown in a running VM until the pod ends", run: sharedFolders },
  { name: "the state of a pod is told with everything in it", run: stateOfPod },
  { name: "the state is told while a creation hangs in its guest", run: stateWhileCreationHangs },
  { name: "a flood of diagnostic calls does not hold up a task's calls", run: flood },
  { name: "a security policy denies programs of the VM itself and its stacks", run: deniedByPolicy },
];

async function windowsDiagnostics(context: WindowsCaseContext): Promise<void> {
  const folder = join(context.directory, "shown");
  mkdirSync(folder);
  writeFileSync(join(folder, "file.txt"), "of the host\r\n");
  await withWindowsContainer(context, "C:\\probe.exe copy", async (container, pod) => {
    const { exitCode, stdout } = await execute(pod, ["cmd", "/c", "cd & exit 3"]);
    assert.deepEqual({ exitCode, stdout: stdout.trim() }, { exitCode: 3, stdout: "C:\\" });
    await pod.shim.call(ShimDiag, "DiagShare", { hostPath: folder, uvmPath: "C:\\shown", readOnly: true });
    await pod.shim.call(ShimDiag, "DiagShare", { hostPath: folder, uvmPath: "C:\\shown", readOnly: true });
    assert.equal((await execute(pod, ["cmd", "/c", "type C:\\shown\\file.txt"])).stdout, "of the host\r\n");
    await execute(pod, ["cmd", "/c", "echo x>C:\\shown\\file.txt"]);
    assert.equal(readFileSync(join(folder, "file.txt"), "utf8"), "of the host\r\n");
    const { guestStacks } = await pod.shim.call(ShimDiag, "DiagStacks", {});
    assert.match(guestStacks, /^agent:/);
    const { tasks } = await pod.shim.call(ShimDiag, "DiagTasks", { execs: true });
    const task = tasks.find(({ id }) => id === container.id);
    assert.deepEqual(
      task?.execs.map(({ id, state }) => `${id}:${state}`),
      [":RUNNING"],
    );
    const { shim, sandbox, vm, shares, diagnostics } = await stateOf(pod);
    assert.deepEqual([shim.flavour, sandbox?.os, vm?.state], ["wcow", "windows", "Running"]);
    assert.ok(shares.some(({ kind, state }) => kind === "vsmb" && state === "Added"));
    assert.deepEqual(diagnostics.shares, [{ hostPath: folder, guestPath: "C:\\shown", readOnly: true }]);
    const leaving = connectAgain(pod);
    const cancelled = execute(pod, ["cmd"], {
      terminal: true,
      client: leaving,
      act: async ({ stdout: screen }) => {
        await readUntil(screen, /C:\\>/);
        leaving.close();
      },
    });
    await assert.rejects(cancelled);
    const noProgram = async () => ((await stateOf(pod)).diagnostics.programs.length === 0 ? true : undefined);
    await poll("a state without programs", noProgram, { timeoutMs: WAIT_MS, signal: context.signal });
  });
}

export const windowsDiagnosticCases: readonly WindowsCase[] = [
  { name: "a Windows VM runs programs, shows folders of the host and tells its state", run: windowsDiagnostics },
];
