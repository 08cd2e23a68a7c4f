/** What containerd's own client cannot bring about or cannot show: spoken to the shim directly. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "@uvm-shim/shim/protocol";
import { mustRun } from "@uvm-shim/test-support/command";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { type StatusName, TtrpcError } from "@uvm-shim/ttrpc";
import { type Mount, Pod, type PodContainer, type PodOptions, readOnlyRoot } from "../../shim-client/pod.ts";
import { Sandbox, Task } from "../../shim-client/shim.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { FOREIGN_PROGRAM, type Images } from "../images.ts";

export interface ProtocolCaseContext {
  readonly executable: string;
  readonly environment: { readonly [name: string]: string };
  readonly images: Images;
  /** An empty directory for the case. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

export interface ProtocolCase {
  readonly name: string;
  readonly run: (context: ProtocolCaseContext) => Promise<void>;
}

const SIGKILL = 9;
/** Of coreutils, which every Debian has. */
const DYNAMIC_PROGRAM = "/usr/bin/env";
const MEMORY_ANNOTATION = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb";
const { TaskExit } = containerd.events;

export async function withPod(
  context: ProtocolCaseContext,
  work: (pod: Pod) => Promise<void>,
  options: Pick<PodOptions, "runtimeOptions" | "annotations" | "netnsPath" | "configuration"> = {},
): Promise<void> {
  const { executable, environment, directory, signal } = context;
  const pod = await Pod.run({ executable, environment, directory, signal, id: "pod", ...options });
  try {
    await work(pod);
    await pod.remove();
  } finally {
    await pod.abandon();
  }
}

export function directoryRootfs(context: ProtocolCaseContext): readonly Mount[] {
  return readOnlyRoot(context.images.rootfs);
}

/** A pod with one container, which runs; after the work it is killed and deleted. */
export async function withContainer(
  context: ProtocolCaseContext,
  args: readonly string[],
  work: (container: PodContainer, pod: Pod) => Promise<void>,
  options: { readonly mayHaveEnded?: boolean } = {},
): Promise<void> {
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({ id: "c1", args, rootfs: directoryRootfs(context) });
    await container.start();
    await work(container, pod);
    const killed = container.kill(SIGKILL);
    await (options.mayHaveEnded ? killed.catch(() => undefined) : killed);
    await container.wait();
    await container.delete();
  });
}

/** Runs a container to its end. */
export async function runToEnd(
  container: PodContainer,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  await container.start();
  const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
  assert.equal(await container.delete(), status);
  return { status, stdout: output.stdout.toString(), stderr: output.stderr.toString() };
}

export async function assertRefused(
  work: Promise<unknown>,
  code: StatusName | readonly StatusName[],
  ...words: string[]
): Promise<void> {
  const error = await work.then(
    () => assert.fail(`expected ${code}, and it succeeded`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TtrpcError, String(error));
  assert.ok([code].flat().includes(error.code as StatusName), `code ${error.code}, expected ${code}: ${error.message}`);
  for (const word of words) assert.ok(error.message.includes(word), `no ${JSON.stringify(word)} in: ${error.message}`);
}

async function lcowLayers(context: ProtocolCaseContext): Promise<void> {
  const upperContents = join(context.directory, "upper-contents");
  mkdirSync(join(upperContents, "etc"), { recursive: true });
  writeFileSync(join(upperContents, "etc", "group"), "from the upper layer\n");
  const base = await makeLayer(join(context.directory, "base"), context.images.rootfs);
  const upper = await makeLayer(join(context.directory, "upper"), upperContents);
  const scratches = await Promise.all(
    ["scratch-1", "scratch-2"].map((name) => makeScratch(join(context.directory, name))),
  );
  await withPod(context, async (pod) => {
    const script =
      "cat /etc/group; wc -c < /data/pattern; rm /data/pattern && echo $HOSTNAME > /etc/group && cat /etc/group";
    const containers = await Promise.all(
      scratches.map((scratch, index) =>
        pod.createContainer({
          id: `layered-${index}`,
          environment: [`HOSTNAME=container ${index}`],
          args: ["sh", "-c", script],
          rootfs: [layersMount(scratch, [upper, base])],
        }),
      ),
    );
    const results = await Promise.all(containers.map(runToEnd));
    results.forEach(({ status, stdout, stderr }, index) => {
      assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      assert.equal(stdout, `from the upper layer\n8388608\ncontainer ${index}\n`);
    });
  });
}

async function badLayers(context: ProtocolCaseContext): Promise<void> {
  const scratch = await makeScratch(join(context.directory, "scratch"));
  const damaged = join(context.directory, "damaged");
  mkdirSync(damaged);
  writeFileSync(join(damaged, "layer.vhd"), "this is no disk\n".repeat(4096));
  const missing = join(context.directory, "missing");
  await withPod(context, async (pod) => {
    const create = (layer: string): Promise<PodContainer> =>
      pod.createContainer({ id: "unreadable", args: ["true"], rootfs: [layersMount(scratch, [layer])] });
    await assertRefused(create(missing), "NotFound", join(missing, "layer.vhd"));
    await assertRefused(create(damaged), ["InvalidArgument", "FailedPrecondition"], join(damaged, "layer.vhd"));
    const good = await pod.createContainer({ id: "good", args: ["true"], rootfs: directoryRootfs(context) });
    assert.equal((await runToEnd(good)).status, 0);
  });
}

async function badConfiguration(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const create = (id: string, config: string | undefined): Promise<unknown> => {
      const bundle = join(context.directory, id);
      mkdirSync(join(bundle, "rootfs"), { recursive: true });
      if (config !== undefined) writeFileSync(join(bundle, "config.json"), config);
      return pod.shim.call(Task, "Create", { id, bundle, rootfs: directoryRootfs(context) });
    };
    await assertRefused(create("none", undefined), ["InvalidArgument", "NotFound"], "none/config.json");
    await assertRefused(create("garbage", "{ not json"), "InvalidArgument", "garbage/config.json");
    await assertRefused(create("list", "[]"), "InvalidArgument", "list/config.json");
    await assertRefused(create("empty", "{}"), "InvalidArgument", "config.json");
    const wrong = JSON.stringify({
      ociVersion: "1.1.0",
      process: { args: "true", cwd: "/" },
      root: { path: "rootfs" },
    });
    await assertRefused(create("wrong", wrong), "InvalidArgument", "process.args");
  });
}

