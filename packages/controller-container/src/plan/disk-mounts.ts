import { isAbsolute } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { DiskConfig, DiskMountConfig, PathLookup } from "../types.ts";

/** Types of mounts that are disks (microsoft/hcsshim, internal/hcsoci; automanage-virtual-disk is of its earlier shims). */
export const diskTypes = [
  "virtual-disk",
  "physical-disk",
  "extensible-virtual-disk",
  "automanage-virtual-disk",
] as const;
/** A destination with this prefix gets the disk itself instead of the file system on it. */
export const blockDevicePrefix = "blockdev://";

type DiskMount = OciMount & { readonly type: (typeof diskTypes)[number] };

export interface DiskMountPlan {
  readonly kind: "disk";
  readonly mount: OciMount;
  readonly disk: DiskConfig;
  readonly diskMount: DiskMountConfig;
  /** Whether its file on the host goes with the container. */
  readonly isTemporary: boolean;
}

/** Of a mount of the container, and not of the file system on the disk below it. */
const bindOptions = new Set([
  ...["bind", "rbind", "ro", "rw", "rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec"],
  ...["rnoatime", "ratime", "rrelatime", "rnorelatime", "rnodiratime", "rdiratime", "rstrictatime", "rnostrictatime"],
  ...["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
]);
/** Of both: the disk is mounted in the guest, and what stands there is mounted in the container. */
const sharedOptions = new Set([
  ...["nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "relatime", "norelatime"],
  ...["nodiratime", "diratime", "strictatime", "nostrictatime", "sync", "async", "dirsync"],
]);
const providerPrefix = "evd://";
/** Devices of a Windows host, of which its file system tells no kind. */
const devicePrefix = "\\\\.\\";

/** A mount of a disk: attached through SCSI, mounted in the guest, and what stands there mounted in the container. */
export async function planDiskMount(
  mount: DiskMount,
  where: string,
  takesOptions: boolean,
  files: PathLookup,
  refuse: Refuse,
): Promise<DiskMountPlan> {
  const readOnly = isReadOnly(mount);
  const disk = await diskOf(mount, readOnly, `${where}.source`, files, refuse);
  const blockDevice = mount.destination.startsWith(blockDevicePrefix);
  const { options = [] } = mount;
  const asked = blockDevice ? [] : options.filter((option) => !bindOptions.has(option.toLowerCase()));
  // What the container's own mount has as well is not lost.
  const lost = takesOptions ? [] : asked.filter((option) => !sharedOptions.has(option.toLowerCase()));
  if (lost.length > 0) {
    const message = `${where}.options: ${lost.join(", ")} given, expected no file system option but ro: a guest with a security policy accepts no other`;
    throw refuse("FailedPrecondition", message);
  }
  const diskOptions = takesOptions ? asked : readOnlyOption(readOnly);
  return {
    kind: "disk",
    mount,
    disk,
    diskMount: { partition: 0, readOnly, blockDevice, ...(diskOptions.length === 0 ? {} : { options: diskOptions }) },
    isTemporary: mount.type === "automanage-virtual-disk",
  };
}

async function diskOf(
  { type, source = "" }: DiskMount,
  readOnly: boolean,
  where: string,
  files: PathLookup,
  refuse: Refuse,
): Promise<DiskConfig> {
  switch (type) {
    case "extensible-virtual-disk": {
      const [, provider = "", path = ""] = /^evd:\/\/([^/]+)\/(.+)$/s.exec(source) ?? [];
      if (provider !== "") {
        return { hostPath: path, readOnly, type: "ExtensibleVirtualDisk", extensibleVirtualDiskType: provider };
      }
      const accepted = `${providerPrefix}<provider>/<path>`;
      throw refuse("InvalidArgument", `${where} is ${JSON.stringify(source)}, expected ${accepted}`);
    }
    case "physical-disk": {
      if (source.startsWith(devicePrefix)) return { hostPath: source, readOnly, type: "PassThru" };
      return { hostPath: await existing(source, "block", where, files, refuse), readOnly, type: "PassThru" };
    }
    case "virtual-disk":
    case "automanage-virtual-disk":
      return { hostPath: await existing(source, "file", where, files, refuse), readOnly, type: "VirtualDisk" };
  }
}

async function existing(
  path: string,
  expected: "file" | "block",
  where: string,
  files: PathLookup,
  refuse: Refuse,
): Promise<string> {
  if (!isAbsolute(path)) {
    throw refuse("InvalidArgument", `${where}: ${JSON.stringify(path)} is not an absolute path on the host`);
  }
  const kind = await files.kind(path);
  if (kind === expected) return await files.realPath(path);
  if (kind === undefined) throw refuse("NotFound", `${where}: ${path} does not exist on the host`);
  const accepted = expected === "file" ? "the file of a virtual disk" : "a block device";
  throw refuse("InvalidArgument", `${where}: ${path} is ${nameOf(kind)}, expected ${accepted}`);
}

function nameOf(kind: "file" | "directory" | "block" | "other"): string {
  switch (kind) {
    case "file":
      return "a file";
    case "directory":
      return "a directory";
    case "block":
      return "a block device";
    case "other":
      return "something else";
  }
}

/** All that a guest with a security policy takes of options: this one, and exactly where it is so. */
export function readOnlyOption(readOnly: boolean): readonly string[] {
  return readOnly ? ["ro"] : [];
}

export function isReadOnly({ options = [] }: { readonly options?: readonly string[] }): boolean {
  return accessOf(options) !== "writable";
}

/** Whether what is mounted below is read-only too. */
export function isReadOnlyThroughout({ options = [] }: OciMount): boolean {
  return accessOf(options) === "read-only throughout";
}

/** Of options that contradict each other the last holds; `ro` and `rw` are of the top, and leave `rro` as it is. */
function accessOf(options: readonly string[]): "writable" | "read-only" | "read-only throughout" {
  const names = options.map((option) => option.toLowerCase());
  if (names.lastIndexOf("rro") > names.lastIndexOf("rrw")) return "read-only throughout";
  return names.findLast((name) => name === "ro" || name === "rw") === "ro" ? "read-only" : "writable";
}

const accessOptions: ReadonlySet<string> = new Set(["ro", "rw", "rro", "rrw"]);

/** The mount as the guest is given it once the disk, or its file system, stands at `guestPath`. */
export function attachedMount(plan: DiskMountPlan, guestPath: string): OciMount {
  const { destination, options = [] } = plan.mount;
  const kept = options.filter((option) => {
    const name = option.toLowerCase();
    return bindOptions.has(name) || sharedOptions.has(name);
  });
  const own = plan.diskMount.blockDevice === true ? withPlainAccess(kept, plan.disk.readOnly) : kept;
  const isBind = own.some((option) => option === "bind" || option === "rbind");
  return { destination, type: "bind", source: guestPath, options: isBind ? own : ["rbind", ...own] };
}

/** Of a device guests look for this one word, wherever it stands, and give whoever lacks it leave to write. */
function withPlainAccess(options: readonly string[], readOnly: boolean): readonly string[] {
  return [...readOnlyOption(readOnly), ...options.filter((option) => !accessOptions.has(option.toLowerCase()))];
}
