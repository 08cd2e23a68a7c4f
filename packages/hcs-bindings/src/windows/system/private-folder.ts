import { HostError } from "../../host-error.ts";
import { invalidHandle, type Kernel } from "../io/completion-port.ts";
import type { folderFunctions, folderSecurityFunctions } from "../native/folder-functions.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError, windowsErrors } from "../native/windows-error.ts";
import { type Security, withSecurity } from "./security-descriptor.ts";
import { userOf } from "./vm-memory.ts";

/** Full access for Administrators and SYSTEM only, to what is in the folder too; in SDDL. */
const administratorsInherited = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";

const READ_CONTROL = 0x2_0000;
const WRITE_DAC = 0x4_0000;
const FILE_READ_ATTRIBUTES = 0x80;
const FILE_SHARE_READ = 0x1;
const FILE_SHARE_WRITE = 0x2;
const OPEN_EXISTING = 3;
const FILE_FLAG_BACKUP_SEMANTICS = 0x200_0000;
const FILE_FLAG_OPEN_REPARSE_POINT = 0x20_0000;
const FILE_ATTRIBUTE_DIRECTORY = 0x10;
const FILE_ATTRIBUTE_REPARSE_POINT = 0x400;
const FileAttributeTagInfo = 9;
const SE_FILE_OBJECT = 1;
const OWNER_SECURITY_INFORMATION = 0x1;
const DACL_SECURITY_INFORMATION = 0x4;
const PROTECTED_DACL_SECURITY_INFORMATION = 0x8000_0000;
/** What GetCurrentProcess answers. */
const thisProcess = 0xffff_ffff_ffff_ffffn;

const { FILE_ATTRIBUTE_TAG_INFO: tagInfo } = systemStructures;

/** Bytes of a SID before its sub-authorities. */
const sidHead = 8;
/** BUILTIN\Administrators and NT AUTHORITY\SYSTEM. */
const trusted: readonly Buffer[] = [sid(32, 544), sid(18)];

/** What the making of folders needs of Windows. */
export interface FolderSystem {
  readonly machine: NativeMachine;
  readonly kernel: Kernel;
  readonly security: Security;
  readonly folders: NativeLibrary<typeof folderFunctions>;
  readonly owners: NativeLibrary<typeof folderSecurityFunctions>;
}

/**
 * Makes a folder that only Administrators and SYSTEM can use, in one that exists. One that is there already gets their
 * access list, if it belongs to them or to this process's user; PermissionDenied if it does not, or is a link: whoever
 * made it could change what is in it.
 */
export function makePrivateFolder(system: FolderSystem, folder: string): void {
  const { kernel, security, folders } = system;
  const made = withSecurity(kernel, security, administratorsInherited, (attributes) =>
    folders.call("CreateDirectoryW", folder, attributes),
  );
  if (made !== 0) return;
  const error = kernel.call("GetLastError");
  if (error !== windowsErrors.ERROR_ALREADY_EXISTS) throw new WindowsError("CreateDirectory", error);
  takeOver(system, folder);
}

/** By the handle that was checked: its name may have become that of another. */
function takeOver(system: FolderSystem, folder: string): void {
  const { kernel } = system;
  const refuse = (what: string): HostError =>
    new HostError("PermissionDenied", what, { operation: "make private folder", id: folder });
  const handle = kernel.call(
    "CreateFileW",
    folder,
    READ_CONTROL | WRITE_DAC | FILE_READ_ATTRIBUTES,
    FILE_SHARE_READ | FILE_SHARE_WRITE,
    null,
    OPEN_EXISTING,
    FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT,
    null,
  );
  if (handle === invalidHandle) throw new WindowsError("CreateFile", kernel.call("GetLastError"));
  try {
    const attributes = attributesOf(system, handle);
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) === 0) throw refuse("it is a file: remove it");
    if ((attributes & FILE_ATTRIBUTE_REPARSE_POINT) !== 0) throw refuse("it is a link to another folder: remove it");
    const owner = ownerOf(system, handle);
    const own = userOf(system, thisProcess);
    if (![...trusted, ...(own === undefined ? [] : [own])].some((each) => each.equals(owner))) {
      throw refuse(`it belongs to ${sidText(owner)}, expected Administrators or SYSTEM: remove it`);
    }
    restrict(system, handle);
  } finally {
    kernel.call("CloseHandle", handle);
  }
}

function attributesOf({ kernel, folders }: FolderSystem, handle: bigint): number {
  const info = tagInfo.encode({});
  if (folders.call("GetFileInformationByHandleEx", handle, FileAttributeTagInfo, info, info.length) === 0) {
    throw new WindowsError("GetFileInformationByHandleEx", kernel.call("GetLastError"));
  }
  return tagInfo.decode(info).FileAttributes;
}

function ownerOf({ kernel, machine, owners }: FolderSystem, handle: bigint): Buffer {
  const [owner, descriptor] = [Buffer.alloc(8), Buffer.alloc(8)];
  const what = OWNER_SECURITY_INFORMATION;
  const error = owners.call("GetSecurityInfo", handle, SE_FILE_OBJECT, what, owner, null, null, null, descriptor);
  if (error !== 0) throw new WindowsError("GetSecurityInfo", error);
  try {
    const address = owner.readBigUInt64LE();
    const subAuthorities = machine.readBytes(address, sidHead)[1] ?? 0;
    return machine.readBytes(address, sidHead + subAuthorities * 4);
  } finally {
    kernel.call("LocalFree", descriptor.readBigUInt64LE());
  }
}

function restrict({ kernel, security, owners }: FolderSystem, handle: bigint): void {
  withSecurity(kernel, security, administratorsInherited, (attributes) => {
    const descriptor = systemStructures.SECURITY_ATTRIBUTES.decode(attributes).lpSecurityDescriptor;
    const [isPresent, list, isDefault] = [Buffer.alloc(4), Buffer.alloc(8), Buffer.alloc(4)];
    if (owners.call("GetSecurityDescriptorDacl", descriptor, isPresent, list, isDefault) === 0) {
      throw new WindowsError("GetSecurityDescriptorDacl", kernel.call("GetLastError"));
    }
    const what = (DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION) >>> 0;
    const access = list.readBigUInt64LE();
    const error = owners.call("SetSecurityInfo", handle, SE_FILE_OBJECT, what, null, null, access, null);
    if (error !== 0) throw new WindowsError("SetSecurityInfo", error);
  });
}

/** A SID of the NT authority. */
function sid(...subAuthorities: readonly number[]): Buffer {
  const bytes = Buffer.alloc(sidHead + subAuthorities.length * 4);
  bytes.set([1, subAuthorities.length, 0, 0, 0, 0, 0, 5]);
  for (const [index, value] of subAuthorities.entries()) bytes.writeUInt32LE(value, sidHead + index * 4);
  return bytes;
}

function sidText(bytes: Buffer): string {
  const count = (bytes.length - sidHead) / 4;
  const parts = Array.from({ length: count }, (_, index) => bytes.readUInt32LE(sidHead + index * 4));
  return ["S", bytes[0], bytes.readUIntBE(2, 6), ...parts].join("-");
}
