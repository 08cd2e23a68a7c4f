/**
 * Adapts a specification to this kernel and runtime, whatever the kind of the container: omits what the kernel cannot
 * grant, and puts the cgroups of all containers below one group.
 */

import { cgroupPathOf, type LiftedLimit } from "@uvm-shim/guest-agent-common";
import type { OciLinux, OciLinuxResources, OciMount, OciProcess, OciSpec } from "@uvm-shim/hcs-schema";
import type { GuestFacts } from "../boot/facts.ts";
import { effectiveOptions } from "../storage/mount-options.ts";

/** Runtimes ignore unknown fields but refuse a later version; crun 1.8 accepts up to 1.0. */
const acceptedVersion = "1.0.2";

/** The specification for the runtime: without what this guest cannot do, and with what protects the host's kernel. */
export function rewriteSpecification(containerId: string, given: OciSpec, facts: GuestFacts): OciSpec {
  const { windows: _, ...spec } = given;
  return {
    ...spec,
    ociVersion: acceptedVersion,
    ...(given.process === undefined ? {} : { process: rewriteProcess(given.process, facts) }),
    ...(given.mounts === undefined ? {} : { mounts: given.mounts.map(rewriteMount) }),
    linux: withKernelsOwn(rewriteLinux(containerId, given.linux ?? {}, facts), given.mounts ?? []),
  };
}

function rewriteMount(given: OciMount): OciMount {
  return given.options === undefined ? given : { ...given, options: effectiveOptions(given.options) };
}

/** Applies to the first process and to those that are added later. */
export function rewriteProcess(given: OciProcess, facts: GuestFacts): OciProcess {
  const { apparmorProfile, selinuxLabel, oomScoreAdj, capabilities, rlimits, ...process } = given;
  const mayRaise = facts.capabilities.has("CAP_SYS_RESOURCE");
  return {
    ...process,
    ...(apparmorProfile !== undefined && facts.hasAppArmor ? { apparmorProfile } : {}),
    ...(selinuxLabel !== undefined && facts.hasSelinux ? { selinuxLabel } : {}),
    ...(oomScoreAdj !== undefined && (mayRaise || oomScoreAdj >= facts.oomScoreAdj) ? { oomScoreAdj } : {}),
    ...(capabilities === undefined ? {} : { capabilities: grantable(capabilities, facts.capabilities) }),
    ...(rlimits === undefined ? {} : { rlimits: mayRaise ? rlimits : rlimits.map((limit) => clamp(limit, facts)) }),
  };
}

/** JSON of a specification. Limits at the end of the kernel's range keep all digits, which numbers cannot represent. */
export function specificationText(value: OciSpec | OciProcess | OciLinuxResources): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (item === 2 ** 64) return rawJson("18446744073709551615");
    if (item === 2 ** 63) return rawJson("9223372036854775807");
    return item;
  });
}

const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };

type Rlimit = NonNullable<OciProcess["rlimits"]>[number];

function clamp(limit: Rlimit, facts: GuestFacts): Rlimit {
  const most = facts.hardLimits.get(limit.type) ?? Number.POSITIVE_INFINITY;
  return { type: limit.type, hard: Math.min(limit.hard, most), soft: Math.min(limit.soft, most) };
}

function grantable(
  sets: NonNullable<OciProcess["capabilities"]>,
  granted: ReadonlySet<string>,
): NonNullable<OciProcess["capabilities"]> {
  return Object.fromEntries(
    Object.entries(sets).map(([set, names]) => [set, names.filter((name) => granted.has(name))]),
  );
}

/**
 * Parts of /proc that root may write without a capability and that affect the whole kernel: keys that crash or reboot it,
 * devices and their interrupts, and file systems.
 */
const ofTheKernel = ["acpi", "bus", "fs", "irq", "mtrr", "scsi", "sysrq-trigger"];

/** The kernel is the host's, so a container must not write to it, unlike in a VM with a kernel of its own. */
function withKernelsOwn(linux: OciLinux, mounts: readonly OciMount[]): OciLinux {
  const mounted = mounts.filter(({ type }) => type === "proc").map(({ destination }) => destination);
  if (mounted.length === 0) return linux;
  const own = mounted.flatMap((place) => ofTheKernel.map((name) => `${place.replace(/\/+$/, "")}/${name}`));
  return { ...linux, readonlyPaths: [...new Set([...(linux.readonlyPaths ?? []), ...own])] };
}

function rewriteLinux(containerId: string, given: OciLinux, facts: GuestFacts): OciLinux {
  const { mountLabel, resources, ...linux } = given;
  return {
    // runc's default; with crun's, containers do not see mounts that are made outside later.
    rootfsPropagation: "rslave",
    ...linux,
    ...(resources === undefined ? {} : { resources: splitLifted(resources).resources }),
    ...(mountLabel !== undefined && facts.hasSelinux ? { mountLabel } : {}),
    cgroupsPath: cgroupPathOf(containerId),
  };
}

/**
 * Separates the numbers that mean "no limit". A new container has no limits anyway; those of a running one are removed
 * directly, since crun (1.8) writes -1 as an unsigned number.
 */
export function splitLifted(given: OciLinuxResources): {
  readonly resources: OciLinuxResources;
  readonly lifted: readonly LiftedLimit[];
} {
  const { cpu, pids, ...rest } = given;
  const { quota = 0, ...withoutQuota } = cpu ?? {};
  const { limit: processes = 0 } = pids ?? {};
  return {
    resources: {
      ...rest,
      ...(cpu === undefined ? {} : { cpu: quota > 0 ? cpu : withoutQuota }),
      ...(processes > 0 ? { pids: { limit: processes } } : {}),
    },
    lifted: [...(quota < 0 ? (["quota"] as const) : []), ...(processes < 0 ? (["processes"] as const) : [])],
  };
}