async function badAnnotation(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory, signal } = context;
  const annotations = { [MEMORY_ANNOTATION]: "lots" };
  const pod = Pod.run({ executable, environment, directory, signal, annotations, id: "pod" });
  await assertRefused(pod, "InvalidArgument", MEMORY_ANNOTATION, "lots");
}

/** In the words of runc, when the program is started or, for a container's own, when it is made. */
async function programsWithoutALoader(context: ProtocolCaseContext): Promise<void> {
  const root = join(context.directory, "root");
  cpSync(context.images.rootfs, root, { recursive: true, verbatimSymlinks: true });
  const named = /\/lib[\w/.-]*\/ld-[\w.-]+/.exec(readFileSync(DYNAMIC_PROGRAM, "latin1"))?.[0];
  assert.ok(named !== undefined, `${DYNAMIC_PROGRAM} has a dynamic loader`);
  copyFileSync(DYNAMIC_PROGRAM, join(root, "bin", "dynamic"));
  writeFileSync(join(root, "bin", "script"), "#!/bin/dynamic\n", { mode: 0o755 });
  const change = (specification: Specification): object => ({ ...specification, root: { path: root } });
  await withPod(context, async (pod) => {
    const why = `exec /bin/dynamic: no such file or directory: its interpreter "${named}" does not exist`;
    for (const program of ["dynamic", "/bin/dynamic", "script"]) {
      const created = pod.createContainer({ id: "refused", args: [program, "--version"], rootfs: [], change });
      await assertRefused(created, "InvalidArgument", why);
    }
    const container = await pod.createContainer({ id: "c1", args: ["sleep", "1000"], rootfs: [], change });
    await container.start();
    await container.addExec("dynamic", { args: ["dynamic"] }, {});
    await assertRefused(container.startExec("dynamic"), "InvalidArgument", why);
    await container.deleteExec("dynamic");
    await container.kill(9);
    await container.wait();
    await container.delete();
  });
}

async function foreignProgram(context: ProtocolCaseContext): Promise<void> {
  const rootfs = join(context.directory, "foreign");
  mkdirSync(rootfs);
  await mustRun("cp", ["-a", `${context.images.rootfs}/.`, rootfs]);
  copyFileSync(join(context.images.foreignRootfs, FOREIGN_PROGRAM), join(rootfs, FOREIGN_PROGRAM));
  await withPod(context, async (pod) => {
    const mount = { type: "bind", source: rootfs, options: ["rbind"] };
    const foreign = pod.createContainer({ id: "foreign", args: [FOREIGN_PROGRAM], rootfs: [mount] });
    await assertRefused(foreign, ["InvalidArgument", "FailedPrecondition"], FOREIGN_PROGRAM);
  });
}

async function terminalByProtocol(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const until = (size: string) => `until [ "$(stty size 2>/dev/null)" = "${size}" ]; do sleep 0.05; done`;
    // An init's first size comes when it runs already, as any other does.
    const script = `${until("24 80")}; stty size; ${until("42 117")}; read line; echo "got $line"; exit 3`;
    const options = { id: "terminal", args: ["sh", "-c", script], terminal: true, rootfs: directoryRootfs(context) };
    const container = await pod.createContainer(options);
    await pod.shim.call(Task, "ResizePty", { id: container.id, width: 80, height: 24 });
    const firstSize = once(container.stdio.stdout, "readable");
    await container.start();
    await firstSize;
    await pod.shim.call(Task, "ResizePty", { id: container.id, width: 117, height: 42 });
    container.stdio.stdin.write("typed\n");
    const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
    assert.equal(status, 3);
    assert.match(output.stdout.toString(), /^24 80\r\n[\s\S]*got typed\r\n/);
    // A terminal that is gone cannot be resized, and nobody minds.
    await pod.shim.call(Task, "ResizePty", { id: container.id, width: 80, height: 24 });
    await container.delete();
  });
}

