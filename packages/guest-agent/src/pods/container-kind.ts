/** The kind of a container: the sandbox container of a pod, a workload of a pod, or a standalone container. */
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** A container's place in its pod, by CRI's annotations. */
export type ContainerKind =
  | { readonly kind: "sandbox"; readonly podId: string }
  | { readonly kind: "workload"; readonly podId: string }
  | { readonly kind: "standalone" };

type Annotations = { readonly [key: string]: string };

const typeKey = "io.kubernetes.cri.container-type";
const sandboxIdKey = "io.kubernetes.cri.sandbox-id";
const virtualPodKey = "io.microsoft.cri.virtual-pod-id";
const skipNetworkKey = "io.microsoft.cri.skip-pod-networking";
const hostNetworkKey = "io.microsoft.virtualmachine.lcow.hostnetwork";
const privilegedKey = "io.microsoft.virtualmachine.lcow.privileged";

/** The values that Go's strconv.ParseBool accepts as true. */
const truths: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];

/** Throws a GuestFault for invalid annotations. */
export function readContainerKind(id: string, annotations: Annotations = {}): ContainerKind {
  const virtualPod = annotations[virtualPodKey] ?? "";
  // A container with the id of its virtual pod is its sandbox, whatever the other annotations say.
  if (virtualPod !== "" && virtualPod === id) return { kind: "sandbox", podId: id };
  const type = annotations[typeKey];
  switch (type) {
    case undefined:
      return { kind: "standalone" };
    case "sandbox":
      return { kind: "sandbox", podId: virtualPod === "" ? id : virtualPod };
    case "container": {
      const podId = virtualPod === "" ? (annotations[sandboxIdKey] ?? "") : virtualPod;
      if (podId === "") {
        throw new GuestFault("E_FAIL", `annotation ${sandboxIdKey} is empty: expected the id of a sandbox container`);
      }
      return { kind: "workload", podId };
    }
    default: {
      const given = JSON.stringify(type.slice(0, 64));
      throw new GuestFault("E_FAIL", `invalid annotation ${typeKey} ${given}: expected sandbox or container`);
    }
  }
}

/** The folder that a sandbox container shares with its workloads; several virtual pods are siblings. */
export function sandboxRootOf(bundle: string, annotations: Annotations = {}): string {
  const virtualPod = annotations[virtualPodKey] ?? "";
  if (virtualPod === "") return bundle;
  if (virtualPod.startsWith("/") || virtualPod.includes("..")) {
    throw new GuestFault(
      "E_FAIL",
      `invalid annotation ${virtualPodKey} ${JSON.stringify(virtualPod)}: expected a name`,
    );
  }
  return `${bundle.slice(0, bundle.lastIndexOf("/"))}/virtual-pods/${virtualPod}`;
}

/** Whether a sandbox container needs no NICs. Only this annotation accepts just the word "true", in any case. */
export function skipsPodNetwork(annotations: Annotations = {}): boolean {
  return annotations[skipNetworkKey]?.toLowerCase() === "true";
}

/** Whether a pod uses the VM's network. Read from sandbox containers and standalone ones. */
export function wantsHostNetwork(annotations: Annotations = {}): boolean {
  return truths.includes(annotations[hostNetworkKey] ?? "");
}

/** Whether a container may use all devices of the guest. */
export function isPrivileged(annotations: Annotations = {}): boolean {
  return truths.includes(annotations[privilegedKey] ?? "");
}
