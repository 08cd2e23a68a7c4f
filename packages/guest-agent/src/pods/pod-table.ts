/** The pods of the guest: each is created by its sandbox container and joined by workloads. */
import { GuestFault } from "@uvm-shim/gcs-bridge";

/** A pod, from its sandbox container's creation to its deletion. */
export interface Pod {
  /** Holds what its containers share: names, hosts, folders in memory, huge pages and logs. */
  readonly sandboxRoot: string;
  /** Whether its containers use the VM's own network. */
  readonly hasHostNetwork: boolean;
}

interface KnownPod extends Pod {
  readonly containers: Set<string>;
}

/** The pods of the guest, by id. */
export class PodTable {
  readonly #pods = new Map<string, KnownPod>();

  /** Throws a GuestFault if the pod exists. */
  add(podId: string, pod: Pod): void {
    if (this.#pods.has(podId)) throw new GuestFault("E_FAIL", `pod ${podId} already exists`);
    this.#pods.set(podId, { ...pod, containers: new Set([podId]) });
  }

  /** Throws a GuestFault if the pod does not exist, or if the container has already joined it. */
  join(podId: string, containerId: string): Pod {
    const pod = this.#pods.get(podId);
    if (pod === undefined) {
      throw new GuestFault(
        "E_FAIL",
        `container ${containerId} cannot join pod ${podId}: the pod has no sandbox container`,
      );
    }
    if (pod.containers.has(containerId)) {
      throw new GuestFault("E_FAIL", `container ${containerId} is already in pod ${podId}`);
    }
    pod.containers.add(containerId);
    return pod;
  }

  /** Removes the pod with its sandbox container, even if workloads are left. */
  forget(podId: string, containerId: string): void {
    const pod = this.#pods.get(podId);
    pod?.containers.delete(containerId);
    if (podId === containerId) this.#pods.delete(podId);
  }
}
