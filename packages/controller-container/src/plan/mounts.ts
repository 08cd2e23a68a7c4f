import { basename, dirname, isAbsolute, posix } from "node:path";
import type { OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { PathLookup } from "../types.ts";
import { blockDevicePrefix, diskTypes, isReadOnly, isReadOnlyThroughout, planDiskMount } from "./disk-mounts.ts";
import type { MountPlan } from "./mount-plan.ts";
import { takesLaterMounts } from "./propagation.ts";

/** File systems of the guest's kernel; their source is only a name. */
const guestTypes = new Set([
  ...["proc", "sysfs", "tmpfs", "ramfs", "devpts", "mqueue", "cgroup", "cgroup2", "hugetlbfs"],
  ...["debugfs", "tracefs", "securityfs", "bpf", "configfs", "fusectl", "binfmt_misc"],
]);
const hugePagesPrefix = "hugepages://";
/** Prefixes of sources that the containers of a pod share in the guest. */
const sandboxPrefixes = ["sandbox://", "sandbox-tmp://"];
const guestPathPrefix = "uvm://";
/** All prefixes of sources in the guest. */
export const placesOfGuest: readonly string[] = [...sandboxPrefixes, hugePagesPrefix, guestPathPrefix];
const hugePageSizes = ["2M"];
/** Mounts that are planned at a time: there may be thousands, and each waits for the host's file systems. */
const plannedAtOnce = 16;

/** What each mount of a specification becomes. Refuses those that cannot cross, by name. */
export async function planMounts(
  mounts: readonly OciMount[],
  takesDiskOptions: boolean,
  files: PathLookup,
  refuse: Refuse,
): Promise<readonly MountPlan[]> {
  const plans: MountPlan[] = [];
  const waiting = mounts.entries();
  let isRefused = false;
  // Workers share one iterator, so that few file calls run at a time and their time bounds stay meaningful.
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

/** runc needs the option, crun accepts the type too; guests have either runtime. */
function withBindOption(mount: OciMount): OciMount {
  const { options = [] } = mount;
  return options.includes("bind") || options.includes("rbind") ? mount : { ...mount, options: ["rbind", ...options] };
}

/** A path in the guest, which the guest itself resolves or creates. */
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
  // A security policy lists the allowed options, which cannot depend on the host.
  const inheriting = async (path: string): Promise<OciMount> =>
    takesOptions ? withFlags(mount, await files.mountFlags(path)) : mount;
  switch (kind) {
    case "directory": {
      const hostPath = await files.realPath(source);
      // A share is read-only as a whole, but a read-only mount only at its top, unless it is recursive.
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

/**
 * A bind mount inherits the flags of its source's mount unless its options say otherwise; a share in the guest does
 * not.
 */
function withFlags(mount: OciMount, flags: readonly string[]): OciMount {
  const { options = [] } = mount;
  const inherited = flags.filter((flag) => !options.includes(flag) && !options.includes(flag.replace(/^no/, "")));
  return inherited.length === 0 ? mount : { ...mount, options: [...options, ...inherited] };
}

/** The mount for the guest, with the share mounted at `guestPath`. */
export function sharedMount(plan: MountPlan & { readonly kind: "share" }, guestPath: string): OciMount {
  const source = plan.file === undefined ? guestPath : posix.join(guestPath, plan.file);
  return { ...plan.mount, type: "bind", source };
}
