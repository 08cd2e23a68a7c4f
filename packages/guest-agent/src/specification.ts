/**
 * From the specification that the host sends to the one that the guest's OCI runtime is given. The VM is the pod: its
 * containers share its network, their cgroups lie below one group, and what this kernel cannot grant is left out.
 */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciLinux, OciLinuxResources, OciMount, OciProcess, OciSpec } from "@uvm-shim/hcs-schema";
import { cgroupPathOf } from "./cgroups.ts";
import type { GuestFacts } from "./facts.ts";

/** Runtimes refuse a version later than their own, though they ignore what they do not know; crun 1.8 stops at 1.0. */
const acceptedVersion = "1.0.2";

const sharedMemory = "/dev/shm";

export interface GuestSpecification {
  readonly spec: OciSpec;
  /** Kernel settings of what the container shares with the guest as a whole, as its network. */
  readonly sharedSettings: ReadonlyMap<string, string>;
  /** Name of the guest, for a container that shares it. */
  readonly sharedHostname: string | undefined;
  /** File of the guest that the first process's output goes to besides. */
  readonly outputCopy?: string | undefined;
}

/** Throws a GuestFault that names the field which the guest cannot honour. */
export function rewriteSpecification(containerId: string, given: OciSpec, facts: GuestFacts): GuestSpecification {
  const { windows: _, hostname, domainname, ...spec } = given;
  const own = new Set((given.linux?.namespaces ?? []).map(({ type }) => type));
  const isShared = (sysctl: string): boolean => isOfNetwork(sysctl) || (isOfIpc(sysctl) && !own.has("ipc"));
  const sysctls = Object.entries(given.linux?.sysctl ?? {});
  const ownSysctls = Object.fromEntries(sysctls.filter(([name]) => !isShared(name)));
  return {
    spec: {
      ...spec,
      ...(own.has("uts") && hostname !== undefined ? { hostname } : {}),
      ...(own.has("uts") && domainname !== undefined ? { domainname } : {}),
      ...(own.has("ipc") ? {} : { mounts: (given.mounts ?? []).map(sharingMemory) }),
      ociVersion: acceptedVersion,
      ...(given.process === undefined ? {} : { process: rewriteProcess(given.process, facts) }),
      linux: { ...rewriteLinux(containerId, given.linux ?? {}, facts), sysctl: ownSysctls },
    },
    sharedSettings: new Map(sysctls.filter(([name]) => isShared(name))),
    sharedHostname: own.has("uts") || hostname === "" ? undefined : hostname,
  };
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

function rewriteLinux(containerId: string, given: OciLinux, facts: GuestFacts): OciLinux {
  const { mountLabel, ...linux } = given;
  const namespaces = (given.namespaces ?? []).filter(({ type }) => type !== "network");
  for (const { type, path } of namespaces) {
    if (path !== undefined && path !== "") {
      throw invalid(`linux.namespaces (${type}).path`, path, "no path, since the guest has namespaces of its own");
    }
  }
  return {
    ...linux,
    ...(mountLabel !== undefined && facts.hasSelinux ? { mountLabel } : {}),
    cgroupsPath: cgroupPathOf(containerId),
    namespaces,
  };
}

/** Containers that share the guest's IPC namespace share the memory that is named by files too. */
function sharingMemory(mount: OciMount): OciMount {
  if (mount.destination !== sharedMemory || mount.type !== "tmpfs") return mount;
  return {
    destination: sharedMemory,
    type: "bind",
    source: sharedMemory,
    options: ["rbind", "nosuid", "nodev", "noexec"],
  };
}

function isOfIpc(sysctl: string): boolean {
  return /^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(sysctl);
}

function isOfNetwork(sysctl: string): boolean {
  return sysctl.startsWith("net.");
}

function invalid(field: string, value: string, accepted: string): GuestFault {
  return new GuestFault("E_INVALIDARG", `OciSpecification.${field} is ${value}, accepted is ${accepted}`);
}
