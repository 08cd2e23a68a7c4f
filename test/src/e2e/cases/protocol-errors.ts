/** What a user can get wrong, and the messages about it; spoken to the shim directly. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layersMount, makeLayer } from "@uvm-shim/test-support/layers";
import type { StatusName } from "@uvm-shim/ttrpc";
import type { Mount, PodContainer } from "../../shim-client/pod.ts";
import { Sandbox, Task } from "../../shim-client/shim.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withPod,
} from "./protocol.ts";
import { WRONG, WRONG_IN_GUEST } from "./wrong-specifications.ts";

/** Refused as said; what was asked for stands before a fault of the case. */
async function refused(what: string, work: Promise<unknown>, code: StatusName, ...words: string[]): Promise<void> {
  await assertRefused(work, code, ...words).catch((error: Error) => assert.fail(`${what}: ${error.message}`));
}

async function wrongSpecifications(context: ProtocolCaseContext): Promise<void> {
  const rootfs = directoryRootfs(context);
  await withPod(context, async (pod) => {
    for (const [what, change, code, message] of [...WRONG, ...WRONG_IN_GUEST]) {
      await refused(what, pod.createContainer({ id: "wrong", args: ["true"], rootfs, change }), code, message);
    }
    const good = await pod.createContainer({ id: "wrong", args: ["true"], rootfs });
    assert.equal((await runToEnd(good)).status, 0);
  });
}

async function wrongRoots(context: ProtocolCaseContext): Promise<void> {
  const { directory } = context;
  const text = join(directory, "text");
  writeFileSync(text, "no image\n".repeat(1000));
  const layer = await makeLayer(join(directory, "layer"), context.images.rootfs);
  const mount = (type: string, source: string, ...options: readonly string[]): Mount => ({ type, source, options });
  const partitions = (value: string): Mount =>
    mount("lcow-partitioned-layer", "", `parent-partitioned-layers=${value}`);
  const parents = "expected option parentLayerPaths= with a JSON list of 1 to 500 absolute paths, got";
  const roots: readonly (readonly [rootfs: readonly Mount[], code: StatusName, message: string])[] = [
    [[], "NotFound", "rootfs: no mounts given, and root.path"],
    [[mount("lcow-layer", directory)], "InvalidArgument", `${parents} none`],
    [[mount("lcow-layer", directory, "parentLayerPaths=x")], "InvalidArgument", `${parents} invalid JSON`],
    [
      [mount("lcow-layer", directory, 'parentLayerPaths=["x"]')],
      "InvalidArgument",
      `${parents} parentLayerPaths=["x"]`,
    ],
    [[layersMount(directory, [layer])], "NotFound", `rootfs: scratch disk ${directory}/sandbox.vhdx does not exist`],
    [
      [layersMount(directory, [layer]), layersMount(directory, [layer])],
      "InvalidArgument",
      "rootfs: expected a single lcow-layer mount, got 2 mounts",
    ],
    [[mount("lcow-partitioned-layer", "", "x=1")], "InvalidArgument", "unknown option x=1, expected scratch= and"],
    [[partitions("[]")], "InvalidArgument", "with a JSON list of 1 to 500 objects"],
    [[partitions('[{"Path":"/none","Partition":1}]')], "NotFound", "rootfs: layer /none does not exist in /"],
    [[partitions(`[{"Path":"${text}"}]`)], "InvalidArgument", 'expected option scratch= with an absolute path, got ""'],
    [[mount("ext4", "/none")], "NotFound", "ext4 image /none is missing, expected a file or block device"],
    [[mount("ext4", text, "ro")], "InvalidArgument", "holds no file system, expected ext4"],
    [[mount("ntfs", text)], "Internal", "unknown filesystem type 'ntfs'"],
    [[mount("bind", "/none", "rbind")], "Internal", 'bind mount of "/none"'],
  ];
  await withPod(context, async (pod) => {
    for (const [rootfs, code, message] of roots) {
      const change = (specification: object): object => ({ ...specification, root: { path: "nowhere" } });
      const creating = pod.createContainer({ id: "wrong", args: ["true"], rootfs, change });
      await refused(JSON.stringify(rootfs), creating, code, message);
    }
    const full = [{ ...layersMount("", [layer]), options: [...layersMount("", [layer]).options, "ro"] }];
    const good = await pod.createContainer({ id: "wrong", args: ["true"], rootfs: full });
    assert.equal((await runToEnd(good)).status, 0);
  });
}

