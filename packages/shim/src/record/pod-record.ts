import { performance } from "node:perf_hooks";
import { abortable, addObserver, type Clock, withDeadline } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { ShimFlags } from "../program/flags.ts";
import type { ShimOptions } from "../program/shim-options.ts";
import { isAlive, type ShimLog, type ShimSystem } from "../system/system.ts";
import { removeOldRecords } from "./kept.ts";
import { type HeaderLine, recordFile, recordFolder } from "./lines.ts";
import { appendNow, RecordFile } from "./record-file.ts";
import { RecordedLog } from "./recorded-log.ts";
import { Recorder } from "./recorder.ts";

/** What the header of a pod's record says, and where the record is. */
export interface RecordedPod {
  readonly flags: Pick<ShimFlags, "namespace" | "id" | "debug">;
  readonly options: Pick<ShimOptions, "name" | "version" | "flavour">;
  readonly env: NodeJS.ProcessEnv;
  readonly installed: string;
  readonly bundle: string;
  readonly socket: string;
  readonly identity: Pick<HeaderLine, "pid" | "processStartTime">;
  readonly clock: Clock;
  readonly system: Pick<ShimSystem, "processStartTime" | "makePrivateFolder">;
}

/** Records that this process writes: in a sandboxer, those of other pods than the one that ends. */
const open = new Set<RecordFile>();
/** A disk that hangs must not keep a shim from ending, in milliseconds. */
const endMilliseconds = 5000;

function headerOf(by: HeaderLine["by"], pod: RecordedPod): Omit<HeaderLine, "type" | "schema" | "seq" | "time"> {
  const { flags, options, env, installed, bundle, socket, identity } = pod;
  const { name: shim, version, flavour } = options;
  return {
    ...{ by, shim, version, flavour, namespace: flags.namespace, id: flags.id, bundle, ...identity, socket, installed },
    ...{ events: env.TTRPC_ADDRESS ?? "", host: env.UVM_SHIM_HOST ?? "", logLevel: flags.debug ? "debug" : "info" },
  };
}

/** What a serving shim records of its pod, from now until its end. */
export class PodRecord {
  readonly recorder: Recorder;
  readonly log: RecordedLog;
  readonly #pod: RecordedPod;
  readonly #folder: string | undefined;
  readonly #file: RecordFile | undefined;
  readonly #stop: () => void;

  constructor(pod: RecordedPod, log: ShimLog) {
    const { flags, env, clock, system } = pod;
    this.#pod = pod;
    const folder = recordFolder(env);
    this.#folder = folder;
    const now = (): Date => clock.now();
    const onProblem = (error: unknown): void =>
      log.log("warn", "cannot write the record of the pod", { error: describeError(error) });
    this.#file =
      folder === undefined
        ? undefined
        : new RecordFile({
            path: recordFile(folder, flags.namespace, flags.id),
            makeFolder: () => system.makePrivateFolder(folder),
            ...{ now, onProblem },
          });
    if (this.#file !== undefined) open.add(this.#file);
    const write = (line: string): void => this.#file?.add(line);
    this.recorder = new Recorder({ clock, milliseconds: () => performance.now(), write });
    this.recorder.header(headerOf("serve", pod));
    this.log = new RecordedLog(log, this.recorder);
    this.#stop = addObserver(this.recorder);
  }

  /** Keeps the file only if there is something in it to explain. Never fails: the pod has ended well without it. */
  async end(isOrderly: boolean): Promise<void> {
    this.#stop();
    try {
      await withDeadline((until) => abortable(this.#endFile(isOrderly), until), {
        clock: this.#pod.clock,
        milliseconds: endMilliseconds,
      });
    } catch (error) {
      this.log.log("warn", "cannot end the record of the pod", { error: describeError(error) });
    }
  }

  async #endFile(isOrderly: boolean): Promise<void> {
    if (this.#file === undefined || this.#folder === undefined) return;
    open.delete(this.#file);
    if (isOrderly && this.recorder.failure === undefined) return await this.#file.remove();
    await this.#file.close();
    const { identity, system } = this.#pod;
    await removeOldRecords(this.#folder, async (shim, file) => {
      const isOwn = shim.pid === identity.pid && shim.processStartTime === identity.processStartTime;
      return isOwn ? [...open].some(({ path }) => path === file) : await isAlive(shim, system);
    });
  }

  crashed(error: unknown): void {
    const attributes = { error: describeError(error), stack: (error instanceof Error && error.stack) || "" };
    this.recorder.occurred({ name: "shim crashed", attributes }, undefined);
    this.#stop();
    this.#file?.closeNow();
  }
}

/** Adds what others than its serving process have to say of a pod. Never fails: they have a result of their own. */
export async function appendToRecord(
  by: Exclude<HeaderLine["by"], "serve">,
  pod: RecordedPod,
  occurrences: readonly {
    readonly name: string;
    readonly attributes: { readonly [name: string]: string | number | boolean };
  }[],
): Promise<void> {
  const folder = recordFolder(pod.env);
  if (folder === undefined) return;
  const lines: string[] = [];
  const recorder = new Recorder({
    clock: pod.clock,
    milliseconds: () => performance.now(),
    write: (line) => lines.push(line),
  });
  recorder.header(headerOf(by, pod));
  for (const occurrence of occurrences) recorder.occurred(occurrence, undefined);
  try {
    await pod.system.makePrivateFolder(folder);
    appendNow(recordFile(folder, pod.flags.namespace, pod.flags.id), lines);
    await removeOldRecords(folder, (shim) => isAlive(shim, pod.system));
  } catch {
    // A record is for whoever asks later.
  }
}
