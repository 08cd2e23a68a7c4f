import { checkWholeTexts } from "@uvm-shim/container-common";
import type { LinuxHostedContainerSettings, OciMount, OciSpec, OciWindowsDevice } from "@uvm-shim/hcs-schema";
import type { Refuse, Step } from "@uvm-shim/lifecycle";
import { namingPaths } from "../checks.ts";
import { type GuestContainerSteps, guestContainerSteps } from "../resources/guest-container.ts";
import { canEndWithVm, filesAtRisk, vmSteps } from "../resources/release-order.ts";
import {
  deviceSteps,
  driverStep,
  type GuestRoot,
  mountSteps,
  type ResourceBoundaries,
  rootSteps,
} from "../resources/steps.ts";
import { asMember, type ContainerRole, withoutNetwork } from "../specification/membership.ts";
import { type SandboxMemory, withMemoryOfPod, withPodSettings } from "../specification/pod-settings.ts";
import { checkedSpecification, guestSpecification } from "../specification/specification.ts";
import type { ContainerDevices, ContainerLayout, PathLookup, RootfsMount } from "../types.ts";
import { sandboxIdKey } from "./annotations.ts";
import { withBlockDevices } from "./block-devices.ts";
import { coveredNetworkFiles } from "./covered-files.ts";
import { type DevicePlan, planDevices } from "./devices.ts";
import type { MountPlan } from "./mount-plan.ts";
import { planMounts } from "./mounts.ts";
import type { ContainerNetwork, PodAnchor, PodScratch, PodSettings } from "./options.ts";
import { withPodScratch } from "./pod-scratch.ts";
import { withoutPropagation } from "./propagation.ts";
import { planRoot, type RootRequest } from "./root.ts";

/** The part of a request that decides what a container needs. */
export interface PlanRequest {
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: { readonly terminal: boolean };
}

/** Facts about the pod and its host that decide how a container is planned. */
export interface PlanOptions extends ResourceBoundaries {
  readonly id: string;
  readonly podId: string;
  readonly sandboxId?: string;
  readonly bundle: string;
  readonly layout: ContainerLayout;
  readonly devices: ContainerDevices;
  readonly encryptScratch?: boolean;
  readonly pod?: PodSettings | undefined;
  readonly anchor?: () => PodAnchor | undefined;
  readonly network?: ContainerNetwork;
  readonly podScratch?: PodScratch;
  readonly defaultAnnotations?: { readonly [key: string]: string };
  readonly gpuVhdPath?: string | undefined;
  readonly propagateNumaAffinity?: boolean;
  readonly sharesRootReadOnly?: boolean;
  readonly warn: (sentence: string) => void;
}

/** All resources of a container, in the order of acquisition. */
export interface ContainerPlan {
  readonly role: ContainerRole;
  /** Resources on the host, which outlive the VM. */
  readonly host: readonly Step[];
  /** Resources that end with the VM. */
  readonly inVm: readonly Step[];
  readonly container: GuestContainerSteps;
  /** Whether the VM may end before the container is released, once no process is left in it. */
  readonly canEndWithVm: boolean;
}

const schemaVersion = { Major: 2, Minor: 1 };

