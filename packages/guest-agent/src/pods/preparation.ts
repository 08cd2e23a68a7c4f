/**
 * Turns the host's specification of a container into that of the OCI runtime, by the container's kind: only workloads have
 * mounts of the pod and of the guest, devices, and a size of shared memory; standalone containers have no user names.
 */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciSpec, OciUser } from "@uvm-shim/hcs-schema";
import { withUserOf } from "../container/users.ts";
import { joinedNamespacePath, withNetworkAt } from "../network/joined-networks.ts";
import type { NetworkNamespaces } from "../network/namespaces.ts";
import type { OutputCopyPlace } from "../process/output-copy.ts";
import type { GuestDevices } from "../storage/devices.ts";
import { outputCopyOf, withCoreLimit, withLogFolder, withShmSize } from "./annotations.ts";
import { type ContainerKind, sandboxRootOf, skipsPodNetwork, wantsHostNetwork } from "./container-kind.ts";
import { checkJoinedNamespaces, withHostNetwork } from "./joined-namespaces.ts";
import {
  checkHostname,
  hostnameFile,
  hostsFile,
  isMounted,
  podFileMounts,
  resolvConfFile,
  writePodFile,
} from "./pod-files.ts";
import type { PodTable } from "./pod-table.ts";
import { makeSharedFolders, sharedFoldersOf, unmountSharedFolders } from "./shared-folders.ts";
import { grantDevices, withGrantableRules } from "./workload-devices.ts";
import { withGuestMounts } from "./workload-mounts.ts";

/** A container in its place in its pod, before the runtime creates it. */
export interface PreparedContainer {
  readonly spec: OciSpec;
  /** A file of the guest that receives a copy of the first process's output. */
  readonly outputCopy: OutputCopyPlace | undefined;
  /** The user of a container that was given by name; it applies to added processes without a user name. */
  readonly user: OciUser | undefined;
  /** The folder of its pod, which is removed with a sandbox container; undefined for any other. */
  readonly ownSandboxRoot: string | undefined;
  readonly network: ContainerNetwork;
}

/** Where the NICs are moved once the container has been made. */
export type ContainerNetwork =
  | { readonly kind: "none" }
  | { readonly kind: "own" | "host"; readonly namespaceId: string };

/** What a container is prepared with. */
export interface PreparationSurroundings {
  readonly pods: PodTable;
  readonly namespaces: NetworkNamespaces;
  readonly devices: GuestDevices;
  /** The host name of containers without one. */
  guestName(): string;
}

interface Request {
  readonly id: string;
  readonly bundle: string;
  readonly given: OciSpec;
}

interface Rewritten {
  readonly spec: OciSpec;
  readonly root: string;
  readonly ownSandboxRoot?: string;
  readonly network: ContainerNetwork;
}

/** Throws a GuestFault for unsupported requests, and an AbsentPart. */
export function prepareContainer(
  kind: ContainerKind,
  request: Request,
  surroundings: PreparationSurroundings,
): PreparedContainer {
  const { spec, root, ownSandboxRoot, network } = rewrite(kind, request, surroundings);
  try {
    const places = sharedFoldersOf(root);
    const granted = withGrantableRules(withLogFolder(spec, places), surroundings.devices);
    checkJoinedNamespaces(granted);
    const hasNamedUser = (request.given.process?.user?.username ?? "") !== "";
    return {
      spec: granted,
      outputCopy: outputCopyOf(spec, places),
      user: hasNamedUser ? spec.process?.user : undefined,
      ownSandboxRoot,
      network,
    };
  } catch (error) {
    if (ownSandboxRoot !== undefined) unmountSharedFolders(ownSandboxRoot);
    throw error;
  }
}

function rewrite(kind: ContainerKind, request: Request, surroundings: PreparationSurroundings): Rewritten {
  switch (kind.kind) {
    case "sandbox":
      return prepareSandbox(kind.podId, request, surroundings);
    case "workload":
      return prepareWorkload(kind.podId, request, surroundings);
    case "standalone":
      return prepareStandalone(request, surroundings);
  }
}

