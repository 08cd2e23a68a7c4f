/** Pods that `start` hands over to a sandboxer, where that differs from shims of their own. */
import assert from "node:assert/strict";
import type { Case, CaseContext } from "../suite.ts";
import {
  assertStatus,
  exec,
  removeContainer,
  runArguments,
  runContainer,
  sandboxerOf,
  servingShim,
  waitForStatus,
  withDetached,
} from "./ctr.ts";

const COUNT = 3;

async function oneProcess(context: CaseContext): Promise<void> {
  const sandboxer = sandboxerOf(context);
  await withDetached(context, {}, (first) =>
    withDetached(context, {}, async (second) => {
      for (const id of [first, second]) assert.equal(servingShim(context, id), sandboxer.pid);
    }),
  );
}

async function startDetached(context: CaseContext, stem: string): Promise<string> {
  const id = context.newId(stem);
  await context.containerd.mustCtr(runArguments(context, { id, flags: ["--detach"], command: ["sleep", "1000"] }));
  return id;
}

/** containerd sees the connections end, and runs `delete` for each. */
async function killed(context: CaseContext): Promise<void> {
  const sandboxer = sandboxerOf(context);
  const ids: string[] = [];
  for (let count = 0; count < COUNT; count++) ids.push(await startDetached(context, "lost"));
  await sandboxer.stop("SIGKILL");
  await sandboxer.start(context.signal);
  for (const id of ids) await waitForStatus(context, id, undefined);
  await withDetached(context, {}, async (id) => {
    assertStatus(await exec(context, id, ["true"]), 0);
    assert.equal(servingShim(context, id), sandboxer.pid);
  });
  for (const id of ids) await removeContainer(context, id);
}

/** What it served has ended when it has, and containerd knows how. */
async function drained(context: CaseContext): Promise<void> {
  const sandboxer = sandboxerOf(context);
  const ids: string[] = [];
  for (let count = 0; count < COUNT; count++) ids.push(await startDetached(context, "drained"));
  await sandboxer.stop("SIGTERM");
  for (const id of ids) {
    await waitForStatus(context, id, undefined);
    await removeContainer(context, id);
  }
  await sandboxer.start(context.signal);
  assertStatus(await runContainer(context, { id: context.newId("after"), command: ["true"] }), 0);
}

export const handedOverCases: readonly Case[] = [
  { name: "one sandboxer serves two containers that know nothing of each other", run: oneProcess },
  { name: "kill -9 of the sandboxer of three containers, and its restart", run: killed },
  { name: "SIGTERM to a draining sandboxer of three containers, and its restart", run: drained },
];