const EXEC = { args: ["true"], cwd: "/", user: { uid: 0, gid: 0 } };
const OCI_RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/** A container that runs, for requests that it is to refuse. */
async function withLive(
  context: ProtocolCaseContext,
  work: (
    call: <Name extends keyof typeof Task.methods & string>(method: Name, request: object) => Promise<unknown>,
    container: PodContainer,
    sandbox: (method: "CreateSandbox" | "PingSandbox", request: object) => Promise<unknown>,
  ) => Promise<void>,
): Promise<void> {
  await withPod(context, async (pod) => {
    const container = await pod.createContainer({
      id: "live",
      args: ["sleep", "1000"],
      rootfs: directoryRootfs(context),
    });
    await work(
      (method, request) => pod.shim.call(Task, method as never, request as never),
      container,
      (method, request) => pod.shim.call(Sandbox, method as never, request as never),
    );
    await container.kill(9);
    await container.wait();
    await container.delete();
  });
}

async function wrongExecs(context: ProtocolCaseContext): Promise<void> {
  const folder = join(context.directory, "folder");
  mkdirSync(folder);
  const killed = join(folder, "killed");
  writeFileSync(killed, "#!/bin/sh\nkill -KILL $$\n", { mode: 0o755 });
  await withLive(context, async (call, container) => {
    const exec = (spec: string | object | undefined, more: object = {}): Promise<unknown> => {
      const value = Buffer.from(typeof spec === "string" ? spec : JSON.stringify(spec ?? ""));
      return call("Exec", { id: "live", execId: "e", ...(spec !== undefined && { spec: { value } }), ...more });
    };
    await refused(
      "early",
      exec(EXEC),
      "FailedPrecondition",
      "container live",
      "the container is Created, expected Running",
    );
    await container.start();
    const expected = "expected an OCI process specification";
    const specs: readonly (readonly [spec: string | object | undefined, message: string])[] = [
      [undefined, `exec e in task live: spec is missing, ${expected}`],
      ["nope", `exec e in task live: spec is not JSON, ${expected}`],
      ["[]", "exec: process: expected an object, got a list"],
      ["{}", "exec: process.cwd: expected a string, got nothing"],
      [{ ...EXEC, args: [] }, "exec: process.args: expected a command, got an empty one"],
      [{ ...EXEC, args: "true" }, "exec: process.args: expected a list, got a string of 4 characters"],
      [{ ...EXEC, cwd: "x" }, 'exec: process.cwd: "x" is not an absolute path'],
      [{ ...EXEC, user: { gid: 0 } }, "exec: process.user.uid: expected an integer from 0"],
    ];
    for (const [spec, message] of specs) await refused(message, exec(spec), "InvalidArgument", message);
    const requests: readonly (readonly [request: object, message: string])[] = [
      [{ execId: "a b" }, 'exec_id is "a b", expected up to 128 letters and digits'],
      [{ execId: "" }, "exec_id is missing, expected up to 128 letters and digits"],
      [{ stdin: "x" }, 'stdin is "x", expected an absolute path or fifo://'],
      [{ stdin: "file:///x" }, 'stdin is "file:///x", expected an absolute path or fifo://'],
      [{ stdin: "/etc/passwd" }, "stdin /etc/passwd is not a FIFO"],
      [{ stdin: "/none" }, "stdin /none cannot be opened: ENOENT"],
      [{ stdout: "http://x" }, 'stdout is "http://x", expected an absolute path, fifo://, file:// or binary://'],
      [{ stdout: "file:///%zz" }, 'stdout is "file:///%zz", expected'],
      [{ stdout: folder }, `stdout ${folder} cannot be opened: EISDIR`],
      [{ stderr: `file://${folder}` }, `stderr ${folder} cannot be opened: EISDIR`],
      [{ stdout: "file:///proc/x/y" }, "stdout /proc/x/y cannot be opened: ENOENT"],
      [{ stdout: "binary:///bin/false" }, "stdout binary:///bin/false exited with code 1 before it was ready"],
      [{ stdout: `binary://${killed}` }, `stdout binary://${killed} was killed by SIGKILL before it was ready`],
      [{ stdout: "binary:///none" }, "stdout binary:///none cannot be run: spawn /none ENOENT"],
      [{ stderr: "binary:///bin/true" }, 'stderr is "binary:///bin/true", which requires a binary:// stdout'],
    ];
    for (const [request, message] of requests) await refused(message, exec(EXEC, request), "InvalidArgument", message);
    const starts: readonly (readonly [fields: object, message: string])[] = [
      [{ args: ["nosuch"] }, 'process.args[0] "nosuch": '],
      [{ args: ["/etc"] }, 'process.args[0] "/etc": '],
      [{ args: ["/etc/passwd"] }, 'process.args[0] "/etc/passwd": '],
      [{ cwd: "/nowhere" }, 'process.cwd "/nowhere": '],
      [{ user: { uid: 0, gid: 0, username: "who" } }, 'the container\'s /etc/passwd has no user "who"'],
    ];
    for (const [fields, message] of starts) {
      await exec({ ...EXEC, ...fields });
      await refused(
        "twice",
        exec(EXEC),
        "AlreadyExists",
        "exec e already exists, delete it first or use another exec_id",
      );
      await refused(message, container.startExec("e"), "InvalidArgument", message);
      await container.deleteExec("e");
    }
  });
}

