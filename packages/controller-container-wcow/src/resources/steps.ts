import type { Clock, Refuse, Step } from "@uvm-shim/lifecycle";
import type { ResolvedContainer } from "../document/resolved.ts";
import type { WindowsContainerPlan } from "../plan/plan.ts";
import type {
  ContainerDevices,
  ContainerHostServices,
  ContainerNamespaces,
  ContainerPipes,
  ContainerVm,
} from "../types.ts";
import { deviceSteps, driverSteps } from "./devices.ts";
import { type GuestContainerSteps, guestContainerSteps } from "./guest-container.ts";
import { credentialSteps, namespaceStep, redirectionStep } from "./host.ts";
import { folderSteps, mountSteps } from "./mounts.ts";
import { type RootSurroundings, rootSteps } from "./root.ts";

/** The boundaries at which a container's resources are acquired. */
export interface ResourceBoundaries extends RootSurroundings {
  readonly pipes: ContainerPipes;
  readonly devices: ContainerDevices;
  readonly vm: ContainerVm;
  readonly services: ContainerHostServices;
  /** Absent where each container names its network namespace, or has no network. */
  readonly namespaces?: ContainerNamespaces | undefined;
  readonly clock: Clock;
  readonly warn: (sentence: string) => void;
}

/** All that a container acquires. */
export interface ContainerResources {
  /** In the order of acquisition. */
  readonly steps: readonly Step[];
  readonly container: GuestContainerSteps;
}

/** `inVm` binds a step to the VM, with whose end it counts as released. */
export function resourcesOf(
  plan: WindowsContainerPlan,
  boundaries: ResourceBoundaries,
  inVm: (step: Step) => Step,
  refuse: Refuse,
): ContainerResources {
  const { id, guest, services, vm, clock } = boundaries;
  const mounts: (string | undefined)[] = plan.mounts.map(() => undefined);
  const devices: (readonly string[])[] = [];
  const drivers = driverSteps(plan.drivers, boundaries);
  const network = networkSteps(plan, boundaries, refuse);
  const root = rootSteps(plan.root, boundaries);
  const credential = plan.credential === undefined ? undefined : credentialSteps(id, plan.credential, services, vm);
  const assigned = deviceSteps(plan.devices, plan.deviceUtilPath ?? "", boundaries, devices);
  const resolved = (): ResolvedContainer => {
    const credentialGuard = credential?.state();
    const networkNamespace = network.namespace();
    return {
      root: root.resolved(),
      mounts,
      devices,
      ...(credentialGuard !== undefined && { credentialGuard }),
      ...(networkNamespace !== undefined && { networkNamespace }),
    };
  };
  const container = guestContainerSteps(id, guest, () => plan.document(resolved()), clock);
  return {
    container,
    steps: [
      inVm(container.state),
      ...drivers.steps.map(inVm),
      ...network.steps,
      ...root.steps.map(inVm),
      ...folderSteps(plan.guestFolders, guest).map(inVm),
      ...mountSteps(plan.mounts, boundaries, mounts).map(inVm),
      ...(credential === undefined ? [] : [credential.guard, inVm(credential.service)]),
      ...assigned.map(inVm),
      ...(assigned.length === 0 ? [] : drivers.again.map(inVm)),
      inVm(container.container),
      redirectionStep(container.get, services, vm),
    ],
  };
}

/** Network namespaces of the host outlive the VM. */
function networkSteps(
  { network }: WindowsContainerPlan,
  { namespaces }: ResourceBoundaries,
  refuse: Refuse,
): { readonly steps: readonly Step[]; readonly namespace: () => string | undefined } {
  if (network.kind !== "unnamed") return { steps: [], namespace: () => undefined };
  if (namespaces === undefined) {
    throw refuse(
      "Unimplemented",
      "config.json: windows.network names no namespace, expected windows.network.networkNamespace",
    );
  }
  let acquired: string | undefined;
  const step = namespaceStep(network.endpoints, namespaces, (namespace) => {
    acquired = namespace;
  });
  return { steps: [step], namespace: () => acquired };
}
