import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { abortable, type Clock, OperationQueue, withDeadline } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { Log } from "../platform.ts";
import { writeState } from "../program/state-file.ts";
import { EventForwarder, type EventSink } from "../services/events/events.ts";
import { TaskEvents } from "../services/task/task-events.ts";
import type { LostPod, PodName } from "./registry.ts";
import { type LeftBundle, tasksFile } from "./state-folder.ts";

/** 128 + SIGKILL, as containerd says of a task whose shim is gone. */
const killedStatus = 137;
const cleanUpMilliseconds = 30_000;
const eventsMilliseconds = 60_000;

/** What ending a lost pod takes. */
export interface LostPodsOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Ends what is left of the VM and what the host keeps for it. Repeatable. */
  readonly cleanUp: (pod: PodName & { readonly bundle: string }) => Promise<void>;
  readonly removeDeadSocket: (socket: string) => Promise<void>;
  readonly connectEvents: (namespace: string) => Promise<EventSink>;
  /** Completes "pod lost with …". */
  readonly lostWith: string;
  /** Writes into the pod's record that it was lost. Does not reject. */
  readonly record: (left: LeftBundle) => Promise<void>;
}

/** A pod that is served no longer: what is left of it is ended, once, and the exits of its tasks are reported. */
export function lostPodOf(left: LeftBundle, options: LostPodsOptions): LostPod & { readonly ended: Promise<void> } {
  const { name, bundle, state } = left;
  const { clock, log } = options;
  const isKnown = state?.kind === "lost";
  const createdAt = isKnown ? new Date(state.createdAt) : left.createdAt;
  const exit = { status: killedStatus, exitedAt: isKnown ? new Date(state.exitedAt) : clock.now() };
  const queue = new OperationQueue();
  let isClean = false;
  let isForgotten = false;

  const cleanUp = (): Promise<void> =>
    queue.run(async () => {
      if (isClean) return;
      const error = (): ShimError =>
        new ShimError("DeadlineExceeded", `clean up pod ${name.id}: not done within ${cleanUpMilliseconds} ms`);
      const work = (until: AbortSignal): Promise<void> => abortable(options.cleanUp({ ...name, bundle }), until);
      await withDeadline(work, { clock, milliseconds: cleanUpMilliseconds, error });
      if (state !== undefined && state.socket !== "") await options.removeDeadSocket(state.socket);
      isClean = true;
    });

  const reportExits = async (): Promise<void> => {
    if (left.tasks.length === 0) return;
    const forwarder = new EventForwarder({ connect: () => options.connectEvents(name.namespace), clock, log });
    const events = new TaskEvents(forwarder, { clock, log });
    for (const id of left.tasks) events.exited(id, "", 0, exit);
    await forwarder.close(eventsMilliseconds);
    // What containerd has not taken is reported again by the next sandboxer.
    if (forwarder.queued.events === 0 && !isForgotten) await writeFile(path.join(bundle, tasksFile), "");
  };

  const end = async (): Promise<void> => {
    if (!isKnown) {
      const times = { createdAt: createdAt.toISOString(), exitedAt: exit.exitedAt.toISOString() };
      writeState(bundle, { kind: "lost", ...name, socket: state?.socket ?? "", ...times });
    }
    await cleanUp();
    if (!isKnown) await options.record(left);
    log.log("warn", `pod lost with ${options.lostWith}`, { ...name, tasks: left.tasks.length });
    await reportExits();
  };

  return {
    createdAt,
    exit,
    ended: end().catch((error: unknown) =>
      log.log("error", "cannot end all of a lost pod", { ...name, error: describeError(error) }),
    ),
    forget: async () => {
      await cleanUp();
      isForgotten = true;
      await rm(bundle, { recursive: true, force: true });
    },
  };
}
