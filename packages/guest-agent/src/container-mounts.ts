/** Mounts whose source is a place of the guest, and disks that a container gets as devices. */
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciDeviceRule, OciMount, OciSpec } from "@uvm-shim/hcs-schema";
import { mount as mountFileSystem, mountFlags } from "@uvm-shim/linux-calls";
import type { GuestDevices } from "./devices.ts";
import { guestFolders } from "./guest-folders.ts";

const blockDevicePrefix = "blockdev://";
const guestPathPrefix = "uvm://";
const hugePagesPrefix = "hugepages://";
const hugePageSizes = ["2M"];

/** Makes what a specification's mounts need. */
export interface PodPlaces {
  /** A directory that the containers of the pod share, kept in memory or not, below `path`. */
  shared(kind: "mounts" | "tmp", path: string, field: string): string;
  hugePages(size: string, location: string, field: string): string;
  /** A folder below that of the logs. */
  logs(path: string, field: string): string;
}

/**
 * The specification with paths of this guest in place of `sandbox://`, `sandbox-tmp://`, `hugepages://` and `uvm://`,
 * and with the devices of `blockdev://` destinations allowed to it. Throws a GuestFault that names the mount.
 */
export function withGuestMounts(spec: OciSpec, places: PodPlaces, devices: Pick<GuestDevices, "node">): OciSpec {
  const granted: OciDeviceRule[] = [];
  const mounts = (spec.mounts ?? []).map((mount, index) => {
    const field = `OciSpecification.mounts[${index}]`;
    if (mount.destination.startsWith(blockDevicePrefix)) return blockDeviceMount(mount, field, devices, granted);
    const source = sourceIn(mount, places, field);
    return asBind(source === undefined ? mount : { ...mount, source });
  });
  if (granted.length === 0) return { ...spec, mounts };
  const { resources = {} } = spec.linux ?? {};
  const rules = Array.isArray(resources.devices) ? (resources.devices as readonly OciDeviceRule[]) : [];
  return { ...spec, mounts, linux: { ...spec.linux, resources: { ...resources, devices: [...rules, ...granted] } } };
}

/** Some runtimes go by the options, and not by the type. */
function asBind(mount: OciMount): OciMount {
  const { type, options = [] } = mount;
  if (type !== "bind" || options.includes("bind") || options.includes("rbind")) return mount;
  return { ...mount, options: ["rbind", ...options] };
}

function blockDeviceMount(
  mount: OciMount,
  field: string,
  devices: Pick<GuestDevices, "node">,
  granted: OciDeviceRule[],
): OciMount {
  const { source = "", options = [] } = mount;
  // What stands for the disk is a link to its node.
  const path = existsSync(source) ? realpathSync(source) : source;
  const node = devices.node(path);
  if (node?.type !== "b") {
    throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}.source is ${source}, which is no disk of the guest`);
  }
  const { major, minor } = node;
  granted.push({ allow: true, type: "b", major, minor, access: options.includes("ro") ? "r" : "rw" });
  return asBind({
    ...mount,
    type: "bind",
    destination: mount.destination.slice(blockDevicePrefix.length),
    source: path,
  });
}

/** Undefined where the source is a path already. */
function sourceIn({ source = "" }: OciMount, places: PodPlaces, field: string): string | undefined {
  const where = `${field}.source`;
  for (const [prefix, kind] of [
    ["sandbox://", "mounts"],
    ["sandbox-tmp://", "tmp"],
  ] as const) {
    if (source.startsWith(prefix)) return places.shared(kind, source.slice(prefix.length), where);
  }
  if (source.startsWith(hugePagesPrefix)) {
    const [size = "", ...location] = source.slice(hugePagesPrefix.length).split("/");
    if (!hugePageSizes.includes(size)) {
      const accepted = hugePageSizes.join(", ");
      throw new GuestFault("E_INVALIDARG", `${where} asks for huge pages of size ${size}, accepted is ${accepted}`);
    }
    return places.hugePages(size, location.join("/"), where);
  }
  if (!source.startsWith(guestPathPrefix)) return undefined;
  const path = source.slice(guestPathPrefix.length);
  if (path.startsWith("/") && existsSync(path)) return path;
  throw new GuestFault("ERROR_PATH_NOT_FOUND", `${where} is ${source}, which the guest does not have`);
}

/** Those of this guest, below `folder`. */
export function podPlaces(folder: string = guestFolders.pod): PodPlaces {
  const base = (name: string, fileSystem: string): string => {
    const path = `${folder}/${name}`;
    if (isMountPoint(path)) return path;
    mkdirSync(path, { recursive: true, mode: 0o755 });
    if (fileSystem === "") mountFileSystem(path, path, "", mountFlags.MS_BIND);
    else mountFileSystem(fileSystem, path, fileSystem, mountFlags.MS_NOSUID | mountFlags.MS_NODEV);
    // What one container mounts there, another one sees if both asked for it.
    mountFileSystem("", path, "", mountFlags.MS_SHARED);
    return path;
  };
  return {
    shared: (kind, path, field) => sharedDirectory(base(kind, kind === "tmp" ? "tmpfs" : ""), path, field),
    hugePages: (size, location, field) => {
      const path = sharedDirectory(base("hugepages", ""), `${size}/${location}`, field);
      if (isMountPoint(path)) return path;
      try {
        mountFileSystem("none", path, "hugetlbfs", 0, `pagesize=${size}`);
      } catch (cause) {
        rmSync(path, { recursive: true, force: true });
        throw new GuestFault("ERROR_NOT_SUPPORTED", `${field}: ${(cause as Error).message}`, { cause });
      }
      return path;
    },
    logs: (path, field) => sharedDirectory(base("logs", ""), path, field),
  };
}

/** Every user of every container may write there. A link that one of them has left leads nowhere. */
function sharedDirectory(base: string, path: string, field: string): string {
  let place = base;
  const umask = process.umask(0);
  try {
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      place = `${place}/${part}`;
      const stats = lstatSync(place, { throwIfNoEntry: false });
      if (part === ".." || part.includes("\0") || stats?.isSymbolicLink() === true) {
        throw new GuestFault("E_INVALIDARG", `${field}: ${JSON.stringify(path)} leads out of what the pod shares`);
      }
      if (stats === undefined) mkdirSync(place, { mode: 0o777 });
    }
  } finally {
    process.umask(umask);
  }
  return place;
}

function isMountPoint(path: string): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === path);
}
