/** What a container is to the guest: the first of a pod, a further one of a pod, or one by itself. */
import { GuestFault } from "@uvm-shim/gcs-bridge";

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

/** What the parser of truth values in Go's library takes for true. */
const truths: readonly string[] = ["1", "t", "T", "TRUE", "true", "True"];

/** Throws a GuestFault when the annotations name no kind. */
export function readContainerKind(id: string, annotations: Annotations = {}): ContainerKind {
  const virtualPod = annotations[virtualPodKey] ?? "";
  // The container that has the name of its virtual pod is its sandbox, whatever the other annotations say.
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
        throw new GuestFault(
          "E_FAIL",
          `annotation ${sandboxIdKey} is empty, expected is the id of a sandbox container`,
        );
      }
      return { kind: "workload", podId };
    }
    default: {
      const given = JSON.stringify(type.slice(0, 64));
      throw new GuestFault("E_FAIL", `annotation ${typeKey} is ${given}, accepted are sandbox and container`);
    }
  }
}

/** The folder that a sandbox container shares with its workloads; several virtual pods lie side by side. */
export function sandboxRootOf(bundle: string, annotations: Annotations = {}): string {
  const virtualPod = annotations[virtualPodKey] ?? "";
  if (virtualPod === "") return bundle;
  if (virtualPod.startsWith("/") || virtualPod.includes("..")) {
    throw new GuestFault("E_FAIL", `annotation ${virtualPodKey} is ${JSON.stringify(virtualPod)}, expected is a name`);
  }
  return `${bundle.slice(0, bundle.lastIndexOf("/"))}/virtual-pods/${virtualPod}`;
}

/** Whether a sandbox container may do without NICs. This one alone is read as a word. */
export function skipsPodNetwork(annotations: Annotations = {}): boolean {
  return annotations[skipNetworkKey]?.toLowerCase() === "true";
}

/** Whether a pod has the VM's network; read of sandbox containers and of those by themselves. */
export function wantsHostNetwork(annotations: Annotations = {}): boolean {
  return truths.includes(annotations[hostNetworkKey] ?? "");
}

export function isPrivileged(annotations: Annotations = {}): boolean {
  return truths.includes(annotations[privilegedKey] ?? "");
}
