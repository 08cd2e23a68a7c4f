/** Containers with a configuration of the case's own, for what ctr has no flags for. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CommandResult, mustRun } from "@uvm-shim/test-support/command";
import { containerSpec, type Specification } from "../../shim-client/spec.ts";
import type { CaseContext } from "../suite.ts";

export interface ConfiguredOptions {
  readonly id: string;
  readonly args: readonly string[];
  /** Makes of the usual config.json what the case wants. */
  readonly change: (specification: Specification) => object;
  /** Further flags of ctr run. */
  readonly flags: readonly string[];
  /** Changes the root file system, which is a copy of the image's. */
  readonly prepare?: (rootfs: string) => void;
}

/** `ctr run --config`. */
export async function runConfigured(context: CaseContext, options: ConfiguredOptions): Promise<CommandResult> {
  const { id, args, change, flags, prepare } = options;
  const rootfs = join(context.scratch, `${id}-rootfs`);
  mkdirSync(rootfs);
  await mustRun("cp", ["-a", `${context.images.rootfs}/.`, rootfs]);
  prepare?.(rootfs);
  const specification = containerSpec({ args, hostname: id, cgroup: `/configured/${id}` });
  const configuration = join(context.scratch, `${id}.json`);
  writeFileSync(configuration, JSON.stringify(change({ ...specification, root: { path: rootfs } })));
  const line = ["run", "--runtime", context.runtime.name, ...flags, "--config", configuration, id];
  return await context.containerd.ctr(line, { signal: context.signal });
}
