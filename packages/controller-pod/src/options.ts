import type { Clock } from "@uvm-shim/lifecycle";
import type { DiagnosisParts } from "./diagnosis.ts";
import type { EarlyWork, PodNetwork, PodSize, PodVm } from "./types.ts";

/** What a `PodController` is made from. */
export interface PodOptions<Request, Container, Limits, Devices = object> {
  readonly id: string;
  /** A VM that was created and not started. The pod owns it from now on. */
  readonly vm: PodVm;
  /** Makes the controller of one container; the pod then calls its `create`. */
  readonly newContainer: (request: Request) => Container;
  /** The request for the container that holds the pod's namespaces, where the shim makes one itself. */
  readonly sandboxContainer?: Request;
  /** Absent for pods without a network. */
  readonly network?: PodNetwork<Request>;
  /** Absent where there is nothing to do before the VM has started. */
  readonly earlyWork?: EarlyWork;
  /** Resolves when the guest gives any answer. */
  readonly pingGuest: (signal: AbortSignal) => Promise<void>;
  /** Resolves when the host gives any answer. Absent where an answer would prove nothing. */
  readonly pingHost?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly clock: Clock;
  /** Whether the VM is large enough for its containers. */
  readonly size: PodSize<Request, Limits>;
  /** Logs a warning about a request that is not fully met. */
  readonly warn: (sentence: string) => void;
  readonly diagnosis: DiagnosisParts & {
    /** The devices of the VM, of which the pod knows nothing. */
    readonly describeDevices: () => Devices;
  };
}
