import { hostStructures } from "../../windows/native/host-structures.ts";
import { errorVhdInvalidType, infoVersions, setInfoVersions } from "../../windows/native/virtdisk-constants.ts";
import type { FakeDll, FakeMachine } from "./fake-machine.ts";

/** A virtual disk of the fake. */
export interface FakeDisk {
  size: number;
  readonly device: number;
  readonly fixed: boolean;
  readonly parent?: string;
  readonly source?: string;
  attached?: "read-only" | "writable";
  formatted?: true;
  identifier?: string;
}

const {
  VIRTUAL_STORAGE_TYPE: storageType,
  CREATE_VIRTUAL_DISK_PARAMETERS: createParameters,
  EXPAND_VIRTUAL_DISK_PARAMETERS: expandParameters,
  SET_VIRTUAL_DISK_INFO: newInfo,
  GET_VIRTUAL_DISK_INFO: diskInfo,
  GET_VIRTUAL_DISK_INFO_PARENT: parentInfo,
} = hostStructures;

const errorFileNotFound = 2;
const errorFileExists = 80;
const errorInvalidParameter = 87;

/** virtdisk.dll and computestorage.dll: disks by path. */
export class FakeVirtualDisks {
  readonly disks = new Map<string, FakeDisk>();
  readonly open = new Map<bigint, FakeDisk>();
  readonly #machine: FakeMachine;
  readonly #files: { hasFile(path: string): boolean };

  constructor(machine: FakeMachine, files: { hasFile(path: string): boolean }) {
    this.#machine = machine;
    this.#files = files;
  }

  leftovers(): readonly string[] {
    return [...this.open.keys()].map((handle) => `disk ${handle}`);
  }

  get storageFunctions(): FakeDll {
    return {
      HcsFormatWritableLayerVhd: (handle: bigint) => {
        this.#on(handle).formatted = true;
        return 0;
      },
    };
  }

  get functions(): FakeDll {
    return {
      CreateVirtualDisk: (
        type: Buffer,
        path: string,
        _access: number,
        _security: null,
        flags: number,
        _provider: number,
        parameters: Buffer,
        _overlapped: null,
        output: Buffer,
      ) => {
        if (this.disks.has(path)) return errorFileExists;
        const { MaximumSize, ParentPath, SourcePath } = createParameters.decode(parameters);
        const disk: FakeDisk = {
          size: Number(MaximumSize),
          device: storageType.decode(type).DeviceId,
          fixed: flags === 1,
          ...(ParentPath !== 0n && { parent: this.#machine.readText(ParentPath) }),
          ...(SourcePath !== 0n && { source: this.#machine.readText(SourcePath) }),
        };
        this.disks.set(path, disk);
        return this.#open(disk, output);
      },
      OpenVirtualDisk: (_type: Buffer, path: string, _access: number, _flags: number, _how: Buffer, output: Buffer) => {
        const disk = this.disks.get(path) ?? this.#adopt(path);
        return disk === undefined ? errorFileNotFound : this.#open(disk, output);
      },
      ExpandVirtualDisk: (handle: bigint, _flags: number, parameters: Buffer) => {
        this.#on(handle).size = Number(expandParameters.decode(parameters).NewSize);
        return 0;
      },
      AttachVirtualDisk: (handle: bigint, _security: null, flags: number) => {
        this.#on(handle).attached = (flags & 1) === 1 ? "read-only" : "writable";
        return 0;
      },
      DetachVirtualDisk: (handle: bigint) => {
        delete this.#on(handle).attached;
        return 0;
      },
      GetVirtualDiskPhysicalPath: (_handle: bigint, _size: Buffer, path: Buffer) => {
        path.write("\\\\.\\PhysicalDrive7\0", "utf16le");
        return 0;
      },
      SetVirtualDiskInformation: (handle: bigint, info: Buffer) => {
        const disk = this.#on(handle);
        const { Version, VirtualDiskId } = newInfo.decode(info);
        if (Version !== (disk.device === 3 ? setInfoVersions.vhdx : setInfoVersions.vhd)) return errorInvalidParameter;
        disk.identifier = VirtualDiskId;
        return 0;
      },
      GetVirtualDiskInformation: (handle: bigint, _size: Buffer, info: Buffer) => {
        const { size, parent } = this.#on(handle);
        if (info.readUInt32LE() === infoVersions.size) {
          const sizes = { Version: infoVersions.size, VirtualSize: BigInt(size), PhysicalSize: 4096n };
          diskInfo.encode(sizes).copy(info);
          return 0;
        }
        if (parent === undefined) return errorVhdInvalidType;
        parentInfo.encode({ Version: 3, ParentResolved: this.disks.has(parent) ? 1 : 0 }).copy(info);
        info.write(`${parent}\0`, parentInfo.offsets.ParentLocationBuffer, "utf16le");
        return 0;
      },
    };
  }

  /** A disk that a test has made as a file. */
  #adopt(path: string): FakeDisk | undefined {
    if (!this.#files.hasFile(path)) return undefined;
    const disk: FakeDisk = { size: 1 << 20, device: path.endsWith("x") ? 3 : 2, fixed: false };
    this.disks.set(path, disk);
    return disk;
  }

  #on(handle: bigint): FakeDisk {
    const disk = this.open.get(handle);
    if (disk === undefined) throw new Error(`${handle} is not a handle of a disk`);
    return disk;
  }

  #open(disk: FakeDisk, output: Buffer): number {
    const handle = this.#machine.newAddress();
    this.open.set(handle, disk);
    output.writeBigUInt64LE(handle);
    return 0;
  }
}
