/** Windows containers: their processes, streams, signals and ends; the calls are those of a containerd for Windows. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Pod } from "../../shim-client/pod.ts";
import { ShimClient, startShim, Task } from "../../shim-client/shim.ts";
import { execOf, readUntil, runExec } from "../../shim-client/windows-programs.ts";
import { utilityVmAnnotation, utilityVmOptions, windowsSpecs } from "../../shim-client/windows-spec.ts";
import { PATTERN, pattern } from "../images.ts";
import {
  createContainer,
  podOptions,
  type WindowsCase,
  type WindowsCaseContext,
  withWindowsContainer,
  withWindowsPod,
} from "../windows/windows-pods.ts";
import { assertRefused, runToEnd } from "./protocol.ts";

/** Numbers of Windows' console events, and of the one signal that containerd ends any task with. */
const signalNumbers = { CtrlC: 0, CtrlBreak: 1, CtrlClose: 2, CtrlLogOff: 5, CtrlShutdown: 6, kill: 9 } as const;
/** STATUS_CONTROL_C_EXIT: how Windows ends a program by an event that it does not handle. */
const controlCExit = 0xc000013a;
const copiedBytes = 8 * 1024 * 1024;

async function containersOfOnePod(context: WindowsCaseContext): Promise<void> {
  await withWindowsPod(context, async (pod) => {
    const ids = ["first", "second"];
    const containers = await Promise.all(ids.map((id) => createContainer(context, pod, "C:\\probe.exe copy", { id })));
    for (const container of containers) await container.start();
    for (const [index, container] of containers.entries()) {
      const written = await runExec(container, "write", `cmd /c echo ${ids[index]}>C:\\mine.txt`);
      assert.equal(written.status, 0, written.stderr);
    }
    for (const [index, container] of containers.entries()) {
      const { status, stdout } = await runExec(container, "read", "cmd /c type C:\\mine.txt & hostname");
      assert.deepEqual({ status, stdout }, { status: 0, stdout: `${ids[index]}\r\n${ids[index]?.toUpperCase()}\r\n` });
      const shared = await runExec(
        container,
        "shared",
        `cmd /c for %f in (C:\\${PATTERN.path.slice(1)}) do @echo %~zf`,
      );
      assert.equal(shared.stdout.trim(), String(PATTERN.size));
    }
    for (const container of containers) {
      await container.closeStdin();
      assert.equal(await container.wait(), 0);
      assert.equal(await container.delete(), 0);
    }
  });
}

async function sameShim(context: WindowsCaseContext): Promise<void> {
  await withWindowsPod(context, async (pod) => {
    const container = await createContainer(context, pod, "cmd /c exit 0");
    // containerd for Windows runs `start` for each container, and is told of the pod's shim.
    const identity = { ...pod.identity, id: container.id, bundle: container.bundle };
    const [own, of] = [await startShim(identity), await startShim({ ...identity, id: "again" })];
    assert.equal(own.address, of.address);
    const client = await ShimClient.connect(identity, own.address);
    const { shimPid } = await client.call(Task, "Connect", { id: container.id });
    assert.equal(shimPid, await pod.shimPid());
    assert.equal((await runToEnd(container)).status, 0);
  });
}

async function withoutLayers(context: WindowsCaseContext): Promise<void> {
  const runtimeOptions = utilityVmOptions(context.layers.at(-1) ?? "");
  const work = async (pod: Pod): Promise<void> => {
    const scratch = join(pod.identity.bundle, "vm", "sandbox.vhdx");
    assert.ok(existsSync(scratch), `the VM's scratch disk is ${scratch}`);
    const container = await createContainer(context, pod, "C:\\probe.exe copy");
    await container.start();
    assert.equal((await runExec(container, "write", "cmd /c echo written>C:\\mine.txt")).status, 0);
    const { status, stdout } = await runExec(container, "read", "cmd /c type C:\\mine.txt");
    assert.deepEqual({ status, stdout }, { status: 0, stdout: "written\r\n" });
    await container.closeStdin();
    assert.equal(await container.wait(), 0);
    assert.equal(await container.delete(), 0);
  };
  await withWindowsPod(context, work, { form: "Sandbox API", runtimeOptions });
}

