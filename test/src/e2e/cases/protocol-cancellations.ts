/** A client that gives up while a task is being made, as containerd does when its own caller has left. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EventSink } from "../../shim-client/events.ts";
import { Sandbox, ShimClient, Task } from "../../shim-client/shim.ts";
import { containerSpec } from "../../shim-client/spec.ts";
import { assertRefused, directoryRootfs, type ProtocolCase, type ProtocolCaseContext } from "./protocol.ts";

const MOMENTS = 12;
/** Of a Create that is left alone the moments are this far apart, from its beginning on. */
const STEP_MS = 40;
/** On a machine that is busy with other things; a shim that nobody shuts down serves for another minute. */
const END_MS = 20_000;

async function comesWithin(event: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(milliseconds, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

/** Nothing that a sandbox needs comes before it may. */
async function startBeforeCreate(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory, signal } = context;
  const eventSocket = join(directory, "events.sock");
  const bundle = join(directory, "pod");
  mkdirSync(bundle);
  const sink = await EventSink.listen(eventSocket);
  try {
    const shim = await ShimClient.start(
      { executable, environment, namespace: "pods", id: "pod", bundle, eventSocket },
      signal,
    );
    try {
      const starting = shim.call(Sandbox, "StartSandbox", { sandboxId: "pod" });
      await assertRefused(starting, "FailedPrecondition", "pod");
    } finally {
      await shim.delete();
    }
  } finally {
    await sink.close();
  }
}

/** Without a sandbox of its own life: the VM comes and goes with the task. */
async function atEveryMoment(context: ProtocolCaseContext): Promise<void> {
  const moments = Array.from({ length: MOMENTS }, (_, moment) => moment);
  const cancelled = await Promise.all(
    ["even", "odd"].map(async (lane, parity) => {
      const directory = join(context.directory, lane);
      mkdirSync(directory);
      const met: boolean[] = [];
      for (const moment of moments.filter((each) => each % 2 === parity)) {
        met.push(await isCancelledAt(moment, { ...context, directory }));
      }
      return met;
    }),
  );
  assert.ok(cancelled.flat().includes(true), "no moment met a task in the making");
}

/** Whether the task was still being made; otherwise it has been deleted like any other. */
async function isCancelledAt(moment: number, context: ProtocolCaseContext): Promise<boolean> {
  const { executable, environment, directory, signal } = context;
  const id = `moment-${moment}`;
  const eventSocket = join(directory, "events.sock");
  const bundle = join(directory, id);
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  const specification = containerSpec({ args: ["true"], hostname: id, cgroup: `/pods/${id}` });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(specification));
  const sink = await EventSink.listen(eventSocket);
  try {
    const shim = await ShimClient.start(
      { executable, environment, namespace: "pods", id, bundle, eventSocket },
      signal,
    );
    try {
      const outcome = shim.call(Task, "Create", { id, bundle, rootfs: directoryRootfs(context) }).then(
        () => "created",
        () => "undone",
      );
      await delay(moment * STEP_MS, undefined, { signal });
      const deleting = shim.call(Task, "Delete", { id });
      const isDeleted = await deleting.then(
        () => true,
        () => false,
      );
      if (!isDeleted) {
        await assertRefused(deleting, "NotFound", `task ${id} does not exist`);
        assert.equal(await outcome, "undone", id);
      }
      await shim.call(Task, "Shutdown", { id });
      assert.ok(await comesWithin(shim.closed, END_MS), `${id}: the shim serves on`);
      const state: { kind?: string } = JSON.parse(readFileSync(join(bundle, "uvm-shim.json"), "utf8"));
      assert.equal(state.kind, "ended", id);
      return !isDeleted;
    } finally {
      await shim.delete();
    }
  } finally {
    await sink.close();
    rmSync(bundle, { recursive: true });
  }
}

export const protocolGivenUpCases: readonly ProtocolCase[] = [
  { name: "a Create that is cancelled at each of twelve moments", run: atEveryMoment },
  { name: "StartSandbox before CreateSandbox is refused", run: startBeforeCreate },
];
