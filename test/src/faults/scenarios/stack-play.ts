/** What the plays on whole stacks have in common: a pod is booted, used, and stopped as its shim does. */
import type { UpstreamStdio } from "@uvm-shim/controller-process";
import { type FakeUpstream, pipes } from "@uvm-shim/controller-process/testing";
import type { ComputeSystemDocument } from "@uvm-shim/hcs-schema";
import type { CaseContext, Play } from "../scenario.ts";

const stopMs = 10_000;

interface Program {
  readonly args: readonly string[];
  readonly workingDirectory: string;
  readonly stdio: typeof pipes;
}

interface PlayedPod {
  start(signal?: AbortSignal): Promise<unknown>;
  stop(timeoutMs: number): Promise<void>;
  executeInVm(program: Program, signal?: AbortSignal): Promise<unknown>;
  describe(): {
    readonly ownShares: readonly { readonly guestPath: string }[];
    readonly programs: readonly { readonly id: string }[];
  };
}

/** A pod as the shim puts it together, on a fake host and, behind the real protocol, a fake guest. */
export interface Stack<Pod extends PlayedPod> {
  readonly vm: {
    create(request: { readonly document: ComputeSystemDocument }, signal?: AbortSignal): Promise<void>;
    terminate(): Promise<void>;
  };
  readonly document: ComputeSystemDocument;
  /** Makes the pod, once its VM has been created. */
  readonly newPod: () => Pod;
  readonly leftovers: () => readonly string[];
  /** What the shim does last, when its pod has stopped. */
  readonly close?: () => Promise<void>;
}

/** `use` is what a caller does with the running pod, `leave` what is begun then and nobody waits for. */
export function podPlay<Pod extends PlayedPod>(
  { callers, script }: CaseContext,
  stack: Stack<Pod>,
  use: (pod: Pod, signal: AbortSignal) => Promise<void>,
  leave: (pod: Pod) => Promise<void> = async () => {},
): Play {
  const { vm, document } = stack;
  let pod: Pod | undefined;
  return {
    async act() {
      await callers.attempt(async (signal) => {
        await vm.create({ document }, signal);
        pod = stack.newPod();
        await pod.start(signal);
        await use(pod, signal);
      });
      if (pod !== undefined) await leave(pod);
    },
    async cleanUp() {
      try {
        await (pod === undefined ? vm.terminate() : pod.stop(stopMs));
      } catch (error) {
        // What the host does with its own files cannot be given up: it answers some time, and stopping goes on.
        script.answerLate();
        throw error;
      }
      await stack.close?.();
    },
    leftovers: () => [
      ...stack.leftovers(),
      ...(pod?.describe().ownShares ?? []).map(({ guestPath }) => `share at ${guestPath}`),
      ...(pod?.describe().programs ?? []).map(({ id }) => id),
    ],
  };
}

/** Begins two programs of the VM, and cancels the first. */
export async function leavePrograms(pod: PlayedPod, ...args: readonly string[]): Promise<void> {
  const program = { args, workingDirectory: "", stdio: pipes };
  const hold = new AbortController();
  pod.executeInVm(program, hold.signal).catch(() => {});
  pod.executeInVm(program).catch(() => {});
  await new Promise((resolve) => setImmediate(resolve));
  hold.abort();
}

/** Of an answer that was lost nobody has the ends: they are closed. */
export function closingLost(upstream: FakeUpstream): UpstreamStdio {
  return {
    open: async (paths, signal) => {
      const before = upstream.opened.length;
      try {
        return await upstream.open(paths, signal);
      } catch (error) {
        for (const opened of upstream.opened.slice(before)) await opened.close();
        throw error;
      }
    },
  };
}