/** Checks the request and looks up on the host everything that it names. Acquires nothing yet. */
export async function planContainer(
  { spec, rootfs, stdio }: PlanRequest,
  options: PlanOptions,
  refuse: Refuse,
): Promise<ContainerPlan> {
  const { id, podId, bundle, layout, guest, pod, network } = options;
  const files = namingPaths(options.files, refuse);
  const { encryptScratch = false, propagateNumaAffinity = false } = options;
  const places = layout.placesOf({ id, podId });
  if (places.id !== id)
    options.warn(`the guest does not accept this container id, and knows the container as ${places.id}`);
  const takesDiskOptions = places.own === undefined;
  checkWholeTexts(rootfs, "rootfs", refuse);
  const member = asMember(checkedSpecification(spec, options, refuse), options, refuse);
  const { role } = member;
  // Guests expose device nodes of disks to workloads only.
  const own =
    role === "workload" ? await withBlockDevices(member.specification, options, refuse) : member.specification;
  const ownMounts = await planMounts(own.mounts ?? [], takesDiskOptions, files, refuse);
  const covered = await coveredNetworkFiles(ownMounts, files);
  const isOfPod = role === "workload" && pod !== undefined;
  const { specification, mounts: ownOfSandbox }: SandboxMemory =
    role === "sandbox" && pod?.sharesMemory
      ? withMemoryOfPod(own, places.bundle)
      : {
          specification: isOfPod ? withPodSettings(own, pod, covered) : own,
          mounts: [],
        };
  const devicePlans = planDevices(specification.windows?.devices ?? [], propagateNumaAffinity, refuse);
  const rootRequest: RootRequest = {
    rootfs,
    layerFolders: specification.windows?.layerFolders ?? [],
    encryptScratch,
    bundle,
    rootPath: specification.root.path,
    takesDiskOptions,
    sharesReadOnly: options.sharesRootReadOnly ?? false,
  };
  const rootPlan = withPodScratch(await planRoot(rootRequest, files, refuse), {
    ...{ id, podId, warn: options.warn },
    ...(options.podScratch === undefined ? {} : { podScratch: options.podScratch }),
    // A sandbox's files stay until the VM ends.
    isEmptied: places.own !== undefined && role !== "sandbox",
  });
  const drivers = await gpuDrivers(
    specification.containerAnnotations.gpuVhdPath ?? options.gpuVhdPath,
    devicePlans,
    files,
    refuse,
  );
  const mountPlans: readonly MountPlan[] = [
    ...covered.map((mount) => ({ kind: "guest" as const, mount })),
    ...(isOfPod ? await planMounts(specification.mounts ?? [], takesDiskOptions, files, refuse) : ownMounts),
    ...ownOfSandbox.map((mount) => ({ kind: "guest" as const, mount })),
  ];

  for (const warning of filesAtRisk(rootPlan, mountPlans, places)) options.warn(warning);
  for (const warning of await withoutPropagation(mountPlans, files)) options.warn(warning);
  const root: GuestRoot = { path: "", scratchPath: places.own?.scratch ?? "", isReadOnly: false };
  const mounts: OciMount[] = mountPlans.map((plan) => plan.mount);
  const devices: OciWindowsDevice[] = devicePlans.map(({ entry }) => entry);
  const settings = (): LinuxHostedContainerSettings => ({
    SchemaVersion: schemaVersion,
    OciBundlePath: places.bundle,
    OciSpecification: withGuestSandboxId(
      guestSpecification({
        specification:
          role === "sandbox" && network?.hasInterfaces() === false ? withoutNetwork(specification) : specification,
        rootPath: root.path,
        isRootReadOnly: root.isReadOnly,
        networkNamespace: role === "workload" ? undefined : network?.namespaceId,
        mounts,
        devices,
        terminal: stdio.terminal,
      }),
      layout.placesOf({ id: options.sandboxId ?? podId, podId }).id,
    ),
    ScratchDirPath: root.scratchPath,
  });
  const rootFileSystem = rootSteps(rootPlan, places, options, root);
  const container = guestContainerSteps(places.id, guest, settings);
  const onMounts = mountSteps(mountPlans, places, options, mounts);
  return {
    role,
    host: [...rootFileSystem.host, ...onMounts.host],
    inVm: vmSteps(
      {
        root: rootFileSystem,
        mounts: onMounts.devices,
        others: [
          ...(drivers === undefined ? [] : [driverStep(drivers, options)]),
          ...(devicePlans.length === 0 ? [] : deviceSteps(devicePlans, options.devices, devices)),
        ],
        container,
      },
      { places, isSandbox: role === "sandbox", guest, root },
    ),
    container,
    canEndWithVm: canEndWithVm(rootPlan, mountPlans, devicePlans),
  };
}

/** Workload containers name the pod's sandbox by the guest's id of it. */
function withGuestSandboxId(spec: OciSpec, guestId: string): OciSpec {
  const { annotations = {} } = spec;
  return annotations[sandboxIdKey] === undefined
    ? spec
    : { ...spec, annotations: { ...annotations, [sandboxIdKey]: guestId } };
}

/** The disk with GPU drivers; undefined for a container without a GPU, or if the guest has the drivers. */
async function gpuDrivers(
  path: string | undefined,
  devices: readonly DevicePlan[],
  files: PathLookup,
  refuse: Refuse,
): Promise<string | undefined> {
  if (path === undefined || !devices.some(({ entry }) => entry.idType === "gpu")) return undefined;
  const kind = await files.kind(path);
  if (kind === "file") return await files.realPath(path);
  throw refuse("NotFound", `GPU driver disk ${path} is ${kind ?? "missing"}, expected a file`);
}