async function sandboxService(context: ProtocolCaseContext): Promise<void> {
  await withPod(context, async (pod) => {
    const sandboxId = "pod";
    const { platform } = await pod.shim.call(Sandbox, "Platform", { sandboxId });
    assert.equal(platform?.os, "linux");
    await pod.shim.call(Sandbox, "PingSandbox", { sandboxId });
    const status = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId, verbose: true });
    assert.equal(status.state, "SANDBOX_READY");
    const { info = "" } = status.info;
    assert.equal((JSON.parse(info) as { readonly pid: unknown }).pid, status.pid);
    assert.ok((await pod.shimPid()) > 0, "Connect answers for the sandbox's id");
    const ended = pod.shim.call(Sandbox, "WaitSandbox", { sandboxId });
    // What fails in between is reported first.
    ended.catch(() => undefined);
    await assertRefused(pod.shim.call(Sandbox, "SandboxStatus", { sandboxId: "other" }), "NotFound", "other");
    await assertRefused(pod.shim.call(Task, "State", { id: "other" }), "NotFound", "other");
    // A Shutdown for a container must not end the pod.
    await pod.shim.call(Task, "Shutdown", { id: "other" });

    const container = await pod.createContainer({
      id: "one",
      args: ["sh", "-c", "exit 5"],
      rootfs: directoryRootfs(context),
    });
    const again = { id: "one", bundle: container.bundle, rootfs: directoryRootfs(context) };
    await assertRefused(pod.shim.call(Task, "Create", again), "AlreadyExists", "one");
    assert.equal((await runToEnd(container)).status, 5);
    await poll("the delete event", () => (pod.sink.topics().includes("/tasks/delete") ? true : undefined), {
      timeoutMs: WAIT_MS,
    });
    assert.deepEqual(
      pod.sink.topics().filter((topic) => topic.startsWith("/tasks/")),
      ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"],
    );
    const exit = pod.sink.events.find((event) => event.topic === "/tasks/exit");
    const { containerId, id, exitStatus, pid } = TaskExit.decode(exit?.value ?? new Uint8Array());
    assert.deepEqual({ containerId, id, exitStatus }, { containerId: "one", id: "one", exitStatus: 5 });
    assert.ok(pid > 0);
    await pod.shim.call(Sandbox, "StopSandbox", { sandboxId, timeoutSecs: 10 });
    await ended;
    const stopped = await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId });
    assert.equal(stopped.state, "SANDBOX_NOTREADY");
  });
}

async function killedShim(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory, signal } = context;
  const pod = await Pod.run({ executable, environment, directory, signal, id: "pod" });
  try {
    const container = await pod.createContainer({
      id: "left",
      args: ["sleep", "1000"],
      rootfs: directoryRootfs(context),
    });
    await container.start();
    const exec = await container.exec("also", { args: ["sleep", "1000"] });
    process.kill(await pod.shimPid(), "SIGKILL");
    await pod.shim.closed;
    exec.close();
    container.stdio.close();
  } finally {
    await pod.abandon();
  }
}

async function abandonedBoot(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory } = context;
  const abandoned = new AbortController();
  const boot = Pod.run({
    ...{ executable, environment, directory, id: "pod", signal: abandoned.signal },
    observer: {
      begins: (phase) => {
        if (phase === "boot") queueMicrotask(() => abandoned.abort());
      },
      ended: () => undefined,
    },
  });
  await assertRefused(boot, "Cancelled");
}

export const protocolCases: readonly ProtocolCase[] = [
  { name: "the Sandbox service, its states and its events", run: sandboxService },
  { name: "lcow-layer: two containers share read-only layers, each with a scratch disk", run: lcowLayers },
  { name: "lcow-layer: a missing and a damaged layer are named", run: badLayers },
  { name: "a missing or malformed config.json is named", run: badConfiguration },
  { name: "a sandbox annotation with an invalid value is named", run: badAnnotation },
  { name: "a program of another architecture is named", run: foreignProgram },
  { name: "a program without its dynamic loader is named", run: programsWithoutALoader },
  { name: "a terminal that is resized before, while and after it lives", run: terminalByProtocol },
  { name: "kill -9 of the shim, then delete", run: killedShim },
  { name: "a client that cancels during the boot, then delete", run: abandonedBoot },
];

/** Runs a case in a directory of its own. */
export async function runProtocolCase(one: ProtocolCase, context: ProtocolCaseContext): Promise<void> {
  mkdirSync(context.directory);
  try {
    await one.run(context);
  } finally {
    rmSync(context.directory, { recursive: true, force: true });
  }
}
