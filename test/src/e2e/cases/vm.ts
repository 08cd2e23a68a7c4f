/** The VM of a container: that it has a kernel of its own, and how it ends when it does not end by itself. */
import assert from "node:assert/strict";
import { release } from "node:os";
import { describe, runCommand } from "@uvm-shim/test-support/command";
import { guestKind, READY_MS } from "../../support/guest-kind.ts";
import { runInGuest } from "../../support/in-guest.ts";
import { DIAGNOSIS_TOOL } from "../../support/programs.ts";
import { findServers, type Server } from "../../support/servers.ts";
import { poll } from "../../support/wait.ts";
import type { Case, CaseContext } from "../suite.ts";
import {
  assertStatus,
  exec,
  hasOwnShims,
  removeContainer,
  runArguments,
  runContainer,
  taskStatus,
  withDetached,
} from "./ctr.ts";

async function ownKernel(context: CaseContext): Promise<void> {
  await withDetached(context, {}, async (id) => {
    const seen = await exec(context, id, ["uname", "-r"]);
    assertStatus(seen, 0);
    assert.notEqual(seen.stdout.toString().trim(), release());
  });
}

/** Has a container run, ends its VM, waits until containerd takes its task for ended, and removes it; its id. */
async function endedBy(context: CaseContext, end: () => Promise<unknown>): Promise<string> {
  const id = context.newId("ended");
  await context.containerd.mustCtr(runArguments(context, { id, flags: ["--detach"], command: ["sleep", "1000"] }));
  await end();
  const isOver = async (): Promise<true | undefined> => {
    const status = await taskStatus(context, id);
    return status === undefined || status === "STOPPED" ? true : undefined;
  };
  await poll("the task to be ended", isOver, { timeoutMs: READY_MS, signal: context.signal });
  await removeContainer(context, id);
  return id;
}

async function panics(context: CaseContext): Promise<void> {
  // The kernel has no time to answer.
  const panic = () => runInGuest("sh", "-c", "echo c > /proc/sysrq-trigger").catch(() => undefined);
  const id = await endedBy(context, panic);
  const why = await runCommand(DIAGNOSIS_TOOL, ["why", `${context.containerd.namespace}/${id}`]);
  for (const words of [
    /^The guest crashed while the pod ran: the guest's kernel panicked/,
    /Kernel panic - not syncing/,
  ])
    assert.match(why.stdout.toString(), words, describe(why));
}

const killed = (server: Server): Case["run"] => {
  return async (context) => {
    await endedBy(context, async () => process.kill(findServers()[server], "SIGKILL"));
  };
};

/** What it has left goes when the next one starts. */
async function killedHost(context: CaseContext): Promise<void> {
  await killed("emulated host")(context);
  assertStatus(await runContainer(context, { id: context.newId("next"), command: ["true"] }), 0);
}

const ofVms = (context: CaseContext): boolean => context.runtime.key === "lcow" && hasOwnShims(context);
const ofMachines = (context: CaseContext): boolean => ofVms(context) && guestKind === "qemu";

export const vmCases: readonly Case[] = [
  { name: "a VM has a kernel of its own", applies: ofMachines, run: ownKernel },
  { name: "a panic of a VM's kernel ends its containers, and is told as what it is", applies: ofMachines, run: panics },
  { name: "kill -9 of a VM", applies: ofVms, run: killed("guest agent") },
  { name: "kill -9 of the emulated host, whose next start removes what is left", applies: ofVms, run: killedHost },
];
