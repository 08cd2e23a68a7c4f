import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hresults } from "@uvm-shim/hcs-schema";
import { Refusal } from "./refusal.ts";
import type { Handler } from "./session.ts";
import { localPath } from "./windows-paths.ts";

/** Win32 errors as HRESULTs, which virtdisk.dll turns back. */
const win32 = {
  invalidParameter: hresults.E_INVALIDARG,
  notReady: 0x80070015,
  fileExists: 0x80070050,
  alreadyAttached: 0x80070020,
  /** ERROR_VHD_INVALID_TYPE. */
  noParent: 0xc03a001b,
} as const;

/** GET_VIRTUAL_DISK_INFO_VERSION. */
const infoVersions = { size: "1", parentLocation: "3" } as const;

/** SET_VIRTUAL_DISK_INFO_VERSION, by the format of the disk. */
const setInfoVersions = { vhd: "2", vhdx: "5" } as const;

const defaultBlockBytes = 2 * 1024 * 1024;
const sectorBytes = 512;
const smallestDiskBytes = 3 * 1024 * 1024;

/** The properties of a virtual disk beside its file, which is a raw image whatever its name. */
interface Disk {
  /** As it was given. */
  readonly parent: string | undefined;
  readonly blockBytes: number;
  readonly sectorBytes: number;
  attachedAs: number | undefined;
  formatted: boolean;
  /** GUID in braces, if one was set. */
  identifier?: string | undefined;
}

/** Of all processes: attachments outlive them where they were asked to. */
const disks = new Map<string, Disk>();
let lastDrive = 0;

function diskOf(path: string): Disk {
  statSync(path);
  const known = disks.get(path);
  if (known !== undefined) return known;
  const found: Disk = {
    parent: undefined,
    blockBytes: defaultBlockBytes,
    sectorBytes,
    attachedAs: undefined,
    formatted: false,
  };
  disks.set(path, found);
  return found;
}

function attachedDrive(path: string): number {
  const { attachedAs } = diskOf(path);
  if (attachedAs === undefined) throw new Refusal(win32.notReady, `${path} is not attached`);
  return attachedAs;
}

/** 0 or an empty text stand for what is not said. */
const said = (text: string | undefined, otherwise: number): number => Number(text ?? 0) || otherwise;

async function createDisk(...texts: (string | undefined)[]): Promise<undefined> {
  const [file, size, block, sector, parent, source] = texts;
  const path = localPath(file);
  if (existsSync(path)) throw new Refusal(win32.fileExists, `${path} exists`);
  const base = parent ?? source;
  const from = base === undefined ? undefined : localPath(base);
  const bytes = said(size, from === undefined ? 0 : statSync(from).size);
  if (bytes < smallestDiskBytes || bytes % sectorBytes !== 0) {
    throw new Refusal(win32.invalidParameter, `MaximumSize: expected a multiple of ${sectorBytes} of 3 MiB or more`);
  }
  if (from !== undefined) copyFileSync(from, path);
  const descriptor = openSync(path, "a");
  ftruncateSync(descriptor, bytes);
  closeSync(descriptor);
  disks.set(path, {
    parent,
    blockBytes: said(block, defaultBlockBytes),
    sectorBytes: said(sector, sectorBytes),
    attachedAs: undefined,
    formatted: from === undefined ? false : (disks.get(from)?.formatted ?? false),
  });
  return undefined;
}

const markOf = (layer: string | undefined): string => `${localPath(layer)}/layer-storage-filter`;

/** The functions of virtdisk.h and computestorage.h. */
export const storageCalls: { readonly [name: string]: Handler } = {
  CreateVirtualDisk: (_session, ...texts) => createDisk(...texts),

  OpenVirtualDisk: async (_session, path, mode) => {
    const { parent } = diskOf(localPath(path));
    if (parent !== undefined && mode !== "inspect") statSync(localPath(parent));
    return undefined;
  },

  AttachVirtualDisk: async (_session, path) => {
    const disk = diskOf(localPath(path));
    if (disk.attachedAs !== undefined) throw new Refusal(win32.alreadyAttached, `${path} is attached`);
    lastDrive++;
    disk.attachedAs = lastDrive;
    return undefined;
  },

  DetachVirtualDisk: async (_session, path) => {
    attachedDrive(localPath(path));
    diskOf(localPath(path)).attachedAs = undefined;
    return undefined;
  },

  ExpandVirtualDisk: async (_session, path, size) => {
    const local = localPath(path);
    diskOf(local);
    if (Number(size) < statSync(local).size) throw new Refusal(win32.invalidParameter, `NewSize: ${size} is less`);
    const descriptor = openSync(local, "r+");
    ftruncateSync(descriptor, Number(size));
    closeSync(descriptor);
    return undefined;
  },

  SetVirtualDiskInformation: async (_session, path = "", version, id) => {
    const expected = path.toLowerCase().endsWith("x") ? setInfoVersions.vhdx : setInfoVersions.vhd;
    if (version !== expected) throw new Refusal(win32.invalidParameter, `expected version ${expected} for ${path}`);
    diskOf(localPath(path)).identifier = id;
    return undefined;
  },

  GetVirtualDiskInformation: async (_session, path, version) => {
    const local = localPath(path);
    const { blockBytes, sectorBytes: sector, parent } = diskOf(local);
    const { size, blocks } = statSync(local);
    switch (version) {
      case infoVersions.size:
        return `${size} ${blocks * sectorBytes} ${blockBytes} ${sector}`;
      case infoVersions.parentLocation:
        if (parent === undefined) throw new Refusal(win32.noParent, `${path} is no differencing disk`);
        return `${existsSync(localPath(parent)) ? 1 : 0} ${parent}`;
      default:
        throw new Refusal("ERROR_NOT_SUPPORTED", `GET_VIRTUAL_DISK_INFO_VERSION ${version} is not emulated`);
    }
  },

  GetVirtualDiskPhysicalPath: async (_session, path) => `\\\\.\\PhysicalDrive${attachedDrive(localPath(path))}`,

  HcsFormatWritableLayerVhd: async (_session, path) => {
    diskOf(localPath(path)).formatted = true;
    return undefined;
  },

  HcsGetLayerVhdMountPath: async (_session, path) => {
    if (!diskOf(localPath(path)).formatted) throw new Refusal("ERROR_NOT_FOUND", `${path} has no volume`);
    return `\\\\?\\Volume{00000000-0000-4000-8000-${String(attachedDrive(localPath(path))).padStart(12, "0")}}\\`;
  },

  HcsInitializeWritableLayer: async (_session, layer) => {
    mkdirSync(localPath(layer), { recursive: true });
    return undefined;
  },

  HcsDestroyLayer: async (_session, layer) => {
    statSync(localPath(layer));
    rmSync(localPath(layer), { recursive: true });
    return undefined;
  },

  HcsAttachLayerStorageFilter: async (_session, layer, data) => {
    writeFileSync(markOf(layer), data ?? "", { flag: "wx" });
    return undefined;
  },

  HcsDetachLayerStorageFilter: async (_session, layer) => {
    statSync(markOf(layer));
    rmSync(markOf(layer));
    return undefined;
  },
};
