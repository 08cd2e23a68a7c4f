import type { ContainerOptions, Phase, PodOptions } from "../shim-client/pod.ts";
import type { ProcessOptions } from "../shim-client/spec.ts";
import type { DemoConsole } from "./console.ts";

/** What one kind of pod needs and shows. */
export interface Scene {
  readonly title: string;
  readonly program: string;
  /** What stands between the pod and this machine. */
  readonly boundary: string;
  readonly phases: { readonly [phase in Phase]: string };
  /** One sentence about what is missing on the machine, and how to get it. */
  missing(): string | undefined;
  /** What can be said of the VM once it runs; throws if it is not as it should be. */
  describeVm?(): string;
  /** Gets what outlives the demo. */
  prepare(console: DemoConsole): Promise<void>;
  /** Makes what the pod is made of, in this directory. */
  stage(directory: string, console: DemoConsole): Promise<Stage>;
}

export interface Stage {
  readonly pod: Pick<PodOptions, "executable" | "specs" | "form" | "rootfs" | "environment">;
  /** Settles when what the container is made of is there: the pod does not wait for it. */
  readonly ready: Promise<unknown>;
  /** It prints, says that it waits for a line, reads it, and ends with 7. */
  readonly container: Omit<ContainerOptions, "id">;
  readonly exec: ProcessOptions;
  /** Throws if the exec has printed what it should not. */
  readonly checkExec?: (lines: readonly string[]) => void;
  /** A line for the container's standard input. */
  readonly line: string;
}
