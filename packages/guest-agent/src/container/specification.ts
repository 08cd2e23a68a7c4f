/**
 * What this kernel and this runtime make of a specification, whichever the kind of its container: what the kernel cannot
 * grant is left out, and the cgroups of all containers lie below one group.
 */
import type { OciLinux, OciLinuxResources, OciMount, OciProcess, OciSpec } from "@uvm-shim/hcs-schema";
import type { GuestFacts } from "../boot/facts.ts";
import { cgroupPathOf, type LiftedLimit } from "../cgroups/cgroups.ts";
import { effectiveOptions } from "../storage/mount-options.ts";

/** Runtimes refuse a version later than their own, though they ignore what they do not know; crun 1.8 stops at 1.0. */
const acceptedVersion = "1.0.2";

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

/** The part that holds for every process of a container, its first and those that are added later. */
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

/** JSON of a specification. Limits at the end of the kernel's range, which numbers cannot hold, keep their digits. */
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
 * What root may write in any mount of /proc without a capability, and is of the kernel as a whole: keys that crash or
 * reboot it, its devices and their interrupts, and its file systems.
 */
const ofTheKernel = ["acpi", "bus", "fs", "irq", "mtrr", "scsi", "sysrq-trigger"];

/** A kernel that is the host's too is not a container's to write to, whatever it may do in a VM with its own. */
function withKernelsOwn(linux: OciLinux, mounts: readonly OciMount[]): OciLinux {
  const mounted = mounts.filter(({ type }) => type === "proc").map(({ destination }) => destination);
  if (mounted.length === 0) return linux;
  const own = mounted.flatMap((place) => ofTheKernel.map((name) => `${place.replace(/\/+$/, "")}/${name}`));
  return { ...linux, readonlyPaths: [...new Set([...(linux.readonlyPaths ?? []), ...own])] };
}

function rewriteLinux(containerId: string, given: OciLinux, facts: GuestFacts): OciLinux {
  const { mountLabel, resources, ...linux } = given;
  return {
    // As runc has it, where crun takes part in nothing that is mounted outside.
    rootfsPropagation: "rslave",
    ...linux,
    ...(resources === undefined ? {} : { resources: splitLifted(resources).resources }),
    ...(mountLabel !== undefined && facts.hasSelinux ? { mountLabel } : {}),
    cgroupsPath: cgroupPathOf(containerId),
  };
}

/**
 * The resources without the numbers that mean no limit, and which limits had such. A new container has none anyway; of
 * one that runs they are taken away by hand, since crun (1.8) writes -1 as a number without a sign.
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