async function withoutUtilityVm(context: WindowsCaseContext): Promise<void> {
  const pod = Pod.run(podOptions(context, { form: "Sandbox API" }));
  const ways = ["layers of a Windows image", "boot_files_root_path", utilityVmAnnotation];
  await assertRefused(pod, "InvalidArgument", "rootfs: got nothing", ...ways);
}

async function taskWithoutPod(context: WindowsCaseContext): Promise<void> {
  const process = windowsSpecs.process(execOf("C:\\probe.exe exit 2a"));
  const sandbox = () => ({ ociVersion: "1.1.0", process, root: { path: "" }, windows: { hyperv: {} } });
  const pod = await Pod.run({ ...podOptions(context), specs: { ...windowsSpecs, sandbox } });
  try {
    const id = "pod";
    assert.equal((await pod.shim.call(Task, "Wait", { id })).exitStatus, 42);
    assert.equal((await pod.shim.call(Task, "Delete", { id })).exitStatus, 42);
    await pod.shim.call(Task, "Shutdown", { id });
    await pod.shim.closed;
  } finally {
    await pod.abandon();
  }
}

async function exitCodes(context: WindowsCaseContext): Promise<void> {
  await withWindowsPod(context, async (pod) => {
    for (const code of [0, 1, 42, 0xc0000005]) {
      const commandLine = `C:\\probe.exe exit ${code.toString(16)}`;
      assert.equal((await runToEnd(await createContainer(context, pod, commandLine))).status, code);
    }
  });
}

async function streams(context: WindowsCaseContext): Promise<void> {
  await withWindowsContainer(context, "C:\\probe.exe copy", async (container) => {
    const bytes = randomBytes(copiedBytes);
    const exec = await container.exec("copy", execOf("C:\\probe.exe copy"));
    for (const [stdio, execId] of [
      [exec, "copy"],
      // The end of init ends the container.
      [container.stdio, ""],
    ] as const) {
      const output = stdio.output();
      // What ends the input is the call: it must not come before the input.
      await new Promise<void>((resolve) => stdio.stdin.write(bytes, () => resolve()));
      await container.closeStdin(execId);
      assertSame((await output).stdout, bytes);
      assert.equal(await container.wait(execId), 0);
    }
    await container.deleteExec("copy");
    exec.close();
  });
}

async function image(context: WindowsCaseContext): Promise<void> {
  await withWindowsPod(context, async (pod) => {
    const container = await createContainer(
      context,
      pod,
      `cmd /c C:\\probe.exe copy <C:\\${PATTERN.path.slice(1).replace("/", "\\")}`,
    );
    await container.start();
    const [{ stdout }, status] = await Promise.all([container.stdio.output(), container.wait()]);
    assert.equal(status, 0);
    assertSame(stdout, pattern(PATTERN.size));
    await container.delete();
  });
}

async function events(context: WindowsCaseContext): Promise<void> {
  await withWindowsContainer(context, "C:\\probe.exe wait", async (container) => {
    for (const name of ["CtrlC", "CtrlBreak", "CtrlShutdown"] as const) {
      const exec = await container.exec(name, execOf("C:\\probe.exe handle"));
      await readUntil(exec.stdout, /ready/);
      await container.kill(signalNumbers[name], { execId: name });
      assert.match(await readUntil(exec.stdout, /event \d/), new RegExp(`event ${signalNumbers[name]}`));
      await container.kill(signalNumbers.kill, { execId: name }).catch(() => undefined);
      await container.wait(name);
      await container.deleteExec(name);
      exec.close();
    }
    await assertRefused(container.kill(3), "InvalidArgument", "invalid signal 3", "CtrlC");
    await readUntil(container.stdio.stdout, /ready/);
    await container.kill(signalNumbers.CtrlC);
    assert.equal(await container.wait(), controlCExit);
  });
}

