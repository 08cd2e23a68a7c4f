import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "@uvm-shim/test-support/command";
import { READY_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import type { Case, CaseContext } from "../suite.ts";
import {
  assertStatus,
  exec,
  hasOwnShims,
  removeContainer,
  runArguments,
  runContainer,
  servingShim,
  startContainer,
  taskStatus,
  waitForStatus,
  withDetached,
} from "./ctr.ts";

const exitCode = (status: number): Case => ({
  name: `exit code ${status}`,
  run: async (context) => {
    const result = await runContainer(context, { id: context.newId("exit"), command: ["sh", "-c", `exit ${status}`] });
    assertStatus(result, status);
    assert.equal(result.stderr, "");
  },
});

const signalled = (name: string, script: string, signal: string, status: number): Case => ({
  name,
  run: async (context) => {
    const id = context.newId("signal");
    const running = startContainer(context, { id, command: ["sh", "-c", script] });
    await running.outputMatches(/ready/, READY_MS);
    await context.containerd.mustCtr(["task", "kill", "--signal", signal, id]);
    assertStatus(await running.finished, status);
  },
});

async function lifeOfADetachedContainer(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const id = context.newId("life");
  await containerd.mustCtr(runArguments(context, { id, flags: ["--detach"], command: ["sleep", "1000"] }));
  assert.equal(await taskStatus(context, id), "RUNNING");
  const executed = await exec(context, id, ["sh", "-c", "echo from the exec; exit 7"]);
  assertStatus(executed, 7);
  assert.equal(executed.stdout.toString(), "from the exec\n");

  const background = startExec(context, id, "held", ["sleep", "1001"]);
  await background.ready;
  const rows = (await containerd.mustCtr(["task", "ps", id])).trim().split("\n").slice(1);
  assert.equal(rows.length, 2, `ps shows init and one exec: ${rows.join("; ")}`);
  for (const row of rows) assert.match(row, /^[1-9]\d*\s/);
  assert.equal(rows.filter((row) => /\bheld\b/.test(row)).length, 1, `the exec has its name: ${rows.join("; ")}`);
  await containerd.mustCtr(["task", "kill", "--exec-id", "held", "--signal", "SIGTERM", id]);
  assertStatus(await background.finished, 143);

  const early = await containerd.ctr(["task", "delete", id]);
  assert.notEqual(early.status, 0, "a running task must not be deleted");
  assert.equal(await taskStatus(context, id), "RUNNING");
  await containerd.mustCtr(["task", "kill", "--signal", "SIGKILL", id]);
  await waitForStatus(context, id, "STOPPED");
  const deleted = await containerd.ctr(["task", "delete", id]);
  assert.match(`${deleted.stderr} code ${deleted.status}`, /code 137/, describe(deleted));
  assert.equal(await taskStatus(context, id), undefined);
  await containerd.mustCtr(["container", "delete", id]);
}

/** By name with and without its prefix, in any case, and by number. */
async function signalsByNameAndNumber(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const script = "trap 'echo usr1' USR1; trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done";
  const id = context.newId("signals");
  const running = startContainer(context, { id, command: ["sh", "-c", script] });
  await running.outputMatches(/ready/, READY_MS);
  const kill = (signal: string) => containerd.ctr(["task", "kill", "--signal", signal, id]);
  for (const [index, signal] of ["SIGUSR1", "usr1", "10"].entries()) {
    assertStatus(await kill(signal), 0);
    await running.outputMatches(new RegExp(`(usr1\\s+){${index + 1}}`), READY_MS);
  }
  assertStatus(await kill("1"), 0);
  await running.outputMatches(/hup/, READY_MS);
  for (const signal of ["99", "SIGNONE"]) {
    const refused = await kill(signal);
    assert.notEqual(refused.status, 0, describe(refused));
    if (context.runtime.key === "lcow") assert.ok(refused.stderr.includes(signal), describe(refused));
  }
  assertStatus(await containerd.ctr(["task", "kill", "--all", "--signal", "KILL", id]), 0);
  assertStatus(await running.finished, 137);
}

function startExec(context: CaseContext, id: string, execId: string, command: readonly string[]) {
  const script = `echo ready; exec ${command.join(" ")}`;
  const args = ["task", "exec", "--exec-id", execId, id, "sh", "-c", script];
  const running = context.containerd.startCtr(args, { signal: context.signal });
  return { ready: running.outputMatches(/ready/, READY_MS), finished: running.finished };
}

/** containerd 2 deletes what it takes for a leaked task when it starts. */
async function endsWhileContainerdIsDead(context: CaseContext): Promise<void> {
  const { containerd, signal } = context;
  const shared = join(context.scratch, context.newId("shared"));
  const ended = join(shared, "ended");
  mkdirSync(shared);
  await withDetached(
    context,
    {
      flags: ["--mount", `type=bind,src=${shared},dst=/shared,options=rbind:rw`],
      command: ["sh", "-c", "until [ -e /shared/end ]; do sleep 0.1; done; touch /shared/ended; exit 5"],
    },
    async (id) => {
      await containerd.stop("SIGKILL");
      writeFileSync(join(shared, "end"), "");
      await poll("the container's end", () => existsSync(ended) || undefined, { timeoutMs: READY_MS, signal });
      await containerd.start(signal);
      await waitForStatus(context, id, "STOPPED");
      const deleted = await containerd.ctr(["task", "delete", id]);
      assert.match(deleted.stderr.toString(), /exit code 5/, describe(deleted));
    },
  );
}

export const runningCases: readonly Case[] = [
  {
    name: "output and exit code 0",
    run: async (context) => {
      const command = ["sh", "-c", "echo to stdout; echo to stderr >&2"];
      const result = await runContainer(context, { id: context.newId("output"), command });
      assertStatus(result, 0);
      assert.equal(result.stdout.toString(), "to stdout\n");
      assert.equal(result.stderr, "to stderr\n");
    },
  },
  exitCode(1),
  exitCode(42),
  signalled("exit code 137 after SIGKILL", "echo ready; exec sleep 1000", "SIGKILL", 137),
  signalled(
    "exit code 143 after SIGTERM",
    "trap 'kill $child; exit 143' TERM; sleep 1000 & child=$!; echo ready; wait",
    "SIGTERM",
    143,
  ),
  {
    name: "exit code 137 after SIGTERM to the shim, five times",
    applies: (context) => context.runtime.key === "lcow" && hasOwnShims(context),
    run: async (context) => {
      for (let time = 0; time < 5; time++) {
        const id = context.newId("ended");
        const running = startContainer(context, { id, command: ["sh", "-c", "echo ready; exec sleep 1000"] });
        await running.outputMatches(/ready/, READY_MS);
        process.kill(servingShim(context, id), "SIGTERM");
        assertStatus(await running.finished, 137);
      }
    },
  },
  { name: "signals by name and by number, and invalid ones", run: signalsByNameAndNumber },
  {
    name: "a command that does not exist fails with its name",
    run: async (context) => {
      const result = await runContainer(context, {
        id: context.newId("missing"),
        command: ["no-such-program", "argument"],
      });
      assert.notEqual(result.status, 0);
      assert.match(result.stderr, /no-such-program/);
    },
  },
  {
    name: "an exec of a command that does not exist fails with its name, and the container goes on",
    run: (context) =>
      withDetached(context, {}, async (id) => {
        const result = await exec(context, id, ["no-such-program"]);
        assert.notEqual(result.status, 0);
        assert.match(result.stderr, /no-such-program/);
        assertStatus(await exec(context, id, ["true"]), 0);
      }),
  },
  { name: "detached: list, exec, ps, kill, delete", run: lifeOfADetachedContainer },
  {
    name: "environment, working directory and a directory of the host",
    run: async (context) => {
      const shared = join(context.scratch, context.newId("shared"));
      mkdirSync(shared);
      writeFileSync(join(shared, "in"), "from the host\n");
      const script = "cat /shared/in; echo $GREETING from $PWD; echo from the container > /shared/out";
      const result = await runContainer(context, {
        id: context.newId("spec"),
        flags: [
          ...["--env", "GREETING=hello", "--cwd", "/tmp"],
          ...["--mount", `type=bind,src=${shared},dst=/shared,options=rbind:rw`],
        ],
        command: ["sh", "-c", script],
      });
      assertStatus(result, 0);
      assert.equal(result.stdout.toString(), "from the host\nhello from /tmp\n");
      assert.equal(readFileSync(join(shared, "out"), "utf8"), "from the container\n");
    },
  },
  {
    name: "a read-only root file system",
    run: async (context) => {
      const command = ["sh", "-c", "touch /data/x"];
      const result = await runContainer(context, { id: context.newId("readonly"), flags: ["--read-only"], command });
      assertStatus(result, 1);
      assert.match(result.stderr, /read-only/i);
    },
  },
  {
    name: "ten containers at once",
    run: async (context) => {
      const ids = Array.from({ length: 10 }, () => context.newId("many"));
      const results = await Promise.all(
        // ctr itself loses what was printed when, on a busy machine, the container ends before ctr has opened its FIFO.
        ids.map((id, index) =>
          runContainer(context, { id, command: ["sh", "-c", `echo ${id}; sleep 0.5; exit ${index}`] }),
        ),
      );
      results.forEach((result, index) => {
        assertStatus(result, index);
        assert.equal(result.stdout.toString(), `${ids[index]}\n`);
      });
    },
  },
  {
    name: "a container that names another's sandbox joins its shim and VM",
    applies: (context) => context.runtime.key === "lcow",
    run: (context) =>
      withDetached(context, {}, async (pod) => {
        const shim = servingShim(context, pod);
        const flags = ["--annotation", `io.uvm-shim.sandbox-id=${pod}`];
        const command = ["sh", "-c", "echo joined; exit 8"];
        const short = await runContainer(context, { id: context.newId("member"), flags, command });
        assertStatus(short, 8);
        assert.equal(short.stdout.toString(), "joined\n");
        await withDetached(context, { flags }, async (member) => {
          assertStatus(await exec(context, member, ["true"]), 0);
          assert.equal(servingShim(context, pod), shim);
        });
        assertStatus(await exec(context, pod, ["true"]), 0);
      }),
  },
  {
    name: "a container outlives a restart of containerd",
    run: (context) =>
      withDetached(context, {}, async (id) => {
        const shim = servingShim(context, id);
        await context.containerd.stop();
        await context.containerd.start(context.signal);
        assert.equal(await taskStatus(context, id), "RUNNING");
        assert.equal(servingShim(context, id), shim);
        assertStatus(await exec(context, id, ["sh", "-c", "exit 3"]), 3);
      }),
  },
  { name: "a container that ends while containerd is dead keeps its exit code", run: endsWhileContainerdIsDead },
  {
    name: "kill -9 of the serving shim",
    applies: hasOwnShims,
    run: async (context) => {
      const id = context.newId("crash");
      await context.containerd.mustCtr(runArguments(context, { id, flags: ["--detach"], command: ["sleep", "1000"] }));
      process.kill(servingShim(context, id), "SIGKILL");
      // containerd sees the connection end, and runs the shim's delete.
      await waitForStatus(context, id, undefined);
      await removeContainer(context, id);
    },
  },
];