/** Writes the pod's files, which only its workloads mount. */
function prepareSandbox(podId: string, { bundle, given }: Request, surroundings: PreparationSurroundings): Rewritten {
  const { namespaces, pods, guestName } = surroundings;
  const { annotations } = given;
  const root = sandboxRootOf(bundle, annotations);
  const hostname = nameOf(given, guestName);
  writePodFile(root, "hostname", hostnameFile(hostname));
  writePodFile(root, "hosts", hostsFile(hostname));
  const namespaceId = namespaceOf(given);
  const namespace = skipsPodNetwork(annotations) ? namespaces.getOrAdd(namespaceId) : namespaces.get(namespaceId);
  writePodFile(root, "resolv.conf", resolvConfFile(namespace.nameResolution));
  const spec = withUser(withCoreLimit(given));
  const place = networkPlaceOf(namespaceId, annotations);
  pods.add(podId, { sandboxRoot: root, hasHostNetwork: place.kind === "host" });
  makeSharedFolders(root);
  return {
    spec: withNetworkOf(place, spec),
    root,
    ownSandboxRoot: root,
    network: { kind: place.kind === "host" ? "host" : "own", namespaceId },
  };
}

function prepareWorkload(podId: string, { id, given }: Request, surroundings: PreparationSurroundings): Rewritten {
  const { devices, pods } = surroundings;
  const { sandboxRoot: root, hasHostNetwork } = pods.join(podId, id);
  if (given.hostname !== undefined && given.hostname !== "") {
    const name = JSON.stringify(given.hostname.slice(0, 64));
    throw new GuestFault(
      "E_FAIL",
      `invalid OciSpecification.hostname ${name}: expected "", since a workload has the name of its pod`,
    );
  }
  const mounted = withGuestMounts(id, given, sharedFoldersOf(root), devices);
  const named = { ...mounted, mounts: [...(mounted.mounts ?? []), ...podFileMounts(mounted, root)] };
  const granted = grantDevices(id, withShmSize(named), devices);
  const spec = withUser(withCoreLimit(granted));
  return { spec: hasHostNetwork ? withHostNetwork(spec) : spec, root, network: { kind: "none" } };
}

function prepareStandalone({ bundle: root, given }: Request, surroundings: PreparationSurroundings): Rewritten {
  const { namespaces, guestName } = surroundings;
  const { annotations, mounts = [] } = given;
  const hostname = nameOf(given, guestName);
  const namespaceId = namespaceOf(given);
  if (!isMounted(mounts, "hostname")) writePodFile(root, "hostname", hostnameFile(hostname));
  if (!isMounted(mounts, "hosts")) writePodFile(root, "hosts", hostsFile(hostname));
  // Only standalone containers create an unknown namespace.
  if (!isMounted(mounts, "resolv.conf")) {
    writePodFile(root, "resolv.conf", resolvConfFile(namespaces.getOrAdd(namespaceId).nameResolution));
  }
  const spec = { ...given, mounts: [...mounts, ...podFileMounts(given, root)] };
  const place = networkPlaceOf(namespaceId, annotations);
  return {
    spec: withNetworkOf(place, spec),
    root,
    network: { kind: place.kind === "host" ? "host" : "own", namespaceId },
  };
}

/** The network of a container that owns the network namespace of its pod. */
type NetworkPlace =
  | { readonly kind: "own" }
  /** In the VM's own network. */
  | { readonly kind: "host" }
  /** In a namespace that the host offers, whose NICs cannot be moved. */
  | { readonly kind: "joined"; readonly path: string };

function networkPlaceOf(namespaceId: string, annotations: OciSpec["annotations"]): NetworkPlace {
  const path = joinedNamespacePath(namespaceId);
  if (path !== undefined) return { kind: "joined", path };
  return { kind: wantsHostNetwork(annotations) ? "host" : "own" };
}

function withNetworkOf(place: NetworkPlace, spec: OciSpec): OciSpec {
  switch (place.kind) {
    case "own":
      return spec;
    case "host":
      return withHostNetwork(spec);
    case "joined":
      return withNetworkAt(spec, place.path);
  }
}

function nameOf({ hostname = "" }: OciSpec, guestName: () => string): string {
  checkHostname(hostname);
  return hostname === "" ? guestName() : hostname;
}

function namespaceOf({ windows }: OciSpec): string {
  return windows?.network?.networkNamespace ?? "";
}

function withUser(spec: OciSpec): OciSpec {
  if (spec.process === undefined) return spec;
  return { ...spec, process: withUserOf(spec.root?.path ?? "/", spec.process) };
}