async function terminal(context: WindowsCaseContext): Promise<void> {
  const options = { terminal: true, fields: { consoleSize: { width: 90, height: 28 } } };
  await withWindowsContainer(
    context,
    "C:\\probe.exe sizes",
    async (container, pod) => {
      const { stdin, stdout } = container.stdio;
      await readUntil(stdout, /size=90x28/);
      await pod.shim.call(Task, "ResizePty", { id: container.id, width: 117, height: 42 });
      stdin.write("\r");
      await readUntil(stdout, /size=117x42/);
      stdin.write("\x1a\r");
      assert.equal(await container.wait(), 0);
    },
    options,
  );
}

async function surroundings(context: WindowsCaseContext): Promise<void> {
  const fields = { user: { username: "ContainerAdministrator" }, cwd: "C:\\windows" };
  await withWindowsContainer(context, "C:\\probe.exe wait", async (container) => {
    const line = String.raw`C:\probe.exe see "two words" a\"b`;
    const { status, stdout } = await runExec(container, "see", line, { ...fields, env: ["VARIABLE=one two"] });
    assert.equal(status, 0);
    assert.deepEqual(stdout.split("\r\n"), [
      ...[`line=${line}`, "user=ContainerAdministrator", "computer=C1 C1", "folder=C:\\windows"],
      ...["variable=one two", "drives=4", ""],
    ]);
    const quoted = await runExec(container, "quoted", "", {
      ...{ commandLine: undefined, args: ["C:\\probe.exe", "see", "two words", 'a"b', "c\\"] },
    });
    assert.match(quoted.stdout, /^line=C:\\probe\.exe see "two words" a\\"b c\\\r\n/);
  });
}

async function wrongProcesses(context: WindowsCaseContext): Promise<void> {
  await withWindowsContainer(context, "C:\\probe.exe wait", async (container) => {
    const absent = container.exec("absent", execOf("absent.exe"));
    await assertRefused(absent, ["NotFound", "InvalidArgument"], "absent.exe");
    await container.deleteExec("absent");
    const folder = execOf("C:\\probe.exe exit 0", { cwd: "C:\\absent" });
    await assertRefused(container.exec("folder", folder), ["NotFound", "InvalidArgument"], "C:\\absent");
    await container.deleteExec("folder");
    const empty = container.exec("empty", { args: [] });
    await assertRefused(empty, "InvalidArgument", "process has neither args nor commandLine");
  });
}

async function killed(context: WindowsCaseContext): Promise<void> {
  const pod = await Pod.run(podOptions(context));
  try {
    const container = await createContainer(context, pod, "C:\\probe.exe wait");
    await container.start();
    const exec = await container.exec("also", execOf("C:\\probe.exe wait"));
    await readUntil(exec.stdout, /ready/);
    process.kill(await pod.shimPid(), "SIGKILL");
    await pod.shim.closed;
    exec.close();
    container.stdio.close();
  } finally {
    await pod.abandon();
  }
}

function assertSame(actual: Buffer, expected: Buffer): void {
  assert.equal(actual.length, expected.length);
  assert.equal(sha256(actual), sha256(expected));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export const windowsCases: readonly WindowsCase[] = [
  { name: "windows: two containers on shared layers, each with its files, and execs", run: containersOfOnePod },
  { name: "windows: each container's `start` answers with the pod's shim", run: sameShim },
  { name: "windows: a pod by the Sandbox API, which has no layers of its own", run: withoutLayers },
  { name: "windows: a pod by the Sandbox API is refused without a utility VM", run: withoutUtilityVm },
  { name: "windows: a task without a pod, as ctr runs it", run: taskWithoutPod },
  { name: "windows: exit codes of 32 bits", run: exitCodes },
  { name: "windows: 8 MiB through the streams of an init and of an exec", run: streams },
  { name: "windows: a file of the image, whole", run: image },
  { name: "windows: console events are seen, and end who does not handle them", run: events },
  { name: "windows: a terminal with a size that changes", run: terminal },
  { name: "windows: user, computer, folder, environment and command line", run: surroundings },
  { name: "windows: programs that cannot be started are named", run: wrongProcesses },
  { name: "windows: kill -9 of the shim, then delete", run: killed },
];
