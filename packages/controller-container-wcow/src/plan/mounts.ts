import type { OciWindowsMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { isContainerPath, pipeName, podPipe, sandboxFolder } from "./guest-paths.ts";
import type { DiskMount, MountPlan } from "./mount-plan.ts";
import type { WindowsPlanOptions } from "./options.ts";

/** What the mounts of a specification become, and the folders that the VM must have for them. */
export interface MountsPlan {
  readonly mounts: readonly MountPlan[];
  readonly guestFolders: readonly string[];
}

/** One mount of the specification that has what every mount has. */
interface Given {
  readonly where: string;
  readonly source: string;
  readonly destination: string;
  readonly type: string;
  readonly readOnly: boolean;
}

interface Surroundings extends Pick<WindowsPlanOptions, "podId" | "vm" | "paths" | "files" | "warn"> {
  readonly noWritableFileShares: boolean;
}

const ofSandbox = "sandbox://";
const ofVm = "uvm://";
const diskTypes = {
  "physical-disk": "PassThru",
  "virtual-disk": "VirtualDisk",
  "extensible-virtual-disk": "ExtensibleVirtualDisk",
} as const;
type DiskMountType = keyof typeof diskTypes;
/** Options that say nothing, as clients add them to every mount. */
const emptyOptions = ["rw", "bind", "rbind", "private", "rprivate"];

/** What each mount of a specification becomes. Refuses those that cannot be. */
export async function planMounts(
  mounts: readonly OciWindowsMount[],
  surroundings: Surroundings,
  refuse: Refuse,
): Promise<MountsPlan> {
  const plans: MountPlan[] = [];
  for (const [index, mount] of mounts.entries()) {
    plans.push(
      await planMount(given(mount, `config.json: mounts[${index}]`, surroundings, refuse), surroundings, refuse),
    );
  }
  const folders = plans.flatMap((plan) => (plan.kind === "guest-folder" ? [plan.guestPath] : []));
  // A confidential guest makes them itself, so that its policy need not allow a command for it.
  return { mounts: plans, guestFolders: surroundings.vm.isConfidential ? [] : [...new Set(folders)] };
}

function given(mount: OciWindowsMount, where: string, { warn }: Surroundings, refuse: Refuse): Given {
  const { source = "", destination = "", type = "", options = [] } = mount;
  for (const [field, value] of Object.entries({ source, destination })) {
    if (value === "") throw refuse("InvalidArgument", `${where}.${field} is missing, expected a path`);
  }
  if (type !== "" && !isDiskType(type)) {
    const expected = `none, or one of ${Object.keys(diskTypes).join(", ")}`;
    throw refuse("InvalidArgument", `${where}.type is ${JSON.stringify(type.slice(0, 60))}, expected ${expected}`);
  }
  for (const option of options.map((text) => text.toLowerCase())) {
    if (option === "ro" || emptyOptions.includes(option)) continue;
    warn(`${where}.options: ${JSON.stringify(option.slice(0, 60))} has no effect on a Windows container`);
  }
  return { where, source, destination, type, readOnly: options.some((option) => option.toLowerCase() === "ro") };
}

function isDiskType(type: string): type is DiskMountType {
  return Object.hasOwn(diskTypes, type);
}

async function planMount(mount: Given, surroundings: Surroundings, refuse: Refuse): Promise<MountPlan> {
  const { source, destination, type, readOnly, where } = mount;
  const isPipe = pipeName(source) !== undefined || pipeName(destination) !== undefined;
  if (type === "" && isPipe) return planPipe(mount, surroundings, refuse);
  if (!isContainerPath(destination)) throw wrong(mount, "destination", "a path such as C:\\data", refuse);
  if (isDiskType(type)) return await planDisk(mount, type, surroundings, refuse);
  if (source.startsWith(ofSandbox)) {
    const guestPath = sandboxFolder(source.slice(ofSandbox.length));
    if (guestPath !== undefined) return { kind: "guest-folder", guestPath, readOnly, containerPath: destination };
    throw wrong(mount, "source", 'sandbox:// and a path in SandboxMounts without %&^!<>:"|?*', refuse);
  }
  if (source.startsWith(ofVm)) {
    const expected = "uvm://\\\\.\\pipe\\<name> at a pipe's path: a container sees nothing else of its VM";
    throw wrong(mount, "source", expected, refuse);
  }
  const what = await kindOf(mount, surroundings, refuse);
  if (what !== "directory" && what !== "file") {
    throw refuse("InvalidArgument", `${where}.source: ${shown(source)} is a ${what}, expected a directory or a file`);
  }
  if (!readOnly && surroundings.noWritableFileShares) {
    const expected = "expected ro: writable shares are forbidden in this pod";
    throw refuse("InvalidArgument", `${where}.options are without ro, ${expected}`);
  }
  const hostPath = surroundings.paths.clean(source);
  return { kind: "share", hostPath, what, readOnly, containerPath: destination };
}

function planPipe(mount: Given, { podId }: Surroundings, refuse: Refuse): MountPlan {
  const { source, destination } = mount;
  const name = pipeName(destination);
  if (name === undefined) {
    throw wrong(mount, "destination", "a pipe such as \\\\.\\pipe\\name, as the source is a pipe", refuse);
  }
  const ofHost = pipeName(source);
  if (ofHost !== undefined) return { kind: "host-pipe", hostPath: `\\\\.\\pipe\\${ofHost}`, pipeName: name };
  const inVm = source.startsWith(ofVm) ? pipeName(source.slice(ofVm.length)) : undefined;
  if (inVm !== undefined) return { kind: "guest-pipe", guestPath: podPipe(podId, inVm), pipeName: name };
  throw wrong(mount, "source", "a pipe such as \\\\.\\pipe\\name, as the destination is a pipe", refuse);
}

async function planDisk(
  mount: Given,
  type: DiskMountType,
  surroundings: Surroundings,
  refuse: Refuse,
): Promise<DiskMount> {
  const { source, destination, readOnly } = mount;
  const plan = (hostPath: string, provider?: string): DiskMount => ({
    kind: "disk",
    disk: {
      hostPath,
      readOnly,
      type: diskTypes[type],
      ...(provider !== undefined && { extensibleVirtualDiskType: provider }),
    },
    needsGrant: provider === undefined,
    containerPath: destination,
  });
  if (type === "extensible-virtual-disk") {
    const [, provider, path] = /^([^/]+)\/(.+)$/s.exec(source.replace(/^evd:\/\//, "")) ?? [];
    if (provider !== undefined && path !== undefined) return plan(path, provider);
    throw wrong(mount, "source", "evd://<provider>/<path>", refuse);
  }
  // Devices have no file that could be looked at.
  const isDevice = /^\\\\[.?]\\/.test(source);
  if (!isDevice && (await kindOf(mount, surroundings, refuse)) === "directory") {
    throw wrong(mount, "source", "a disk, not a directory", refuse);
  }
  return plan(source);
}

async function kindOf(mount: Given, { paths, files }: Surroundings, refuse: Refuse) {
  const { source } = mount;
  if (!paths.isAbsolute(source)) throw wrong(mount, "source", paths.expected, refuse);
  const kind = await files.kind(source);
  if (kind !== undefined) return kind;
  throw refuse("InvalidArgument", `${mount.where}.source: ${shown(source)} does not exist, expected one that does`);
}

function wrong(mount: Given, field: "source" | "destination", expected: string, refuse: Refuse): Error {
  return refuse("InvalidArgument", `${mount.where}.${field} is ${shown(mount[field])}, expected ${expected}`);
}

function shown(path: string): string {
  return JSON.stringify(path.slice(0, 300));
}
