/** Read-only block devices of the device mapper, linux/dm-ioctl.h. */
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";
import { emptyOf, mapperRequest, mapperTarget } from "./structures.ts";

/** Exists while the kernel has the device mapper. */
export const mapperControl = "/dev/mapper/control";

const version = [4, 0, 0];
/** _IOWR with the mapper's letter and the size of its structure; the number of the command is added. */
const commands = 0xc138fd00;
const DM_DEV_CREATE = 3;
const DM_DEV_REMOVE = 4;
/** Without its flag it resumes the device, and so lets the loaded table be used. */
const DM_DEV_SUSPEND = 6;
const DM_TABLE_LOAD = 9;
const DM_READONLY_FLAG = 1 << 0;
const DM_DEFERRED_REMOVE = 1 << 17;
const alignment = 8;

/** What a device consists of: one target for all of it. */
export interface MappedTarget {
  readonly type: string;
  readonly sectors: number;
  /** As in the mapper's tables. */
  readonly parameters: string;
}

/** Makes a device; the caller removes it. Nothing is left of one that cannot be made. */
export function createMappedDevice(
  name: string,
  target: MappedTarget,
): { readonly major: number; readonly minor: number } {
  const control = openSync(mapperControl, "r+");
  try {
    const created = mapperRequestOf(name);
    command(control, "DM_DEV_CREATE", DM_DEV_CREATE, created, name);
    try {
      command(control, "DM_TABLE_LOAD", DM_TABLE_LOAD, mapperRequestOf(name, DM_READONLY_FLAG, target), name);
      command(control, "DM_DEV_SUSPEND", DM_DEV_SUSPEND, mapperRequestOf(name), name);
    } catch (error) {
      command(control, "DM_DEV_REMOVE", DM_DEV_REMOVE, mapperRequestOf(name), name);
      throw error;
    }
    const device = created.readUInt32LE(koffi.offsetof(mapperRequest, "dev"));
    return { major: (device >> 8) & 0xfff, minor: (device & 0xff) | ((device >> 12) & 0xfff00) };
  } finally {
    closeSync(control);
  }
}

/** Removes a device, which ends with its last user. */
export function removeMappedDevice(name: string): void {
  const control = openSync(mapperControl, "r+");
  try {
    command(control, "DM_DEV_REMOVE", DM_DEV_REMOVE, mapperRequestOf(name, DM_DEFERRED_REMOVE), name);
  } finally {
    closeSync(control);
  }
}

function command(control: number, what: string, number: number, request: Buffer, name: string): void {
  invoke("ioctl", `${what} ${name}`, control, commands + number, request);
}

/** A struct dm_ioctl, with a table if there is a target. */
export function mapperRequestOf(name: string, flags = 0, target?: MappedTarget): Buffer {
  const table = target === undefined ? Buffer.alloc(0) : tableOf(target);
  const request = emptyOf(mapperRequest);
  koffi.encode(request, mapperRequest, {
    ...{ version, data_size: request.length + table.length, data_start: request.length, flags },
    ...{ target_count: target === undefined ? 0 : 1, open_count: 0, event_nr: 0, padding: 0, dev: 0, name, rest: [] },
  });
  return Buffer.concat([request, table]);
}

function tableOf({ type, sectors, parameters }: MappedTarget): Buffer {
  const target = emptyOf(mapperTarget);
  const text = Buffer.from(`${parameters}\0`);
  const length = Math.ceil((target.length + text.length) / alignment) * alignment;
  koffi.encode(target, mapperTarget, {
    ...{ sector_start: 0, length: sectors, status: 0, next: length, target_type: type },
  });
  return Buffer.concat([target, text], length);
}
