/** Block devices of the host in `linux.devices`, which become disks of the guest. */
import { allowedAccess, type OciDeviceRule, type OciMount } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { ContainerSpecification } from "../specification/specification.ts";
import type { ContainerHostFiles } from "../types.ts";
import { blockDevicePrefix } from "./disk-mounts.ts";

/** What is needed to find block devices of the host. */
export interface BlockDeviceSurroundings {
  readonly files: Pick<ContainerHostFiles, "blockDevice">;
  readonly warn: (sentence: string) => void;
}

/** An unchecked entry of `linux.devices`. */
type Entry = { readonly path: string } & { readonly [field: string]: unknown };

/**
 * Replaces each block device of the host by a disk mount with a `blockdev://` destination, where the guest exposes the
 * disk's node. Other entries stay: they are devices of the guest.
 */
export async function withBlockDevices(
  specification: ContainerSpecification,
  { files, warn }: BlockDeviceSurroundings,
  refuse: Refuse,
): Promise<ContainerSpecification> {
  const { linux, mounts = [], deviceRules, process, mayUseAllDevices, containerAnnotations } = specification;
  const mayUseAll = mayUseAllDevices || containerAnnotations.isPrivileged;
  const disks: OciMount[] = [];
  const others: Entry[] = [];
  for (const [index, entry] of ((linux.devices ?? []) as readonly Entry[]).entries()) {
    const where = `config.json: linux.devices[${index}]`;
    const number = blockNumber(entry);
    const found = number && (await files.blockDevice(number, entry.path));
    // A container that may use all devices lists the node's devices by their own names; it gets those of the guest.
    if (number === undefined || found === undefined || (mayUseAll && found.isNamed)) {
      others.push(entry);
      continue;
    }
    const options = ["bind", ...accessOptions(deviceRules, number, where, refuse)];
    disks.push({
      destination: `${blockDevicePrefix}${entry.path}`,
      type: "physical-disk",
      source: found.path,
      options,
    });
    for (const withoutEffect of ownershipWithoutEffect(entry, process.user?.uid)) {
      warn(`${where}: ${withoutEffect}: ${entry.path} is a disk of the guest, which only root can open`);
    }
  }
  if (disks.length === 0) return specification;
  return { ...specification, mounts: [...mounts, ...disks], linux: { ...linux, devices: others } };
}

/** Warnings about an owner or permissions other than those of a disk's node in the guest. */
function ownershipWithoutEffect({ uid, gid, fileMode }: Entry, user = 0): readonly string[] {
  const mode = isNumber(fileMode) ? `0${fileMode.toString(8)}` : JSON.stringify(fileMode);
  const fields = [
    ...(isOther(uid, 0) ? [`uid ${JSON.stringify(uid)}`] : []),
    ...(isOther(gid, 0) ? [`gid ${JSON.stringify(gid)}`] : []),
    ...(isOther(fileMode, 0o600) ? [`fileMode ${mode}`] : []),
  ];
  const verb = fields.length > 1 ? "have" : "has";
  return [
    ...(fields.length === 0 ? [] : [`${fields.join(", ")} ${verb} no effect`]),
    ...(user === 0 ? [] : [`the container's user ${user} cannot open it`]),
  ];
}

function isOther(value: unknown, had: number): boolean {
  return value !== undefined && value !== null && value !== had;
}

function blockNumber({ type, major, minor }: Entry): { readonly major: number; readonly minor: number } | undefined {
  if (type !== "b" || !isNumber(major) || !isNumber(minor)) return undefined;
  return { major, minor };
}

function isNumber(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

/** A guest grants read-write or read-only access to a disk. Device rules themselves stay on the host. */
function accessOptions(
  rules: readonly OciDeviceRule[],
  { major, minor }: { readonly major: number; readonly minor: number },
  where: string,
  refuse: Refuse,
): readonly string[] {
  const access = allowedAccess(rules, { type: "b", major, minor });
  if (access.startsWith("rw")) return ["rw"];
  if (access.startsWith("r")) return ["ro"];
  const given = access === "" ? "nothing" : JSON.stringify(access);
  const accepted = 'expected "r" or "rw", with "m" or without';
  throw refuse(
    "InvalidArgument",
    `${where}: linux.resources.devices allow ${given} of b ${major}:${minor}, ${accepted}`,
  );
}
