import { HostError, hostErrorOf } from "../host-error.ts";
import { failed, refusal, type Subject, unlessAborted } from "./compute/call-results.ts";
import { hostClosed } from "./native/close-reason.ts";
import { computeStorageFunctions } from "./native/computestorage-functions.ts";
import { hostStructures } from "./native/host-structures.ts";
import { kernelFunctions } from "./native/kernel-functions.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "./native/native-types.ts";
import { pointerRoom } from "./native/output-parameters.ts";
import { Calls } from "./native/pending-calls.ts";
import { wideText } from "./native/structures.ts";
import {
  attachFlags,
  createFlags,
  errorVhdInvalidType,
  infoVersions,
  microsoftVendor,
  storageDevices,
} from "./native/virtdisk-constants.ts";
import { virtdiskFunctions } from "./native/virtdisk-functions.ts";

export interface NewDisk {
  readonly path: string;
  /** Bytes; a disk with a parent or a source has their size where this is absent. */
  readonly size?: number;
  /** Bytes of the blocks in which a growing file grows; by default those of the format. */
  readonly blockSize?: number;
  /** The disk that this one keeps its differences from. */
  readonly parent?: string;
  /** The disk whose content is copied. Blocks that it does not use take no room in the copy. */
  readonly source?: string;
  /** The file has all of its room from the start. */
  readonly fixed?: boolean;
}

export interface VirtualDiskSize {
  /** Bytes that the disk has. */
  readonly virtualSize: number;
  /** Bytes that its file takes. */
  readonly physicalSize: number;
}

/**
 * Virtual disks by the paths of their files: `.vhdx` and `.avhdx` are VHDX, `.vhd` and `.avhd` are VHD. What is attached
 * stays attached until it is detached, whoever attached it.
 */
export interface VirtualDisks {
  create(disk: NewDisk, signal?: AbortSignal): Promise<void>;
  /** To a size that is not smaller. */
  expand(path: string, size: number, signal?: AbortSignal): Promise<void>;
  /** Attaches it to the host, without a drive letter; answers with the path of the device. */
  attach(path: string, options: { readonly readOnly: boolean }, signal?: AbortSignal): Promise<string>;
  detach(path: string, signal?: AbortSignal): Promise<void>;
  sizeOf(path: string, signal?: AbortSignal): Promise<VirtualDiskSize>;
  /** Paths of a disk and of its parents, the nearest first. */
  chainOf(path: string, signal?: AbortSignal): Promise<readonly string[]>;
  /** Makes and formats the partition of a writable layer on a disk that is not attached. */
  formatWritableLayer(path: string, signal?: AbortSignal): Promise<void>;
  /** Resolves when every call has returned. */
  close(): Promise<void>;
}

export function virtualDisks(machine: NativeMachine, paths: LibraryPaths): VirtualDisks {
  return new WindowsVirtualDisks(machine, paths);
}

const {
  VIRTUAL_STORAGE_TYPE: storageType,
  CREATE_VIRTUAL_DISK_PARAMETERS: createParameters,
  OPEN_VIRTUAL_DISK_PARAMETERS: openParameters,
  ATTACH_VIRTUAL_DISK_PARAMETERS: attachParameters,
  EXPAND_VIRTUAL_DISK_PARAMETERS: expandParameters,
  GET_VIRTUAL_DISK_INFO: diskInfo,
  GET_VIRTUAL_DISK_INFO_PARENT: parentInfo,
} = hostStructures;

/** Bytes of the longest path, with its end. */
const longestPathBytes = 65_536;

/** Longer chains of parents are circles. */
const longestChain = 256;

type OpenMode = "change" | "read" | "inspect";

class WindowsVirtualDisks implements VirtualDisks {
  readonly #machine: NativeMachine;
  readonly #virtdisk: NativeLibrary<typeof virtdiskFunctions>;
  readonly #storage: NativeLibrary<typeof computeStorageFunctions>;
  readonly #kernel: NativeLibrary<typeof kernelFunctions>;
  readonly #calls = new Calls();

