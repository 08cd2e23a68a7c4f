import { HostError, hostErrorOf } from "../host-error.ts";
import { callError, failed, guidOf, type Subject, unlessAborted } from "./compute/call-results.ts";
import { hostClosed } from "./native/close-reason.ts";
import { computeStorageFunctions } from "./native/computestorage-functions.ts";
import { hostStructures } from "./native/host-structures.ts";
import { kernelFunctions } from "./native/kernel-functions.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "./native/native-types.ts";
import { outputPointer } from "./native/output-parameters.ts";
import { PendingCalls } from "./native/pending-calls.ts";
import { firstText, wideText } from "./native/structures.ts";
import {
  attachFlags,
  createFlags,
  errorVhdInvalidType,
  infoVersions,
  microsoftVendor,
  setInfoVersions,
  storageDevices,
} from "./native/virtdisk-constants.ts";
import { virtdiskFunctions } from "./native/virtdisk-functions.ts";

/** A virtual disk to be made; the ending of its path decides its format. */
export interface NewDisk {
  readonly path: string;
  /** Bytes; by default the size of the parent or source. */
  readonly size?: number;
  /** Bytes of a block of a dynamic disk; by default that of the format. */
  readonly blockSize?: number;
  /** Parent of a differencing disk. */
  readonly parent?: string;
  /** The disk to copy. Its unused blocks take no space in the copy. */
  readonly source?: string;
  /** Whether the file is allocated in full at creation. */
  readonly fixed?: boolean;
}

/** The sizes of a virtual disk. */
export interface VirtualDiskSize {
  /** Bytes of the disk. */
  readonly virtualSize: number;
  /** Bytes of its file. */
  readonly physicalSize: number;
}

/**
 * Virtual disks by the paths of their files: `.vhdx` and `.avhdx` are VHDX, `.vhd` and `.avhd` are VHD. A disk stays
 * attached until it is detached, even if the process that attached it ends.
 */
export interface VirtualDisks {
  create(disk: NewDisk, signal?: AbortSignal): Promise<void>;
  /** `size` must not be smaller than the current size. */
  expand(path: string, size: number, signal?: AbortSignal): Promise<void>;
  /** Attaches the disk to the host without a drive letter; returns the path of the device. */
  attach(path: string, options: { readonly readOnly: boolean }, signal?: AbortSignal): Promise<string>;
  detach(path: string, signal?: AbortSignal): Promise<void>;
  sizeOf(path: string, signal?: AbortSignal): Promise<VirtualDiskSize>;
  /** Writes the id by which a guest recognises the disk, a GUID. */
  setIdentifier(path: string, id: string, signal?: AbortSignal): Promise<void>;
  /** Paths of a disk and its parents, nearest first. */
  chainOf(path: string, signal?: AbortSignal): Promise<readonly string[]>;
  /** Creates and formats the partition of a writable layer on a detached disk. */
  formatWritableLayer(path: string, signal?: AbortSignal): Promise<void>;
  /** Resolves when all calls have returned. */
  close(): Promise<void>;
}

/** The virtual disks of Windows, by virtdisk.dll and computestorage.dll. */
export function virtualDisks(machine: NativeMachine, paths: LibraryPaths): VirtualDisks {
  return new WindowsVirtualDisks(machine, paths);
}

const {
  VIRTUAL_STORAGE_TYPE: storageType,
  CREATE_VIRTUAL_DISK_PARAMETERS: createParameters,
  OPEN_VIRTUAL_DISK_PARAMETERS: openParameters,
  ATTACH_VIRTUAL_DISK_PARAMETERS: attachParameters,
  EXPAND_VIRTUAL_DISK_PARAMETERS: expandParameters,
  SET_VIRTUAL_DISK_INFO: newInfo,
  GET_VIRTUAL_DISK_INFO: diskInfo,
  GET_VIRTUAL_DISK_INFO_PARENT: parentInfo,
} = hostStructures;

/** Bytes of the longest path, with its terminator. */
const longestPathBytes = 65_536;

/** A longer chain of parents must be a circle. */
const longestChain = 256;

type OpenMode = "change" | "read" | "inspect";

class WindowsVirtualDisks implements VirtualDisks {
  readonly #machine: NativeMachine;
  readonly #virtdisk: NativeLibrary<typeof virtdiskFunctions>;
  readonly #storage: NativeLibrary<typeof computeStorageFunctions>;
  readonly #kernel: NativeLibrary<typeof kernelFunctions>;
  readonly #calls = new PendingCalls();

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
      const output = outputPointer();
      checkAnswer(
        subject,
        await this.#virtdisk.run("CreateVirtualDisk", type, path, 0, null, flags, 0, parameters, null, output),
      );
      await this.#kernel.run("CloseHandle", output.readBigUInt64LE());
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

  setIdentifier(path: string, id: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: "set identifier of virtual disk", id: path };
    return this.#with(subject, "change", signal, async (handle) => {
      guidOf(subject, id);
      const Version = setInfoVersions[kindOf(subject, path)];
      const information = newInfo.encode({ Version, VirtualDiskId: id });
      checkAnswer(subject, await this.#virtdisk.run("SetVirtualDiskInformation", handle, information));
    });
  }

  async chainOf(path: string, signal?: AbortSignal): Promise<readonly string[]> {
    const chain = [path];
    for (let parent = await this.#parentOf(path, signal); parent !== undefined; ) {
      chain.push(parent);
      if (chain.length > longestChain) {
        const subject = { operation: "find parents of virtual disk", id: path };
        throw new HostError(
          "FailedPrecondition",
          `invalid chain of parents: expected at most ${longestChain}`,
          subject,
        );
      }
      parent = await this.#parentOf(parent, signal);
    }
    return chain;
  }

  formatWritableLayer(path: string, signal?: AbortSignal): Promise<void> {
    const subject = { operation: "format writable layer", id: path };
    return this.#with(subject, "change", signal, async (handle) => {
      const hresult = await this.#storage.run("HcsFormatWritableLayerVhd", handle);
      if (failed(hresult)) throw callError(subject, hresult);
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
      throw new HostError("NotFound", `parent ${location} does not exist`, subject);
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

  /** Opens a disk for the duration of the work. */
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
      const output = outputPointer();
      // Accepts any type of disk.
      const anyType = storageType.encode({});
      checkAnswer(subject, await this.#virtdisk.run("OpenVirtualDisk", anyType, subject.id, 0, 0, parameters, output));
      const handle = output.readBigUInt64LE();
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

  /** Appends texts to a structure in one buffer, and writes their addresses to its pointers. */
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
  return storageType.encode({ DeviceId: storageDevices[kindOf(subject, path)], VendorId: microsoftVendor });
}

function kindOf(subject: Subject, path: string): keyof typeof storageDevices {
  const kind = /\.a?(vhdx?)$/i.exec(path)?.[1]?.toLowerCase();
  if (kind !== "vhd" && kind !== "vhdx") {
    throw new HostError(
      "InvalidArgument",
      "invalid file name: expected extension .vhd, .avhd, .vhdx or .avhdx",
      subject,
    );
  }
  return kind;
}

/** Throws for an error of virtdisk.dll: a number of winerror.h, or an HRESULT of the virtual disk facility. */
function checkAnswer(subject: Subject, answer: number): void {
  if (answer === 0) return;
  const hresult = answer > 0xffff ? answer : (0x80070000 | answer) >>> 0;
  throw hostErrorOf({ hresult, message: "the host rejected the call" }, subject);
}
