/** What comes from the host: its services, the emulated one, and files. */
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkComputeSystemDocument,
  checkComputeSystemProperties,
  checkHcnEndpoint,
  checkHcnNamespace,
  checkHcnNetwork,
  checkHostErrorDocument,
  checkModifySettingRequest,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from "@uvm-shim/hcs-schema";
import {
  checkEmulatedHostMessage,
  checkEmulatedHostRequest,
  emulatedHostMaximumLineBytes,
  JsonLines,
} from "@uvm-shim/host-protocol";
import { checkDeclaredDevices } from "@uvm-shim/host-protocol/declared-devices";
import { readElf } from "../../../../../packages/guest-agent/src/container/elf.ts";
import { withUserOf } from "../../../../../packages/guest-agent/src/container/users.ts";
import { requireOpenPolicy } from "../../../../../packages/guest-agent/src/policy/security-policy.ts";
import { readHashTree } from "../../../../../packages/guest-agent/src/policy/verity.ts";
import { parseMountOptions } from "../../../../../packages/guest-agent/src/storage/mount-options.ts";
import { parseMountPoints } from "../../../../../packages/hcs-bindings/src/host-files/posix.ts";
import {
  readCrash,
  readEnumeration,
  readExit,
  readProperties,
} from "../../../../../packages/hcs-bindings/src/windows/compute/system-documents.ts";
import { readHierarchies } from "../../../../../packages/host-emulator/src/process-guest/hierarchies.ts";
import { openDiskFile } from "../../../../../packages/host-emulator/src/system/disk-file.ts";
import { parsePartitions } from "../../../../../packages/host-emulator/src/system/partitions.ts";
import { readResourcePath } from "../../../../../packages/host-emulator/src/system/resource-path.ts";
import { readState } from "../../../../../packages/shim/src/program/state-file.ts";
import { parseMountinfo } from "../../../leaks/mountinfo.ts";
import { jsonSubject, type Subject, textSubject } from "../subject.ts";

let folder: string | undefined;

/** For the inputs of decoders that read a file; whoever runs them gives them a temporary folder, and removes it. */
function inputFolder(): string {
  folder ??= mkdtempSync(join(tmpdir(), "attack-"));
  return folder;
}

const guid = (digit: number): string => `${digit}`.repeat(8).concat("-1111-1111-1111-111111111111");
const endpoint = {
  ...{
    ID: guid(1),
    Name: "e",
    HostComputeNetwork: guid(2),
    HostComputeNamespace: guid(3),
    MacAddress: "00-11-22-33-44-55",
  },
  IpConfigurations: [{ IpAddress: "10.0.0.2", PrefixLength: 24 }],
  Routes: [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0", Metric: 1 }],
  Dns: { Domain: "d", Search: ["a"], ServerList: ["1.1.1.1"], Options: [] },
  Policies: [{ Type: "PortName", Settings: {} }],
  SchemaVersion: { Major: 2, Minor: 0 },
};
const machine = {
  Owner: "o",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    Chipset: { LinuxKernelDirect: { KernelFilePath: "/k", InitRdPath: "/i", KernelCmdLine: "quiet" } },
    ComputeTopology: { Memory: { SizeInMB: 512, AllowOvercommit: true }, Processor: { Count: 2, Limit: 1 } },
    Devices: {
      Scsi: { "0": { Attachments: { "0": { Path: "/d", Type: "VirtualDisk", ReadOnly: true } } } },
      Plan9: {},
    },
  },
};
const mounts = [
  "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
  "31 22 0:26 /a\\040b /mnt/with\\040space rw shared:5 master:1 - tmpfs none rw,size=1k",
  "40 31 0:30 /docker /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory",
  "41 31 0:31 / /sys/fs/cgroup ro - cgroup2 cgroup rw",
].join("\n");
const rego = Buffer.from(
  [
    "package policy",
    'api_version := "0.10.0"',
    'mount_device := {"allowed": true} # yes',
    'create_container := {"allowed": true, "env_list": null}',
  ].join("\n"),
);

function vhd(): Buffer {
  const footer = Buffer.alloc(1024);
  footer.write("conectix", 512, "latin1");
  footer.writeUInt32BE(2, 512 + 8);
  footer.writeUInt32BE(0x10000, 512 + 12);
  footer.writeBigUInt64BE(512n, 512 + 48);
  footer.writeUInt32BE(2, 512 + 60);
  return footer;
}

