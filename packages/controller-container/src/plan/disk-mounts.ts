import { isAbsolute } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { DiskConfig, DiskMountConfig, PathLookup } from "../types.ts";

/** Mount types of disks (microsoft/hcsshim, internal/hcsoci; automanage-virtual-disk is from its earlier shims). */
export const diskTypes = [
  "virtual-disk",
  "physical-disk",
  "extensible-virtual-disk",
  "automanage-virtual-disk",
] as const;
/** Prefix of destinations that get the device node instead of the file system. */
export const blockDevicePrefix = "blockdev://";

type DiskMount = OciMount & { readonly type: (typeof diskTypes)[number] };

/** A mount of a disk of the host. */
export interface DiskMountPlan {
  readonly kind: "disk";
  readonly mount: OciMount;
  readonly disk: DiskConfig;
  readonly diskMount: DiskMountConfig;
  /** Whether the file on the host is deleted with the container. */
  readonly isTemporary: boolean;
}

/** Options of the container's mount, not of the disk's file system. */
const bindOptions = new Set([
  ...["bind", "rbind", "ro", "rw", "rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec"],
  ...["rnoatime", "ratime", "rrelatime", "rnorelatime", "rnodiratime", "rdiratime", "rstrictatime", "rnostrictatime"],
  ...["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
]);
/** Options of both: the disk is mounted in the guest, and that mount is bound into the container. */
const sharedOptions = new Set([
  ...["nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "relatime", "norelatime"],
  ...["nodiratime", "diratime", "strictatime", "nostrictatime", "sync", "async", "dirsync"],
]);
const providerPrefix = "evd://";
/** Prefix of devices of a Windows host, whose kind cannot be looked up. */
const devicePrefix = "\\\\.\\";

/** Plans a disk: attached by SCSI, mounted in the guest, and bound into the container. */
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
  // Options that the container's mount gets too are not lost.
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

/** The only option that a guest with a security policy accepts, and requires for read-only mounts. */
export function readOnlyOption(readOnly: boolean): readonly string[] {
  return readOnly ? ["ro"] : [];
}

/** Whether a mount's options make it read-only at its top; without any it is writable. */
export function isReadOnly({ options = [] }: { readonly options?: readonly string[] }): boolean {
  return accessOf(options) !== "writable";
}

/** Whether mounts below it are read-only too. */
export function isReadOnlyThroughout({ options = [] }: OciMount): boolean {
  return accessOf(options) === "read-only throughout";
}

/** The last of contradictory options wins; `ro` and `rw` concern the top only, and do not override `rro`. */
function accessOf(options: readonly string[]): "writable" | "read-only" | "read-only throughout" {
  const names = options.map((option) => option.toLowerCase());
  if (names.lastIndexOf("rro") > names.lastIndexOf("rrw")) return "read-only throughout";
  return names.findLast((name) => name === "ro" || name === "rw") === "ro" ? "read-only" : "writable";
}

const accessOptions: ReadonlySet<string> = new Set(["ro", "rw", "rro", "rrw"]);

/** The mount for the guest, with the disk or its file system at `guestPath`. */
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

/** For device nodes guests look for `ro` only, and give write access without it. */
function withPlainAccess(options: readonly string[], readOnly: boolean): readonly string[] {
  return [...readOnlyOption(readOnly), ...options.filter((option) => !accessOptions.has(option.toLowerCase()))];
}
