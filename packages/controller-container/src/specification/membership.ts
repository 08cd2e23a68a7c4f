import type { OciLinux } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { containerTypeKey, sandboxIdKey, skipNetworkKey } from "../plan/annotations.ts";
import type { PodAnchor } from "../plan/options.ts";
import { needOfPod } from "../sandbox/needs.ts";
import { withHostName } from "./host-name.ts";
import type { ContainerSpecification } from "./specification.ts";

/**
 * What a container is in the guest's eyes: the one that holds its pod's namespaces and files, one that has them from
 * that, or one that is alone.
 */
export type ContainerRole = "sandbox" | "workload" | "standalone";

export interface MembershipOptions {
  readonly id: string;
  readonly podId: string;
  readonly sandboxId?: string;
  readonly anchor?: () => PodAnchor | undefined;
  readonly defaultAnnotations?: { readonly [key: string]: string };
  readonly hostName?: string;
  readonly warn: (sentence: string) => void;
}

export interface Member {
  readonly role: ContainerRole;
  readonly specification: ContainerSpecification;
}

type Namespaces = NonNullable<OciLinux["namespaces"]>;

/** `/proc` of the guest: the client has these process ids from this shim. */
const inGuest = /^\/proc\/[1-9]\d{0,9}\/ns\/[a-z_]{1,32}$/;
/** Finds the container's place in its pod, and makes the specification say what the guest expects of one there. */
export function asMember(given: ContainerSpecification, options: MembershipOptions, refuse: Refuse): Member {
  const { id, podId, sandboxId = podId, warn } = options;
  const anchor = options.anchor?.();
  const { type } = given.containerAnnotations;
  if (type === "sandbox" && anchor?.isSandbox) {
    const accepted = "container, since the pod has its sandbox container";
    throw refuse("InvalidArgument", `annotation ${containerTypeKey} is "sandbox", accepted is ${accepted}`);
  }
  const role = roleOf(type, anchor);
  refuseHostIpc(given, type, refuse);
  const need = role === "standalone" ? needOfPod(given, options.defaultAnnotations) : undefined;
  if (need !== undefined && anchor !== undefined) {
    const expected = "expected is a pod: this VM was made for a container that is alone";
    throw refuse("FailedPrecondition", `config.json: ${need} works for containers of a pod only, ${expected}`);
  }
  if (need !== undefined) warn(`${need} has no effect: the guest gives it to containers of a pod only`);
  const inPod = anchor !== undefined && role !== "sandbox";
  const joins = joinsOf(type, anchor);
  const named = role === "workload" ? given : withHostName(given, options.hostName, warn);
  const { hostname = "", domainname, linux, containerAnnotations, ...specification } = named;
  const asked = inPod ? withWhatIsNotNamed(linux.namespaces ?? [], joins) : linux.namespaces;
  const namespaces = asked && guestNamespaces(asked, id === podId, joins, refuse);
  const ownsName = namespaces?.some((namespace) => namespace.type === "uts" && !namespace.path) ?? false;
  const isNamed = ownsName && role !== "workload";
  if (hostname !== "" && !isNamed) {
    const reason = ownsName
      ? "the guest gives containers of a pod no name"
      : "the container has the name of what it shares";
    warn(`hostname ${JSON.stringify(hostname)} has no effect: ${reason}`);
  }
  return {
    role,
    specification: {
      ...specification,
      containerAnnotations: {
        ...containerAnnotations,
        forGuest: withRole(containerAnnotations.forGuest, role, sandboxId),
      },
      ...(isNamed && hostname !== "" ? { hostname } : {}),
      ...(isNamed && domainname !== undefined ? { domainname } : {}),
      linux: { ...linux, ...(namespaces === undefined ? {} : { namespaces }) },
    },
  };
}

/** CRI's sandbox container is without one where its pod is to have the node's; what /dev/shm holds there is of its kernel. */
function refuseHostIpc({ linux, mounts = [] }: ContainerSpecification, type: string | undefined, refuse: Refuse): void {
  if (type !== "sandbox") return;
  const index = mounts.findIndex(({ source, destination }) => source === "/dev/shm" && destination === "/dev/shm");
  const { namespaces = [] } = linux;
  if (index < 0 || namespaces.some((namespace) => namespace.type === "ipc")) return;
  const expected = "expected is the pod's own: what the node's processes share is memory that no VM reaches";
  throw refuse("InvalidArgument", `config.json: mounts[${index}].source is the host's /dev/shm, ${expected}`);
}