async function wrongRequests(context: ProtocolCaseContext): Promise<void> {
  const { directory } = context;
  await withLive(context, async (call, container, sandbox) => {
    const id = "live";
    const update = (value: unknown, type_url = OCI_RESOURCES) =>
      call("Update", { id, resources: { type_url, value: Buffer.from(JSON.stringify(value)) } });
    const created = "the container is Created, expected Running";
    await refused("limits", update({ pids: { limit: 5 } }), "FailedPrecondition", "update container live", created);
    await refused("pause", call("Pause", { id }), "FailedPrecondition", "in state Created, only in Running");
    await container.start();
    const resources =
      "LinuxResources or WindowsResources of the OCI runtime specification, PolicyFragment or ContainerMount";
    const wrong: readonly (readonly [work: () => Promise<unknown>, code: StatusName, message: string])[] = [
      [() => call("Start", { id }), "FailedPrecondition", "start task live: it was already started"],
      [
        () => call("Resume", { id }),
        "FailedPrecondition",
        "resume container live: not possible in state Running, only in",
      ],
      [() => call("Delete", { id }), "FailedPrecondition", "delete task live: it is running; kill it first"],
      [() => call("Kill", { id: "none", signal: 9 }), "NotFound", "task none does not exist"],
      [() => call("Kill", { id, signal: 0 }), "InvalidArgument", "live: invalid signal 0: expected 1 to 64"],
      [
        () => call("Kill", { id, signal: 0, all: true }),
        "InvalidArgument",
        "all processes of container live: invalid signal 0: expected 1 to 64",
      ],
      [
        () => call("Kill", { id, signal: 65, all: true }),
        "InvalidArgument",
        "live: invalid signal 65: expected 1 to 64",
      ],
      [
        () => call("ResizePty", { id, width: 1, height: 1 }),
        "FailedPrecondition",
        "resize process live: the process has no terminal",
      ],
      [() => call("ResizePty", { id, width: 70_000, height: 1 }), "InvalidArgument", "invalid terminal width 70000"],
      [
        () => call("Update", { id }),
        "InvalidArgument",
        `update task live: resources are missing, expected ${resources}`,
      ],
      [() => update({}, "x/y"), "InvalidArgument", `unknown resources type "x/y", expected ${resources}`],
      [() => update([]), "InvalidArgument", "update container live: update: resources: expected an object, got a list"],
      [
        () => update({ memory: { limit: "1" } }),
        "InvalidArgument",
        "resources.memory.limit: expected an integer, got string",
      ],
      [
        () => update({ cpu: { quota: 1 } }),
        "InvalidArgument",
        "resources.cpu.quota: expected at least 1000 microseconds",
      ],
      [() => update({ memory: { limit: 1 } }), "InvalidArgument", "linux.resources.memory.limit 1: "],
      [() => update({ cpu: { cpus: "99" } }), "InvalidArgument", 'linux.resources.cpu.cpus "99": '],
      [
        () => update({ fragment: "x" }, "ctrdtaskapi/PolicyFragment"),
        "InvalidArgument",
        "a policy fragment applies to a sandbox, not to a container",
      ],
      [() => call("Create", { id: "", bundle: directory }), "InvalidArgument", "create task: id is missing, expected"],
      [() => call("Create", { id: "a/b", bundle: directory }), "InvalidArgument", 'id is "a/b", expected up to 128'],
      [
        () => call("Create", { id, bundle: directory }),
        "AlreadyExists",
        "create task live: already exists, delete it first",
      ],
      [
        () => call("Create", { id: "new", bundle: "/none" }),
        "InvalidArgument",
        "/none/config.json does not exist, expected a",
      ],
      [
        () => call("Create", { id: "new", bundle: directory, checkpoint: "/x" }),
        "Unimplemented",
        "cannot restore checkpoint /x: checkpoints are not supported",
      ],
      [() => call("Checkpoint", { id }), "Unimplemented", "Checkpoint is not supported by this shim"],
      [
        () => sandbox("CreateSandbox", { sandboxId: "new" }),
        "AlreadyExists",
        "create sandbox new: this shim already has",
      ],
      [
        () => sandbox("PingSandbox", { sandboxId: "new" }),
        "NotFound",
        "sandbox new does not exist: this shim has sandbox pod",
      ],
    ];
    for (const [work, code, message] of wrong) await refused(message, work(), code, message);
  });
}

export const protocolErrorCases: readonly ProtocolCase[] = [
  { name: "errors in a specification are named", run: wrongSpecifications },
  { name: "errors in a root file system are named", run: wrongRoots },
  { name: "errors in an exec and its stdio are named", run: wrongExecs },
  { name: "errors in a request are named", run: wrongRequests },
];
