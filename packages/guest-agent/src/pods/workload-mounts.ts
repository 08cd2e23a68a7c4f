/** Mounts of a workload with a source in its pod or in the guest, and disks that it gets as devices. */
import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciDeviceRule, OciMount, OciSpec } from "@uvm-shim/hcs-schema";
import type { GuestDevices } from "../storage/devices.ts";
import { demandResources } from "./absent-parts.ts";
import type { SharedFolders } from "./shared-folders.ts";

const blockDevicePrefix = "blockdev://";
const guestPathPrefix = "uvm://";
const hugePagesPrefix = "hugepages://";
const hugePageSizes = ["2M"];

/**
 * Replaces `sandbox://`, `sandbox-tmp://`, `hugepages://` and `uvm://` by paths of this guest, and allows the devices of
 * `blockdev://` destinations. Throws a GuestFault naming the mount, and an AbsentPart if there are no rules to extend.
 */
export function withGuestMounts(
  containerId: string,
  spec: OciSpec,
  places: SharedFolders,
  devices: Pick<GuestDevices, "node">,
): OciSpec {
  const granted: OciDeviceRule[] = [];
  const mounts = (spec.mounts ?? []).map((mount, index) => {
    const field = `OciSpecification.mounts[${index}]`;
    if (mount.destination.startsWith(blockDevicePrefix)) return blockDeviceMount(mount, field, devices, granted);
    const source = sourceIn(mount, places, field);
    return source === undefined ? mount : { ...mount, source };
  });
  if (granted.length === 0) return { ...spec, mounts };
  demandResources(containerId, spec, "a rule for a disk");
  const { resources = {} } = spec.linux ?? {};
  const rules = Array.isArray(resources.devices) ? (resources.devices as readonly OciDeviceRule[]) : [];
  return { ...spec, mounts, linux: { ...spec.linux, resources: { ...resources, devices: [...rules, ...granted] } } };
}

function blockDeviceMount(
  mount: OciMount,
  field: string,
  devices: Pick<GuestDevices, "node">,
  granted: OciDeviceRule[],
): OciMount {
  const { source = "", options = [] } = mount;
  // A disk is represented by a link to its node; nothing else is accepted.
  const path = lstatSync(source, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(source) : "";
  const node = devices.node(path);
  if (node?.type !== "b") {
    throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}.source: ${source} is not a disk of the guest`);
  }
  const { major, minor } = node;
  // Without "m", since every container may make nodes of any device.
  granted.push({ allow: true, type: "b", major, minor, access: options.includes("ro") ? "r" : "rw" });
  return { ...mount, destination: mount.destination.slice(blockDevicePrefix.length), source: path };
}

/** Undefined if the source is already a path. */
function sourceIn({ source = "" }: OciMount, places: SharedFolders, field: string): string | undefined {
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
      const expected = hugePageSizes.join(", ");
      throw new GuestFault("E_INVALIDARG", `${where}: invalid huge page size ${size}: expected ${expected}`);
    }
    return places.hugePages(size, location.join("/"), where);
  }
  if (!source.startsWith(guestPathPrefix)) return undefined;
  const path = source.slice(guestPathPrefix.length);
  if (path.startsWith("/") && existsSync(path)) return path;
  throw new GuestFault("ERROR_PATH_NOT_FOUND", `${where}: ${source} does not exist in the guest`);
}