function bootRecord(): Buffer {
  const disk = Buffer.alloc(4096);
  disk.writeUInt16LE(0xaa55, 510);
  disk[446 + 4] = 0x83;
  disk.writeUInt32LE(1, 446 + 8);
  disk.writeUInt32LE(3, 446 + 12);
  disk[462 + 4] = 0x05;
  disk.writeUInt32LE(4, 462 + 8);
  disk.writeUInt32LE(2, 462 + 12);
  return disk;
}

function guidTable(): Buffer {
  const disk = Buffer.alloc(4096);
  disk.writeUInt16LE(0xaa55, 510);
  disk[446 + 4] = 0xee;
  disk.write("EFI PART", 512, "latin1");
  disk.writeUInt32LE(92, 512 + 12);
  disk.writeBigUInt64LE(2n, 512 + 72);
  disk.writeUInt32LE(4, 512 + 80);
  disk.writeUInt32LE(128, 512 + 84);
  disk.fill(1, 1024, 1056);
  disk.writeBigUInt64LE(3n, 1024 + 32);
  disk.writeBigUInt64LE(5n, 1024 + 40);
  return disk;
}

/** An ext4 super block of two blocks of 1 KiB, and the hash tree's behind it. */
function verity(): Buffer {
  const disk = Buffer.alloc(10_240);
  disk.writeUInt32LE(2, 1024 + 4);
  disk.writeUInt16LE(0xef53, 1024 + 0x38);
  disk.write("verity\0\0", 2048, "latin1");
  disk.writeUInt16LE(32, 2048 + 80);
  return disk;
}

