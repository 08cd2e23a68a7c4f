import type { Refuse } from "@uvm-shim/lifecycle";
import type { ConfidentialHostedSystem, HostedSystem } from "../document/container-document.ts";
import type { ResolvedContainer } from "../document/resolved.ts";
import type { MountPlan } from "./mount-plan.ts";
import type { WindowsPlanOptions, WindowsPlanRequest } from "./options.ts";
import type { RootPlan } from "./root-plan.ts";

/** What a container needs, in the order of acquisition, and what the guest is told once all is there. */
export interface WindowsContainerPlan {
  /** Folders of the host with kernel drivers: each is shared read-only and installed in the guest. */
  readonly drivers: readonly string[];
  readonly network: NetworkPlan;
  readonly root: RootPlan;
  /** Folders that the guest must have, below SandboxMounts; none in a confidential VM, whose guest makes them. */
  readonly guestFolders: readonly string[];
  readonly mounts: readonly MountPlan[];
  /** The credential specification of a group managed service account. */
  readonly credential: string | undefined;
  /** Devices of the host to be assigned to the VM. Drivers are installed again after them, as they make them usable. */
  readonly devices: readonly DevicePlan[];
  /** The tool to be shared read-only as a file, which names the children of an assigned device; absent without devices. */
  readonly deviceUtilPath: string | undefined;
  /** Whether processes run as the VM's own, and by the command interpreter. */
  readonly isHostProcess: boolean;
  /** Of the container, with those of the pod that are passed on. Processes are started by them. */
  readonly annotations: { readonly [key: string]: string };
  /** The init process of the specification; undefined without one. */
  readonly process: object | undefined;
  document(resolved: ResolvedContainer): HostedSystem | ConfidentialHostedSystem;
}

/** A container of a pod is in the pod's namespace. Endpoints are for a new one only. */
export type NetworkPlan =
  | { readonly kind: "none" }
  | { readonly kind: "existing"; readonly namespace: string }
  | { readonly kind: "new"; readonly endpoints: readonly string[] };

export interface DevicePlan {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
}

/** Checks the request and looks up on the host what it names. Acquires nothing. */
export async function planWindowsContainer(
  _request: WindowsPlanRequest,
  _options: WindowsPlanOptions,
  refuse: Refuse,
): Promise<WindowsContainerPlan> {
  throw refuse("Unimplemented", "plans of Windows containers are not made yet");
}