function roleOf(type: "sandbox" | "container" | undefined, anchor: PodAnchor | undefined): ContainerRole {
  switch (type) {
    case "sandbox":
      return "sandbox";
    case "container":
      return "workload";
    case undefined:
      return anchor?.isSandbox === true ? "workload" : "standalone";
  }
}

/** What of a pod is to be had by a path, and what it is called there. */
const namesOfShared: ReadonlyMap<string, string> = new Map([
  ["network", "net"],
  ["ipc", "ipc"],
  ["uts", "uts"],
]);
/** The first process of a host, or of the guest: neither has namespaces for containers. */
const ofFirstProcess = /^\/proc\/1\/ns\//;

interface Joins {
  /** Where the pod's is; undefined where it has none to be joined. */
  readonly ofPod: (kind: string) => string | undefined;
  /** Whether one that is asked for without a path is the pod's all the same. */
  readonly isAlways: (kind: string) => boolean;
}

/**
 * CRI says by a path which namespaces of the pod a container wants. A client that knows no pods, as ctr, asks for a new
 * network, but NICs can be in one place only. All else that it asks for without a path is the container's own.
 */
function joinsOf(type: string | undefined, anchor: PodAnchor | undefined): Joins {
  const pid = anchor?.pid;
  return {
    ofPod: (kind) => {
      const name = namesOfShared.get(kind);
      return pid === undefined || name === undefined ? undefined : `/proc/${pid}/ns/${name}`;
    },
    isAlways: (kind) => kind === "network" && type === undefined,
  };
}

/**
 * What a specification leaves out is, for a runtime, that of the runtime itself: here of the VM, in which containers of
 * one pod would meet. So it is the container's own instead, and of the network the pod's, as the VM has no other.
 * Processes stay the VM's, which is how a pod asks for its host's.
 */
function withWhatIsNotNamed(given: Namespaces, { ofPod }: Joins): Namespaces {
  const path = ofPod("network");
  const added = [...(path === undefined ? [] : [{ type: "network", path }]), { type: "ipc" }, { type: "uts" }] as const;
  return [...given, ...added.filter(({ type }) => given.every((namespace) => namespace.type !== type))];
}

/** A path of the host leads nowhere in the guest. Where the pod has such a namespace for all, that is what is meant. */
function guestNamespaces(given: Namespaces, isFirst: boolean, joins: Joins, refuse: Refuse): Namespaces {
  return given.map(({ type, path = "" }, index) => {
    const ofPod = joins.ofPod(type);
    if (path === "") return ofPod !== undefined && joins.isAlways(type) ? { type, path: ofPod } : { type };
    // Of a guest that has no container yet, nobody can know a process.
    if (!isFirst && ofPod !== undefined && ofFirstProcess.test(path)) return { type, path: ofPod };
    if (!isFirst && inGuest.test(path)) return { type, path };
    if (type === "network") return ofPod === undefined ? { type } : { type, path: ofPod };
    const accepted = isFirst
      ? "no path, since the VM of this container is new"
      : "no path, or /proc/<pid in the guest>/ns/<name>";
    throw refuse(
      "InvalidArgument",
      `config.json: linux.namespaces[${index}].path (${type}) is ${JSON.stringify(path)}, which is of the host, accepted is ${accepted}`,
    );
  });
}

function withRole(
  forGuest: { readonly [key: string]: string },
  role: ContainerRole,
  sandboxId: string,
): { readonly [key: string]: string } {
  switch (role) {
    case "sandbox":
    case "standalone":
      return forGuest;
    case "workload":
      return { ...forGuest, [containerTypeKey]: "container", [sandboxIdKey]: sandboxId };
  }
}

/**
 * A sandbox without NICs has to say that it goes without: the guest would refuse it. What comes later is still moved
 * into its namespace.
 */
export function withoutNetwork(specification: ContainerSpecification): ContainerSpecification {
  const { containerAnnotations } = specification;
  const forGuest = { ...containerAnnotations.forGuest, [skipNetworkKey]: "true" };
  return { ...specification, containerAnnotations: { ...containerAnnotations, forGuest } };
}
