import type { StdioPaths } from "@uvm-shim/controller-process";
import type { Clock } from "@uvm-shim/lifecycle";
import type { WindowsPlanOptions, WindowsPlanRequest } from "./plan/options.ts";
import type {
  ContainerCims,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostServices,
  ContainerNamespaces,
  ContainerPipes,
  ContainerShares,
  ContainerVm,
  ProcessFactory,
} from "./types.ts";

/** What a `WindowsContainerController` is made from. */
export interface WindowsContainerOptions {
  readonly id: string;
  readonly bundle: string;
  /** Facts about the pod, its VM and the host that decide how the container is planned. */
  readonly plan: Omit<WindowsPlanOptions, "id" | "warn">;
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly pipes: ContainerPipes;
  readonly devices: ContainerDevices;
  readonly cims: ContainerCims;
  readonly vm: ContainerVm;
  readonly services: ContainerHostServices;
  /** Absent where no container brings endpoints of its own. */
  readonly namespaces?: ContainerNamespaces;
  readonly createProcess: ProcessFactory;
  readonly clock: Clock;
  /** Logs a warning about a request that is not fully met. */
  readonly warn: (sentence: string) => void;
}

/** What a container is created from. */
export interface CreateWindowsContainer extends WindowsPlanRequest {
  readonly stdio: StdioPaths;
}

/** A directory or file of the host that a running container gets. */
export interface AddedMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
}
