import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { io } from "@uvm-shim/shim/protocol";
import { describe } from "@uvm-shim/test-support/command";
import {
  forgetSandbox,
  runSandbox,
  SHIM_CONTROLLER,
  sandboxMetrics,
  startTask,
  taskEndpointOf,
} from "../containerd-grpc.ts";
import { IMAGE } from "../images.ts";
import { SANDBOXER_PLUGIN } from "../sandboxer.ts";
import type { Case, CaseContext } from "../suite.ts";
import {
  assertStatus,
  exec,
  removeContainer,
  runArguments,
  runContainer,
  sandboxerOf,
  servingShim,
  taskStatus,
  withDetached,
} from "./ctr.ts";

/** What the sandbox's config.json says; ctr takes it as an OCI spec. */
const POD = { ociVersion: "1.1.0", hostname: "pod", annotations: {}, linux: {} };

/** `ctr sandboxes run`, and on the one version whose ctr cannot, the calls that it should make. */
export async function startSandbox(context: CaseContext, sandbox: string, spec: object = POD): Promise<void> {
  const { containerd } = context;
  const configuration = join(context.scratch, `${sandbox}.json`);
  writeFileSync(configuration, JSON.stringify(spec));
  const run = await containerd.ctr(["sandboxes", "run", "--runtime", context.runtime.name, configuration, sandbox]);
  if (run.status === 0) {
    assert.equal(run.stdout.toString().trim(), sandbox);
    return;
  }
  assert.match(run.stderr, /sandbox controller name can not be empty/, describe(run));
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  await forgetSandbox(endpoint, sandbox);
  await runSandbox(endpoint, { id: sandbox, runtime: context.runtime.name, spec, sandboxer: SHIM_CONTROLLER });
}

async function containersOfASandbox(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const sandbox = context.newId("sandbox");
  await startSandbox(context, sandbox);
  try {
    const shim = servingShim(context, sandbox);
    assert.match(await containerd.mustCtr(["sandboxes", "list"]), new RegExp(`^${sandbox}\\s`, "m"));
    const flags = ["--sandbox", sandbox];
    const short = await runContainer(context, {
      id: context.newId("member"),
      flags,
      command: ["sh", "-c", "echo in; exit 4"],
    });
    assertStatus(short, 4);
    assert.equal(short.stdout.toString(), "in\n");
    await withDetached(context, { flags }, (first) =>
      withDetached(context, { flags }, async (second) => {
        for (const id of [first, second]) assertStatus(await exec(context, id, ["sh", "-c", "exit 6"]), 6);
      }),
    );
    await assertMetrics(context, sandbox, SHIM_CONTROLLER);
    assert.equal(servingShim(context, sandbox), shim, "containers that come and go leave the sandbox's shim alone");
    const ids = Array.from({ length: 3 }, () => context.newId("member"));
    const results = await Promise.all(
      ids.map((id) => containerd.ctr(runArguments(context, { id, flags: ["--rm", ...flags], command: ["echo", id] }))),
    );
    results.forEach((result, index) => {
      assertStatus(result, 0);
      assert.equal(result.stdout.toString(), `${ids[index]}\n`);
    });
  } finally {
    await containerd.mustCtr(["sandboxes", "remove", "--force", sandbox]);
  }
}

/**
 * As a client of containerd does that chooses the controller, which ctr cannot; nor can it say where the tasks of such a
 * sandbox are served. What it does with them then is as ever.
 */
async function containersOfASandboxer(context: CaseContext): Promise<void> {
  const { containerd, runtime } = context;
  const { socket } = sandboxerOf(context);
  const sandbox = context.newId("sandbox");
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const request = { id: sandbox, runtime: runtime.name, spec: POD, sandboxer: SANDBOXER_PLUGIN };
  await runSandbox(endpoint, request);
  const ids = Array.from({ length: 3 }, () => context.newId("member"));
  try {
    const shim = servingShim(context, sandbox);
    assert.match(await containerd.mustCtr(["sandboxes", "list"]), new RegExp(`^${sandbox}\\s`, "m"));
    const tasks = await taskEndpointOf({ ...endpoint, socket }, sandbox);
    const rootfs = { type: "bind", source: context.images.rootfs, options: ["rbind", "ro"] };
    const flags = ["--runtime", runtime.name, "--sandbox", sandbox];
    await Promise.all(
      ids.map(async (id) => {
        await containerd.mustCtr(["container", "create", ...flags, IMAGE, id, "sleep", "1000"]);
        await startTask(endpoint, id, rootfs, tasks);
      }),
    );
    for (const id of ids) {
      assert.equal(await taskStatus(context, id), "RUNNING");
      const executed = await exec(context, id, ["sh", "-c", "echo in; exit 6"]);
      assertStatus(executed, 6);
      assert.equal(executed.stdout.toString(), "in\n");
    }
    await assertMetrics(context, sandbox, SANDBOXER_PLUGIN);
    const [first = "", ...others] = ids;
    await removeContainer(context, first);
    await containerd.stop();
    await containerd.start(context.signal);
    for (const id of others) assertStatus(await exec(context, id, ["true"]), 0);
    assert.equal(servingShim(context, sandbox), shim);
    for (const id of others) await removeContainer(context, id);
  } finally {
    await containerd.mustCtr(["sandboxes", "remove", "--force", sandbox]);
  }
}

/** The sandbox as a whole has used processors and memory. */
async function assertMetrics({ containerd }: CaseContext, sandbox: string, sandboxer: string): Promise<void> {
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const { typeUrl, value } = await sandboxMetrics(endpoint, sandbox, sandboxer);
  assert.equal(typeUrl, "io.containerd.cgroups.v1.Metrics");
  const { cpu, memory } = io.containerd.cgroups.v1.Metrics.decode(value);
  const { usage, limit } = memory?.usage ?? { usage: 0, limit: 0 };
  assert.ok((cpu?.usage?.total ?? 0) > 10_000_000, `${cpu?.usage?.total} ns of processor time`);
  assert.ok(usage > 2 ** 20 && usage < limit, `${usage} of ${limit} bytes of memory`);
}

export const sandboxCases: readonly Case[] = [
  {
    name: "a sandbox and containers inside it",
    // The runc shim does not have the Sandbox service.
    applies: ({ containerd, runtime }) => containerd.build.major >= 2 && runtime.key === "lcow",
    run: containersOfASandbox,
  },
  {
    name: "a sandbox of a client that chooses the sandboxer, and containers inside it",
    applies: ({ containerd, sandboxer }) => containerd.build.major >= 2 && sandboxer !== undefined,
    run: containersOfASandboxer,
  },
];
