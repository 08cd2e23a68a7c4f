import type { OciLinux } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { containerTypeKey, sandboxIdKey, skipNetworkKey } from "../plan/annotations.ts";
import type { PodAnchor } from "../plan/options.ts";
import { needOfPod } from "../sandbox/needs.ts";
import { withHostName } from "./host-name.ts";
import type { ContainerSpecification } from "./specification.ts";

/**
 * The role of a container in the guest: "sandbox" holds the pod's namespaces and files, "workload" joins them, and
 * "standalone" has neither pod nor sandbox.
 */
export type ContainerRole = "sandbox" | "workload" | "standalone";

/** What decides a container's place in its pod. */
export interface MembershipOptions {
  readonly id: string;
  readonly podId: string;
  readonly sandboxId?: string;
  readonly anchor?: () => PodAnchor | undefined;
  readonly defaultAnnotations?: { readonly [key: string]: string };
  readonly hostName?: string;
  readonly warn: (sentence: string) => void;
}

/** A container's place in its pod, and its specification in that place. */
export interface Member {
  readonly role: ContainerRole;
  readonly specification: ContainerSpecification;
}

type Namespaces = NonNullable<OciLinux["namespaces"]>;

/** A namespace path in the guest: clients know these pids from this shim. */
const inGuest = /^\/proc\/[1-9]\d{0,9}\/ns\/[a-z_]{1,32}$/;
/** Determines the container's role in its pod, and adapts its specification to what the guest expects of that role. */
export function asMember(given: ContainerSpecification, options: MembershipOptions, refuse: Refuse): Member {
  const { id, podId, sandboxId = podId, warn } = options;
  const anchor = options.anchor?.();
  const { type } = given.containerAnnotations;
  if (type === "sandbox" && anchor?.isSandbox) {
    const expected = "container: the pod has a sandbox container already";
    throw refuse("InvalidArgument", `annotation ${containerTypeKey} is "sandbox", expected ${expected}`);
  }
  const role = roleOf(type, anchor);
  refuseHostIpc(given, type, refuse);
  const need = role === "standalone" ? needOfPod(given, options.defaultAnnotations) : undefined;
  if (need !== undefined && anchor !== undefined) {
    const why = "this VM was created for a single container";
    throw refuse("FailedPrecondition", `config.json: ${need} works only for containers of a pod: ${why}`);
  }
  if (need !== undefined) warn(`${need} has no effect: the guest supports it only for containers of a pod`);
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
      ? "the guest sets no name for containers of a pod"
      : "the container shares the UTS namespace of another";
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

/**
 * With hostIPC, CRI's sandbox container has no IPC namespace and mounts the node's /dev/shm, which a VM cannot share.
 */
function refuseHostIpc({ linux, mounts = [] }: ContainerSpecification, type: string | undefined, refuse: Refuse): void {
  if (type !== "sandbox") return;
  const index = mounts.findIndex(({ source, destination }) => source === "/dev/shm" && destination === "/dev/shm");
  const { namespaces = [] } = linux;
  if (index < 0 || namespaces.some((namespace) => namespace.type === "ipc")) return;
  const expected = "expected the pod's own: a VM cannot share memory with processes of the host";
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

/** Namespaces of a pod that can be joined by path, with their names in /proc. */
const namesOfShared: ReadonlyMap<string, string> = new Map([
  ["network", "net"],
  ["ipc", "ipc"],
  ["uts", "uts"],
]);
/** Namespaces of process 1, of the host or of the guest, which is in no container. */
const ofFirstProcess = /^\/proc\/1\/ns\//;

interface Joins {
  /** Path of the pod's namespace; undefined where it has none to join. */
  readonly ofPod: (kind: string) => string | undefined;
  /** Whether a namespace without a path is the pod's too. */
  readonly isAlways: (kind: string) => boolean;
}

/**
 * CRI names the namespaces of the pod to join by path. Clients without pods, such as ctr, ask for a new network
 * namespace; they get the pod's, since a NIC can be in one namespace only. Others without a path are the container's
 * own.
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
 * A runtime gives a container its own namespace for each that the specification omits: here the VM's, which all
 * containers of the pod would share. So the container gets IPC and UTS namespaces of its own, and the pod's network.
 * The pid namespace stays the VM's, which is the meaning of hostPID.
 */
function withWhatIsNotNamed(given: Namespaces, { ofPod }: Joins): Namespaces {
  const path = ofPod("network");
  const added = [...(path === undefined ? [] : [{ type: "network", path }]), { type: "ipc" }, { type: "uts" }] as const;
  return [...given, ...added.filter(({ type }) => given.every((namespace) => namespace.type !== type))];
}

/** Paths of the host do not exist in the guest. They mean the pod's namespace if it has one to share. */
function guestNamespaces(given: Namespaces, isFirst: boolean, joins: Joins, refuse: Refuse): Namespaces {
  return given.map(({ type, path = "" }, index) => {
    const ofPod = joins.ofPod(type);
    if (path === "") return ofPod !== undefined && joins.isAlways(type) ? { type, path: ofPod } : { type };
    // Before the first container no pid of the guest is known.
    if (!isFirst && ofPod !== undefined && ofFirstProcess.test(path)) return { type, path: ofPod };
    if (!isFirst && inGuest.test(path)) return { type, path };
    if (type === "network") return ofPod === undefined ? { type } : { type, path: ofPod };
    const expected = isFirst
      ? "no path: the VM of this container is new"
      : "no path, or /proc/<pid in the guest>/ns/<name>";
    throw refuse(
      "InvalidArgument",
      `config.json: linux.namespaces[${index}].path (${type}) is ${JSON.stringify(path)}, a path of the host, expected ${expected}`,
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
 * Marks a sandbox without NICs, which the guest would refuse otherwise. NICs that are added later are still moved into
 * its namespace.
 */
export function withoutNetwork(specification: ContainerSpecification): ContainerSpecification {
  const { containerAnnotations } = specification;
  const forGuest = { ...containerAnnotations.forGuest, [skipNetworkKey]: "true" };
  return { ...specification, containerAnnotations: { ...containerAnnotations, forGuest } };
}