function elf(): Buffer {
  const file = Buffer.alloc(256);
  file.write("\x7fELF\x02\x01\x01", "latin1");
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(0x3e, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  file.writeUInt32LE(3, 64);
  file.writeBigUInt64LE(200n, 72);
  file.writeBigUInt64LE(16n, 96);
  file.write("/lib/ld.so\0", 200, "latin1");
  return file;
}

/** A decoder that takes a path: the input stands in a file there. */
function fileSubject(
  name: string,
  seeds: Subject["seeds"],
  file: string,
  decode: (path: string) => unknown,
  refusals: readonly string[] = [],
): Subject {
  // Opened once: opening it each time would take longer than most decoders.
  let descriptor: number | undefined;
  return {
    ...{ name, seeds, refusals },
    decode: (input) => {
      const path = join(inputFolder(), name, file);
      descriptor ??= openInput(path);
      ftruncateSync(descriptor, 0);
      writeSync(descriptor, input, 0, input.length, 0);
      return decode(path);
    },
  };
}

function openInput(path: string): number {
  mkdirSync(join(path, ".."), { recursive: true });
  return openSync(path, "w");
}

function allOf(checks: readonly ((value: unknown) => unknown)[]): (value: unknown) => void {
  return (value) => {
    for (const check of checks) {
      try {
        check(value);
      } catch (error) {
        if ((error as Error).name !== "SchemaError") throw error;
      }
    }
  };
}

export const hostSubjects: readonly Subject[] = [
  {
    name: "emulated-host-lines",
    seeds: [
      Buffer.from(
        `{"kind":"result","id":1,"result":{}}\n{"kind":"error","id":2,"error":{"hresult":2147500037,"message":"m","events":["e"]}}\n`,
      ),
    ],
    refusals: ["RangeError"],
    decode: (input) => {
      const lines = new JsonLines(Math.min(emulatedHostMaximumLineBytes, 32_768));
      for (let at = 0; at < input.length; at += 53) lines.push(input.subarray(at, at + 53));
    },
  },
  jsonSubject(
    "emulated-host-messages",
    [
      { kind: "result", id: 1, result: { a: 1 } },
      { kind: "error", id: 2, error: { hresult: 0x80004005, message: "m", events: ["e"] } },
      { kind: "exited", handle: 1, status: { Status: 0, ExitType: "GracefulExit", Attribution: [{ GuestCrash: {} }] } },
      { kind: "crashed", handle: 1, report: { SystemId: "s", CrashLog: "l" } },
    ],
    checkEmulatedHostMessage,
  ),
  jsonSubject(
    "emulated-host-requests",
    [
      { id: 1, call: "createComputeSystem", arguments: { id: "s", document: machine } },
      {
        id: 2,
        call: "modifyComputeSystem",
        arguments: { handle: 1, request: { ResourcePath: "p", RequestType: "Add", Settings: {} } },
      },
      { id: 3, call: "hello", arguments: { version: 1 } },
    ],
    checkEmulatedHostRequest,
  ),
  jsonSubject("compute-systems", [machine], checkComputeSystemDocument),
  jsonSubject(
    "host-answers",
    [
      { Id: "s", SystemType: "VirtualMachine", Owner: "o", RuntimeId: guid(1), State: "Running" },
      { Error: 1, ErrorMessage: "m", ErrorEvents: [{ Message: "e" }] },
    ],
    allOf([
      checkComputeSystemProperties,
      checkHostErrorDocument,
      checkModifySettingRequest,
      readProperties,
      readEnumeration,
    ]),
  ),
  textSubject(
    "host-exits",
    [
      '{"Status":0,"ExitType":"GracefulExit","Attribution":[{"SystemExit":{"Detail":"x"}}]}',
      '{"SystemId":"s","CrashLog":"l"}',
    ],
    (text) => {
      for (const read of [readExit, readCrash]) {
        try {
          read(text);
        } catch (error) {
          if (!["SchemaError", "SyntaxError", "HostError"].includes((error as Error).name)) throw error;
        }
      }
    },
  ),
  jsonSubject("network-answers", [endpoint], allOf([checkHcnEndpoint, checkHcnNetwork, checkHcnNamespace])),
  jsonSubject(
    "declared-devices",
    [{ devices: [{ instancePath: "PCIP\\VEN_1", functions: [{ index: 0, nodes: ["/dev/null"] }] }] }, machine],
    checkDeclaredDevices,
  ),
  textSubject(
    "addresses",
    ["10.0.0.1/24", "fe80::1", "::ffff:1.2.3.4/96", "00-11-22-33-44-55", "00:11:22:33:44:55"],
    (text) => {
      parseIpAddress(text);
      parseIpPrefix(text);
      parseMacAddress(text);
    },
  ),
  textSubject(
    "resource-paths",
    [
      "VirtualMachine/Devices/Scsi/0110f83b-de10-5172-a266-78bca56bf50a/Attachments/5",
      "VirtualMachine/ComputeTopology/Memory/SizeInMB",
    ],
    readResourcePath,
    ["HcsFailure"],
  ),
  textSubject("mountinfo", [mounts], (text) => {
    parseMountPoints(text);
    readHierarchies(text);
    parseMountinfo(text);
  }),
  textSubject(
    "mount-options",
    ["ro,nosuid,size=5,mode=755", "rbind\0rslave"],
    (text) => parseMountOptions(text.split(",")),
    ["GuestFault"],
  ),
  {
    name: "security-policy",
    seeds: [rego],
    refusals: ["GuestFault"],
    decode: (input) => requireOpenPolicy({ EnforcerType: "rego", EncodedSecurityPolicy: input.toString("base64") }),
  },
  {
    name: "partitions",
    seeds: [bootRecord(), guidTable()],
    refusals: [],
    decode: (input) => parsePartitions((position, length) => input.subarray(position, position + length), input.length),
  },
  fileSubject(
    "state-file",
    [
      { kind: "serving", id: "i", namespace: "n", socket: "s", pid: 5, processStartTime: "7" },
      { kind: "starting", id: "i", namespace: "n", socket: "s" },
    ],
    "uvm-shim.json",
    (path) => readState(join(path, "..")),
  ),
  fileSubject(
    "disk-footers",
    [vhd()],
    "disk.vhd",
    (path) => openDiskFile({ Path: path, Type: "VirtualDisk", ReadOnly: true }, "Settings"),
    ["HcsFailure"],
  ),
  fileSubject("verity", [verity()], "disk", readHashTree, ["GuestFault"]),
  fileSubject("elf", [elf()], "program", (path) => {
    const file = openSync(path, "r");
    try {
      return readElf(file);
    } finally {
      closeSync(file);
    }
  }),
  fileSubject(
    "users",
    [Buffer.from("root:x:0:0:root:/root:/bin/sh\nu:x:7:8::/:\n"), Buffer.from("#c\nu:x:4294967296:1\n")],
    "etc/passwd",
    (path) => withUserOf(join(path, "..", ".."), { cwd: "/", user: { uid: 0, gid: 0, username: "u" } }),
    ["GuestFault"],
  ),
];
