/** The pods of the guest: each made by its sandbox container, and joined by workloads. */
import { GuestFault } from "@uvm-shim/gcs-bridge";

export interface Pod {
  /** What its containers share lies below: names, hosts, places in memory, huge pages and logs. */
  readonly sandboxRoot: string;
  /** Whether its containers are in the VM's own network. */
  readonly hasHostNetwork: boolean;
}

interface KnownPod extends Pod {
  readonly containers: Set<string>;
}

export class PodTable {
  readonly #pods = new Map<string, KnownPod>();

  /** Throws a GuestFault when the pod exists. */
  add(podId: string, pod: Pod): void {
    if (this.#pods.has(podId)) throw new GuestFault("E_FAIL", `pod ${podId} exists already`);
    this.#pods.set(podId, { ...pod, containers: new Set([podId]) });
  }

  /** Throws a GuestFault when there is no such pod, or when the container is one of it already. */
  join(podId: string, containerId: string): Pod {
    const pod = this.#pods.get(podId);
    if (pod === undefined) {
      throw new GuestFault(
        "E_FAIL",
        `container ${containerId} is to join pod ${podId}, which has no sandbox container`,
      );
    }
    if (pod.containers.has(containerId)) {
      throw new GuestFault("E_FAIL", `container ${containerId} is one of pod ${podId} already`);
    }
    pod.containers.add(containerId);
    return pod;
  }

  /** The pod goes with its sandbox container, though workloads may be left. */
  forget(podId: string, containerId: string): void {
    const pod = this.#pods.get(podId);
    pod?.containers.delete(containerId);
    if (podId === containerId) this.#pods.delete(podId);
  }
}
