import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { io } from "@uvm-shim/shim/protocol";
import { describe } from "@uvm-shim/test-support/command";
import { forgetSandbox, runSandbox, sandboxMetrics } from "../containerd-grpc.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, runArguments, runContainer, servingShim, withDetached } from "./ctr.ts";

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
  await runSandbox(endpoint, { id: sandbox, runtime: context.runtime.name, spec });
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
    await assertMetrics(context, sandbox);
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

/** The sandbox as a whole has used processors and memory. */
async function assertMetrics({ containerd }: CaseContext, sandbox: string): Promise<void> {
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  const { typeUrl, value } = await sandboxMetrics(endpoint, sandbox);
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
];
