import { beforeEach, describe, expect, it } from "vitest";
import { FakeMachine } from "../../testing/windows/fake-machine.ts";
import { folderFunctions, folderSecurityFunctions } from "../native/folder-functions.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import { systemStructures } from "../native/system-structures.ts";
import { makePrivateFolder } from "./private-folder.ts";

const { FILE_ATTRIBUTE_TAG_INFO: tagInfo, SECURITY_ATTRIBUTES: attributes, TOKEN_USER: tokenUser } = systemStructures;
const folder = String.raw`C:\ProgramData\uvm-shim`;
const access = "D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)";
const directory = 0x10;
const reparsePoint = 0x400;

const sid = (...parts: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(8 + parts.length * 4);
  bytes.set([1, parts.length, 0, 0, 0, 0, 0, 5]);
  for (const [index, part] of parts.entries()) bytes.writeUInt32LE(part, 8 + index * 4);
  return bytes;
};
const administrators = sid(32, 544);
const system = sid(18);
const self = sid(21, 1, 2, 3, 500);
const other = sid(21, 1, 2, 3, 1001);

/** A file system of one folder. */
class FakeFolder {
  readonly machine: FakeMachine;
  present: { readonly owner: Buffer; readonly attributes: number } | undefined;
  /** In SDDL. */
  access: string | undefined;
  readonly handles = new Set<bigint>();
  error = 183;

  constructor() {
    this.machine = new FakeMachine((machine) => ({
      kernel32: {
        GetLastError: () => this.error,
        LocalFree: (address: bigint) => {
          machine.freeText("system", address);
          return 0n;
        },
        CloseHandle: (handle: bigint) => Number(this.handles.delete(handle)),
        CreateDirectoryW: (_path: string, given: Buffer) => {
          if (this.present !== undefined) return 0;
          this.access = machine.readText(attributes.decode(given).lpSecurityDescriptor);
          return 1;
        },
        CreateFileW: () => {
          const handle = machine.newAddress();
          this.handles.add(handle);
          return handle;
        },
        GetFileInformationByHandleEx: (_handle: bigint, _kind: number, into: Buffer) => {
          tagInfo.encode({ FileAttributes: this.present?.attributes ?? 0 }).copy(into);
          return 1;
        },
      },
      advapi32: {
        ConvertStringSecurityDescriptorToSecurityDescriptorW: (text: string, _revision: number, found: Buffer) => {
          found.writeBigUInt64LE(machine.giveText("system", text));
          return 1;
        },
        OpenProcessToken: (_process: bigint, _access: number, found: Buffer) => {
          const token = machine.newAddress();
          this.handles.add(token);
          found.writeBigUInt64LE(token);
          return 1;
        },
        GetTokenInformation: (_token: bigint, _kind: number, into: Buffer, _size: number, length: Buffer) => {
          self.copy(into, tokenUser.size);
          length.writeUInt32LE(tokenUser.size + self.length);
          return 1;
        },
        GetSecurityInfo: (...given: readonly unknown[]) => {
          const [, , , owner, , , , descriptor] = given as readonly Buffer[];
          owner?.writeBigUInt64LE(machine.addressOf(this.present?.owner ?? other));
          descriptor?.writeBigUInt64LE(machine.giveText("system", "owner"));
          return 0;
        },
        GetSecurityDescriptorDacl: (descriptor: bigint, _present: Buffer, list: Buffer) => {
          list.writeBigUInt64LE(descriptor);
          return 1;
        },
        SetSecurityInfo: (...given: readonly unknown[]) => {
          this.access = machine.readText(given[5] as bigint);
          return 0;
        },
      },
    }));
  }

  make(): void {
    const { machine } = this;
    const kernel = machine.library("kernel32", kernelFunctions);
    const security = machine.library("advapi32", securityFunctions);
    const folders = machine.library("kernel32", folderFunctions);
    const owners = machine.library("advapi32", folderSecurityFunctions);
    try {
      makePrivateFolder({ machine, kernel, security, folders, owners }, folder);
    } finally {
      expect([...this.handles, ...machine.leftovers()]).toEqual([]);
    }
  }
}

let on: FakeFolder;
beforeEach(() => {
  on = new FakeFolder();
});

describe("a private folder", () => {
  it("is made with access for Administrators and SYSTEM alone", () => {
    on.make();
    expect(on.access).toBe(access);
  });

  it.each([
    ["Administrators", administrators],
    ["SYSTEM", system],
    ["this process's user", self],
  ])("that is there and belongs to %s gets that access", (_who, owner) => {
    on.present = { owner, attributes: directory };
    on.make();
    expect(on.access).toBe(access);
  });

  it.each([
    ["another user's", other, directory, "it belongs to S-1-5-21-1-2-3-1001, expected Administrators or SYSTEM"],
    ["a link", administrators, directory | reparsePoint, "it is a link to another folder"],
    ["a file", administrators, 0x20, "it is a file"],
  ])("is refused, and left as it is, if it is %s", (_what, owner, flags, message) => {
    on.present = { owner, attributes: flags };
    expect(() => on.make()).toThrow(expect.objectContaining({ code: "PermissionDenied" }));
    expect(() => on.make()).toThrow(`make private folder ${folder}: ${message}`);
    expect(on.access).toBeUndefined();
  });

  it("is not there if it cannot be made", () => {
    on.error = 3;
    on.present = { owner: self, attributes: directory };
    expect(() => on.make()).toThrow("CreateDirectory");
  });
});
