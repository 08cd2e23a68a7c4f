import { checkWholeTexts } from "@uvm-shim/container-common";
import type { OciWindowsNetwork, OciWindowsProcess } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { confidentialHostedSystem } from "../document/confidential.ts";
import type { ConfidentialHostedSystem, HostedSystem } from "../document/container-document.ts";
import { type DocumentParts, hostedSystem } from "../document/document.ts";
import { registryValues } from "../document/registry.ts";
import type { ResolvedContainer } from "../document/resolved.ts";
import { keyOf, wrongPath } from "../specification/annotations.ts";
import { asMember, type Member } from "../specification/membership.ts";
import { checkedSpecification } from "../specification/specification.ts";
import { planDeviceExtensions } from "./device-extensions.ts";
import { type DevicePlan, planDevices } from "./devices.ts";
import { privilegedRoot } from "./guest-paths.ts";
import { planLimits } from "./limits.ts";
import type { MountPlan } from "./mount-plan.ts";
import { planMounts } from "./mounts.ts";
import { namedFiles } from "./named-files.ts";
import type { WindowsPlanOptions, WindowsPlanRequest } from "./options.ts";
import { planRoot } from "./root.ts";
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
  readonly process: OciWindowsProcess | undefined;
  document(resolved: ResolvedContainer): HostedSystem | ConfidentialHostedSystem;
}

/** All containers of a pod are in one namespace. Endpoints are for the case that the pod has none yet. */
export type NetworkPlan =
  | { readonly kind: "none" }
  | { readonly kind: "existing"; readonly namespace: string }
  | { readonly kind: "unnamed"; readonly endpoints: readonly string[] };

/** Checks the request and looks up on the host what it names. Acquires nothing. */
export async function planWindowsContainer(
  { spec: given, rootfs }: WindowsPlanRequest,
  givenOptions: WindowsPlanOptions,
  refuse: Refuse,
): Promise<WindowsContainerPlan> {
  const options = { ...givenOptions, files: namedFiles(givenOptions.files, refuse) };
  const { id, podId, vm, paths, files, warn } = options;
  checkWholeTexts(rootfs, "rootfs", refuse);
  const spec = checkedSpecification(given, refuse);
  const member = asMember(spec, options, refuse);
  const { values, annotations, isHostProcess } = member;
  const windows = spec.windows ?? {};
  if (windows.credentialSpec !== undefined && values.disableGmsa) {
    const expected = `expected none, as annotation ${keyOf("disableGmsa")} says`;
    throw refuse("InvalidArgument", `config.json: windows.credentialSpec is given, ${expected}`);
  }
  const limits = planLimits(windows.resources ?? {}, values, options, refuse);
  const drivers = await driversIn(values.kernelDrivers ?? [], options, refuse);
  const root = await planRoot(spec, rootfs, options, refuse);
  const noWritableFileShares = vm.noWritableFileShares || values.noWritableFileShares === true;
  const surroundings = { podId, vm, paths, files, warn, noWritableFileShares };
  const { mounts, guestFolders } = await planMounts(spec.mounts ?? [], surroundings, refuse);
  const { devices, deviceUtilPath } = await planDevices(windows.devices ?? [], options, refuse);
  const network = networkOf(windows.network, options);
  const dumps = { id, vmDumpLocation: vm.processDumpLocation };
  const parts: DocumentParts = {
    spec,
    limits,
    mounts,
    registryValues: registryValues(values, dumps),
    deviceExtensions: await planDeviceExtensions(values.deviceExtensions ?? [], options, refuse),
    namespace: network.kind === "existing" ? network.namespace : undefined,
    isHostProcess,
    privilegedRoot: rootOfHostProcess(member, refuse),
  };
  return {
    ...{ drivers, network, root, guestFolders, mounts, devices, deviceUtilPath },
    ...{ isHostProcess, annotations, credential: windows.credentialSpec, process: spec.process },
    document: (resolved) => {
      const hosted = hostedSystem(parts, resolved);
      return vm.isConfidential ? confidentialHostedSystem({ spec, ...member }, hosted, resolved) : hosted;
    },
  };
}

function networkOf(network: OciWindowsNetwork | undefined, { pathGrammar }: WindowsPlanOptions): NetworkPlan {
  if (network === undefined) return { kind: "none" };
  const { networkNamespace = "", endpointList = [] } = network;
  if (networkNamespace === "") return { kind: "unnamed", endpoints: endpointList };
  // Where containerd is on Linux, CRI names the pod's namespace by its path, which the guest does not know.
  if (pathGrammar === "posix" && networkNamespace.startsWith("/")) return { kind: "unnamed", endpoints: [] };
  return { kind: "existing", namespace: networkNamespace };
}

async function driversIn(
  folders: readonly string[],
  { files, paths }: WindowsPlanOptions,
  refuse: Refuse,
): Promise<readonly string[]> {
  const drivers: string[] = [];
  for (const folder of folders) {
    if (!paths.isAbsolute(folder)) throw wrongPath("kernelDrivers", folder, paths.expected, refuse);
    const kind = await files.kind(folder);
    if (kind !== "directory") {
      throw wrongPath("kernelDrivers", folder, `a directory, it is ${kind ?? "missing"}`, refuse);
    }
    drivers.push(paths.clean(folder));
  }
  return drivers;
}

function rootOfHostProcess({ values, isHostProcess }: Member, refuse: Refuse): string | undefined {
  const { hostProcessRoot: path } = values;
  if (!isHostProcess || path === undefined) return undefined;
  const root = privilegedRoot(path);
  if (root !== undefined) return root;
  const expected = "a path of a drive, outside of Windows, mounts, EFI and SandboxMounts";
  throw wrongPath("hostProcessRoot", path, expected, refuse);
}