  constructor(machine: NativeMachine, paths: LibraryPaths) {
    this.#machine = machine;
    this.#virtdisk = machine.library(paths.virtdisk, virtdiskFunctions);
    this.#storage = machine.library(paths.computestorage, computeStorageFunctions);
    this.#kernel = machine.library(paths.kernel32, kernelFunctions);
  }

  create(disk: NewDisk, signal?: AbortSignal): Promise<void> {
    const { path, size = 0, blockSize = 0, parent, source, fixed = false } = disk;
    const subject = { operation: "create virtual disk", id: path };
    return this.#begin(subject, signal, async () => {
      const type = storageTypeOf(subject, path);
      const flags = fixed ? createFlags.fullPhysicalAllocation : createFlags.none;
      const parameters = this.#withTexts(
        createParameters.encode({ Version: 2, MaximumSize: BigInt(size), BlockSizeInBytes: blockSize }),
        { [createParameters.offsets.ParentPath]: parent, [createParameters.offsets.SourcePath]: source },
      );
      const room = pointerRoom();
      checkAnswer(
        subject,
        await this.#virtdisk.run("CreateVirtualDisk", type, path, 0, null, flags, 0, parameters, null, room),
      );
      await this.#kernel.run("CloseHandle", room.readBigUInt64LE());
    });
  }

  expand(path: string, size: number, signal?: AbortSignal): Promise<void> {
    const subject = { operation: "expand virtual disk", id: path };
    const parameters = expandParameters.encode({ Version: 1, NewSize: BigInt(size) });
    return this.#with(subject, "change", signal, async (handle) => {
      checkAnswer(subject, await this.#virtdisk.run("ExpandVirtualDisk", handle, 0, parameters, null));
    });
  }

  attach(path: string, { readOnly }: { readonly readOnly: boolean }, signal?: AbortSignal): Promise<string> {
    const subject = { operation: "attach virtual disk", id: path };
    const parameters = attachParameters.encode({ Version: 1 });
    const flags = attachFlags.noDriveLetter | attachFlags.permanentLifetime | (readOnly ? attachFlags.readOnly : 0);
    const work = async (handle: bigint): Promise<string> => {
      checkAnswer(subject, await this.#virtdisk.run("AttachVirtualDisk", handle, null, flags, 0, parameters, null));
      try {
        return await this.#physicalPath(subject, handle);
      } catch (error) {
        await this.#virtdisk.run("DetachVirtualDisk", handle, 0, 0);
        throw error;
      }
    };
    return this.#with(subject, readOnly ? "read" : "change", signal, work, () => this.detach(path));
  }

  detach(path: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: "detach virtual disk", id: path };
    return this.#with(subject, "change", signal, async (handle) => {
      checkAnswer(subject, await this.#virtdisk.run("DetachVirtualDisk", handle, 0, 0));
    });
  }

  sizeOf(path: string, signal?: AbortSignal): Promise<VirtualDiskSize> {
    const subject = { operation: "measure virtual disk", id: path };
    return this.#with(subject, "inspect", signal, async (handle) => {
      const info = diskInfo.encode({ Version: infoVersions.size });
      checkAnswer(subject, await this.#information(handle, info));
      const { VirtualSize: virtualSize, PhysicalSize: physicalSize } = diskInfo.decode(info);
      return { virtualSize: Number(virtualSize), physicalSize: Number(physicalSize) };
    });
  }

  async chainOf(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    const chain = [path];
    for (let parent = await this.#parentOf(path, signal); parent !== undefined; ) {
      chain.push(parent);
      if (chain.length > longestChain) {
        const subject = { operation: "find parents of virtual disk", id: path };
        throw new HostError("FailedPrecondition", `it has more than ${longestChain} parents`, subject);
      }
      parent = await this.#parentOf(parent, signal);
    }
    return chain;
  }

  formatWritableLayer(path: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: "format writable layer", id: path };
    return this.#with(subject, "change", signal, async (handle) => {
      const hresult = await this.#storage.run("HcsFormatWritableLayerVhd", handle);
      if (failed(hresult)) throw refusal(subject, hresult);
    });
  }

  close(): Promise<void> {
    return this.#calls.end(hostClosed);
  }

  #parentOf(path: string, signal?: AbortSignal): Promise<string | undefined> {
    const subject = { operation: "find parent of virtual disk", id: path };
    return this.#with(subject, "inspect", signal, async (handle) => {
      const info = Buffer.alloc(parentInfo.size + longestPathBytes);
      info.writeUInt32LE(infoVersions.parentLocation, parentInfo.offsets.Version);
      const answer = await this.#information(handle, info);
      if (answer === errorVhdInvalidType) return undefined;
      checkAnswer(subject, answer);
      const location = firstText(info.subarray(parentInfo.offsets.ParentLocationBuffer));
      if (parentInfo.decode(info).ParentResolved !== 0) return location;
      throw new HostError("NotFound", `its parent ${location} does not exist`, subject);
    });
  }

  #information(handle: bigint, info: Buffer): Promise<number> {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(info.length);
    return this.#virtdisk.run("GetVirtualDiskInformation", handle, size, info, null);
  }

  async #physicalPath(subject: Subject, handle: bigint): Promise<string> {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(longestPathBytes);
    const path = Buffer.alloc(longestPathBytes);
    checkAnswer(subject, await this.#virtdisk.run("GetVirtualDiskPhysicalPath", handle, size, path));
    return firstText(path);
  }

  /** Opens a disk for the length of the work. */
  #with<Value>(
    subject: Subject,
    mode: OpenMode,
    signal: AbortSignal | undefined,
    work: (handle: bigint) => Promise<Value>,
    abandon?: () => Promise<void>,
  ): Promise<Value> {
    const opened = async (): Promise<Value> => {
      const parameters = openParameters.encode({
        Version: 2,
        GetInfoOnly: mode === "inspect" ? 1 : 0,
        ReadOnly: mode === "change" ? 0 : 1,
      });
      const room = pointerRoom();
      // Whatever kind of disk the file holds.
      const anyType = storageType.encode({});
      checkAnswer(subject, await this.#virtdisk.run("OpenVirtualDisk", anyType, subject.id, 0, 0, parameters, room));
      const handle = room.readBigUInt64LE();
      try {
        return await work(handle);
      } finally {
        await this.#kernel.run("CloseHandle", handle);
      }
    };
    return this.#begin(subject, signal, opened, abandon);
  }

  #begin<Value>(
    subject: Subject,
    signal: AbortSignal | undefined,
    work: () => Promise<Value>,
    abandon?: () => Promise<void>,
  ): Promise<Value> {
    return unlessAborted(signal, subject, () => this.#calls.call(subject, work), abandon);
  }

  /** The structure with texts behind it, in one piece of memory, and their addresses at the offsets of its pointers. */
  #withTexts(structure: Buffer, texts: { readonly [offset: number]: string | undefined }): Buffer {
    const present = Object.entries(texts).flatMap(([offset, text]) =>
      text === undefined ? [] : [{ offset: Number(offset), memory: wideText(text) }],
    );
    const whole = Buffer.concat([structure, ...present.map(({ memory }) => memory)]);
    let at = this.#machine.addressOf(whole) + BigInt(structure.length);
    for (const { offset, memory } of present) {
      whole.writeBigUInt64LE(at, offset);
      at += BigInt(memory.length);
    }
    return whole;
  }
}

function storageTypeOf(subject: Subject, path: string): Buffer {
  const kind = /\.a?(vhdx?)$/i.exec(path)?.[1]?.toLowerCase();
  if (kind !== "vhd" && kind !== "vhdx") {
    throw new HostError("InvalidArgument", "expected a name that ends with .vhd, .avhd, .vhdx or .avhdx", subject);
  }
  return storageType.encode({ DeviceId: storageDevices[kind], VendorId: microsoftVendor });
}

/** The text of UTF-16 that memory begins with. */
function firstText(memory: Buffer): string {
  const text = memory.toString("utf16le");
  const end = text.indexOf("\0");
  return end === -1 ? text : text.slice(0, end);
}

/** Throws where virtdisk.dll answered with an error: a number of winerror.h, or of the disks' own facility. */
function checkAnswer(subject: Subject, answer: number): void {
  if (answer === 0) return;
  const hresult = answer > 0xffff ? answer : (0x80070000 | answer) >>> 0;
  throw hostErrorOf({ hresult, message: "the host refused" }, subject);
}
