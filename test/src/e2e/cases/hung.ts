/** Tasks that are paused, and tasks whose guest hangs. */
import assert from "node:assert/strict";
import { describe } from "@uvm-shim/test-support/command";
import { freezeGuest, systemOf, thawGuest } from "../../support/frozen-guest.ts";
import { servingShims } from "../machine.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, hasOwnShims, taskStatus, timed, waitForStatus, withDetached } from "./ctr.ts";

/** What containerd waits for a state or figures, and for a deletion; and some for ctr itself. */
const FIGURES_MS = 2_000 + 500;
const DELETION_MS = 5_000 + 500;

async function pausing(context: CaseContext): Promise<void> {
  const { containerd } = context;
  const counting = ["sh", "-c", "while true; do echo; sleep 0.02; done > /counter"];
  await withDetached(context, { command: counting }, async (id) => {
    await containerd.mustCtr(["task", "pause", id]);
    assert.equal(await taskStatus(context, id), "PAUSED");
    const refused = await exec(context, id, ["true"]);
    assert.notEqual(refused.status, 0, describe(refused));
    assert.match(refused.stderr, /Paused/);
    await containerd.mustCtr(["task", "resume", id]);
    assert.equal(await taskStatus(context, id), "RUNNING");
    const goesOn = "a=$(wc -c < /counter); sleep 0.5; [ $(wc -c < /counter) -gt $a ]";
    assertStatus(await exec(context, id, ["sh", "-c", goesOn]), 0);
    await containerd.mustCtr(["task", "pause", id]);
    await containerd.mustCtr(["task", "kill", "--signal", "SIGKILL", id]);
    await waitForStatus(context, id, "STOPPED");
  });
}

async function figures(context: CaseContext): Promise<void> {
  const { containerd } = context;
  await withDetached(context, {}, async (id) => {
    const system = systemOf(containerd.namespace, id);
    await freezeGuest(system);
    const state = await timed(() => taskStatus(context, id));
    assert.equal(state.result, "RUNNING");
    assert.ok(state.milliseconds < FIGURES_MS, `State took ${state.milliseconds} ms`);
    const metrics = await timed(() => containerd.ctr(["task", "metrics", id]));
    assert.notEqual(metrics.result.status, 0, describe(metrics.result));
    assert.ok(metrics.milliseconds < FIGURES_MS, `Stats took ${metrics.milliseconds} ms`);
    await thawGuest(system);
    assertStatus(await exec(context, id, ["true"]), 0);
  });
}

async function deletion(context: CaseContext): Promise<void> {
  const { containerd } = context;
  await withDetached(context, { command: ["true"] }, async (id) => {
    await waitForStatus(context, id, "STOPPED");
    await freezeGuest(systemOf(containerd.namespace, id));
    const { milliseconds } = await timed(() => containerd.ctr(["task", "delete", id]));
    assert.equal(await taskStatus(context, id), undefined);
    assert.ok(milliseconds < DELETION_MS, `Delete took ${milliseconds} ms`);
  });
}

async function killing(context: CaseContext): Promise<void> {
  const { containerd } = context;
  await withDetached(context, {}, async (id) => {
    await freezeGuest(systemOf(containerd.namespace, id));
    await containerd.mustCtr(["task", "kill", "--signal", "SIGKILL", id]);
    await waitForStatus(context, id, "STOPPED");
  });
}

async function lostShim(context: CaseContext): Promise<void> {
  const { containerd } = context;
  await withDetached(context, {}, async (id) => {
    await freezeGuest(systemOf(containerd.namespace, id));
    const { milliseconds } = await timed(async () => {
      for (const pid of servingShims(context.runtime, id)) process.kill(pid, "SIGKILL");
      await waitForStatus(context, id, undefined);
    });
    assert.ok(milliseconds < DELETION_MS, `cleaning up took ${milliseconds} ms`);
  });
}

const ofVms = ({ runtime }: CaseContext): boolean => runtime.key === "lcow";

export const hungCases: readonly Case[] = [
  { name: "pause, resume, and a paused task that is killed", applies: ofVms, run: pausing },
  { name: "a guest that hangs: state and figures are answered in time, and it goes on", applies: ofVms, run: figures },
  { name: "a guest that hangs: its task is deleted in time", applies: ofVms, run: deletion },
  { name: "a guest that hangs: its task is killed", applies: ofVms, run: killing },
  {
    name: "a guest that hangs: what a killed shim leaves is removed in time",
    applies: (context) => ofVms(context) && hasOwnShims(context),
    run: lostShim,
  },
];
