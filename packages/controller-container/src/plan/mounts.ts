import { basename, dirname, isAbsolute, posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { PathLookup, ShareConfig } from "../types.ts";
import {
  blockDevicePrefix,
  type DiskMountPlan,
  diskTypes,
  isReadOnly,
  isReadOnlyThroughout,
  planDiskMount,
} from "./disk-mounts.ts";
import { takesLaterMounts } from "./propagation.ts";

/** What becomes of one mount of the specification. */
export type MountPlan =
  /** The guest has it: a file system of its kernel's, or a place of its own. */
  | { readonly kind: "guest"; readonly mount: OciMount }
  /** The host's file or directory is shared; `file` is the name below the share when it is a single file. */
  | {
      readonly kind: "share";
      readonly mount: OciMount;
      readonly share: ShareConfig;
      readonly file: string | undefined;
    }
  /** A disk is attached. */
  | DiskMountPlan;

/** File systems of the guest's kernel; what stands as their source is but a name. */
const guestTypes = new Set([
  ...["proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue", "cgroup", "cgroup2", "hugetlbfs"],
  ...["debugfs", "tracefs", "securityfs", "bpf", "configfs", "fusectl", "binfmt_misc"],
]);
const hugePagesPrefix = "hugepages://";
/** Sources with these prefixes name directories that the containers of a pod share in the guest. */
const sandboxPrefixes = ["sandbox://", "sandbox-tmp://"];
const guestPathPrefix = "uvm://";
/** What sources that name a place of the guest begin with. */
export const placesOfGuest: readonly string[] = [...sandboxPrefixes, hugePagesPrefix, guestPathPrefix];
const hugePageSizes = ["2M"];
/** A specification may have mounts by the thousand, and each waits for the host's file systems. */
const plannedAtOnce = 16;

export async function planMounts(
  mounts: readonly OciMount[],
  takesDiskOptions: boolean,
  files: PathLookup,
  refuse: Refuse,
): Promise<readonly MountPlan[]> {
  const plans: MountPlan[] = [];
  const waiting = mounts.entries();
  let isRefused = false;
  // Each goes on with the next mount that nobody has begun with, so that the bounds of file calls count for few at a time.
  const work = async (): Promise<void> => {
    for (const [index, mount] of waiting) {
      if (isRefused) return;
      try {
        plans[index] = await planMount(mount, `config.json: mounts[${index}]`, takesDiskOptions, files, refuse);
      } catch (error) {
        isRefused = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: plannedAtOnce }, work));
  return plans;
}

async function planMount(
  mount: OciMount,
  where: string,
  takesDiskOptions: boolean,
  files: PathLookup,
  refuse: Refuse,
): Promise<MountPlan> {
  const diskType = diskTypes.find((type) => type === mount.type);
  checkDestination(mount.destination, diskType !== undefined, where, refuse);
  if (diskType !== undefined) {
    return await planDiskMount({ ...mount, type: diskType }, where, takesDiskOptions, files, refuse);
  }
  if (isBind(mount)) {
    const bind = withBindOption(mount);
    return planGuestPath(bind, where, refuse) ?? (await planShare(bind, where, takesDiskOptions, files, refuse));
  }
  const { type = "" } = mount;
  if (guestTypes.has(type)) return { kind: "guest", mount: { ...mount, source: type } };
  const accepted = ["bind", ...diskTypes, ...guestTypes].join(", ");
  throw refuse(
    "InvalidArgument",
    `${where}.type of ${mount.destination} is ${JSON.stringify(type)}, expected one of ${accepted}`,
  );
}

function checkDestination(destination: string, isDisk: boolean, where: string, refuse: Refuse): void {
  const isBlockDevice = destination.startsWith(blockDevicePrefix);
  if (isBlockDevice && !isDisk) {
    const message = `${where}.destination: ${destination} is for disks only, expected a mount of type ${diskTypes.join(", ")}`;
    throw refuse("InvalidArgument", message);
  }
  if (posix.isAbsolute(isBlockDevice ? destination.slice(blockDevicePrefix.length) : destination)) return;
  throw refuse("InvalidArgument", `${where}.destination: ${JSON.stringify(destination)} is not an absolute path`);
}

function isBind({ type = "", options = [] }: OciMount): boolean {
  if (type === "bind") return true;
  return (type === "" || type === "none") && (options.includes("bind") || options.includes("rbind"));
}

/** runc goes by the options alone, crun by the type too; a guest may have either. */
function withBindOption(mount: OciMount): OciMount {
  const { options = [] } = mount;
  return options.includes("bind") || options.includes("rbind") ? mount : { ...mount, options: ["rbind", ...options] };
}

/** A place of the guest's own, which the guest itself finds or makes. */
function planGuestPath(mount: OciMount, where: string, refuse: Refuse): MountPlan | undefined {
  const { source = "" } = mount;
  const prefix = placesOfGuest.find((known) => source.startsWith(known));
  if (prefix === undefined) return undefined;
  const path = source.slice(prefix.length);
  const refuseSource = (accepted: string) =>
    refuse("InvalidArgument", `${where}.source is ${JSON.stringify(source)}, expected ${accepted}`);
  if (path.split("/").includes("..") || path.includes("\0")) throw refuseSource(`${prefix}<path> without ".."`);
  if (prefix === guestPathPrefix && !path.startsWith("/")) throw refuseSource(`${prefix}<absolute path of the guest>`);
  if (prefix === hugePagesPrefix) {
    const [size = "", location = ""] = path.split("/");
    if (!hugePageSizes.includes(size) || location === "") {
      throw refuseSource(`${prefix}<size>/<location> with a page size of ${hugePageSizes.join(", ")}`);
    }
  }
  return { kind: "guest", mount: { ...mount, type: "bind" } };
}

async function planShare(
  mount: OciMount,
  where: string,
  takesOptions: boolean,
  files: PathLookup,
  refuse: Refuse,
): Promise<MountPlan> {
  const source = mount.source ?? "";
  if (source.startsWith("\\\\.\\pipe\\")) {
    throw refuse("InvalidArgument", `${where}.source: ${source} is a named pipe, which Linux containers cannot use`);
  }
  if (!isAbsolute(source)) {
    throw refuse("InvalidArgument", `${where}.source: ${JSON.stringify(source)} is not an absolute path on the host`);
  }
  const kind = await files.kind(source);
  const readOnly = isReadOnly(mount);
  // A security policy lists the options of each mount, and knows nothing of this host's.
  const inheriting = async (path: string): Promise<OciMount> =>
    takesOptions ? withFlags(mount, await files.mountFlags(path)) : mount;
  switch (kind) {
    case "directory": {
      const hostPath = await files.realPath(source);
      // A share is read-only as a whole, a mount at its top alone unless it says otherwise.
      const isWhole =
        isReadOnlyThroughout(mount) ||
        !(
          (await files.hasMountsBelow(hostPath)) ||
          (takesLaterMounts(mount) && (await files.showsLaterMounts(hostPath)))
        );
      return {
        kind: "share",
        mount: await inheriting(hostPath),
        share: { hostPath, readOnly: readOnly && isWhole },
        file: undefined,
      };
    }
    case "file": {
      const path = await files.realPath(source);
      const file = basename(path);
      const share = { hostPath: dirname(path), readOnly, allowedFiles: [file] };
      return { kind: "share", mount: await inheriting(path), share, file };
    }
    case undefined:
      throw refuse("NotFound", `${where}.source: ${source} does not exist on the host`);
    case "block":
    case "other":
      throw refuse(
        "InvalidArgument",
        `${where}.source: ${source} is neither a file nor a directory, and only these can be shared`,
      );
  }
}

/** A bind mount has the flags of its source's mount, which the guest's share has not, unless its options say otherwise. */
function withFlags(mount: OciMount, flags: readonly string[]): OciMount {
  const { options = [] } = mount;
  const inherited = flags.filter((flag) => !options.includes(flag) && !options.includes(flag.replace(/^no/, "")));
  return inherited.length === 0 ? mount : { ...mount, options: [...options, ...inherited] };
}

/** The mount as the guest is given it once the share stands at `guestPath`. */
export function sharedMount(plan: MountPlan & { readonly kind: "share" }, guestPath: string): OciMount {
  const source = plan.file === undefined ? guestPath : posix.join(guestPath, plan.file);
  return { ...plan.mount, type: "bind", source };
}
