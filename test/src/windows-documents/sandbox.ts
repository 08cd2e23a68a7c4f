import {
  buildWindowsSandbox,
  type RootfsMount,
  SandboxError,
  sandboxRole,
  type WindowsSandbox,
} from "@uvm-shim/sandbox-wcow";
import { asParsed, type HostFiles, hostFactsOf, optionsOf, owner, vmIdOf } from "./facts.ts";

export interface SandboxCase extends HostFiles {
  readonly name: string;
  readonly id: string;
  readonly options: Readonly<Record<string, unknown>> | null;
  readonly spec: { readonly annotations?: Readonly<Record<string, string>> | null };
  readonly rootfs?: readonly RootfsMount[] | null;
}

/** What makes the VM of a case, as a shim does before it creates the VM. Throws for what is refused. */
export function sandboxOf(asked: SandboxCase): WindowsSandbox {
  const { id, bundle, spec, options } = asked;
  const rootfs = asked.rootfs ?? [];
  return buildWindowsSandbox({
    ...{ owner, vmId: vmIdOf(id), bundle, rootfs },
    annotations: spec.annotations ?? {},
    options: optionsOf(options),
    specification: asParsed(spec),
    host: hostFactsOf(asked),
  });
}

/** The VM of a pod. */
export function podSandboxOf(asked: SandboxCase): WindowsSandbox {
  const role = sandboxRole(asked.spec.annotations ?? {}, asked.id);
  if (role !== "pod") {
    throw new SandboxError("InvalidArgument", "annotations", "got none of a pod's sandbox, expected CRI's");
  }
  return sandboxOf(asked);
}
