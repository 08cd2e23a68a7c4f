import { beforeEach, expect, it } from "vitest";
import { type FakeDll, FakeMachine } from "../../testing/windows/fake-machine.ts";
import { kernelFunctions, securityFunctions } from "../native/kernel-functions.ts";
import { systemStructures } from "../native/system-structures.ts";
import { type MemorySystem, virtualMachineSid, workingSetOf } from "./vm-memory.ts";

const vm = "0a0b0c0d-1112-4344-8586-0102030405ff";
const other = "0a0b0c0d-1112-4344-8586-010203040500";
const { PROCESS_MEMORY_COUNTERS: counters, TOKEN_USER: tokenUser } = systemStructures;

interface FakeProcess {
  readonly image: string;
  /** Undefined for a process that cannot be opened. */
  readonly user: Buffer | undefined;
  readonly workingSet: bigint;
}

let processes: FakeProcess[];
let open: Set<bigint>;
let answers: { readonly memory: number; readonly list: number };
let system: MemorySystem;

const firstPid = 4;
const processOf = (handle: bigint): FakeProcess | undefined => processes[Number(handle % 0x10000n) - firstPid];

beforeEach(() => {
  open = new Set();
  answers = { memory: 1, list: 1 };
  const opened = (handle: bigint): bigint => {
    open.add(handle);
    return handle;
  };
  const kernel32: FakeDll = {
    GetLastError: () => 5,
    CloseHandle: (handle: bigint) => (open.delete(handle) ? 1 : 0),
    OpenProcess: (_access: number, _inherit: number, id: number) => {
      return processes[id - firstPid]?.user === undefined ? 0n : opened(BigInt(id));
    },
    K32EnumProcesses: (ids: Buffer, capacity: number, needed: Buffer) => {
      const bytes = Math.min(capacity, processes.length * 4);
      for (let at = 0; at < bytes; at += 4) ids.writeUInt32LE(at / 4 + firstPid, at);
      needed.writeUInt32LE(bytes);
      return answers.list;
    },
    QueryFullProcessImageNameW: (handle: bigint, _format: number, path: Buffer, length: Buffer) => {
      const { image = "" } = processOf(handle) ?? {};
      length.writeUInt32LE(path.write(image, "utf16le") / 2);
      return image === "" ? 0 : 1;
    },
    K32GetProcessMemoryInfo: (handle: bigint, memory: Buffer) => {
      counters.encode({ WorkingSetSize: processOf(handle)?.workingSet ?? 0n }).copy(memory);
      return answers.memory;
    },
  };
  const advapi32: FakeDll = {
    OpenProcessToken: (handle: bigint, _access: number, token: Buffer) => {
      token.writeBigUInt64LE(opened(handle + 0x10000n));
      return 1;
    },
    GetTokenInformation: (token: bigint, _kind: number, user: Buffer, _room: number, length: Buffer) => {
      const sid = processOf(token)?.user ?? Buffer.alloc(0);
      length.writeUInt32LE(tokenUser.size + sid.copy(user, tokenUser.size));
      return 1;
    },
  };
  const machine = new FakeMachine(() => ({ kernel32, advapi32 }));
  system = {
    kernel: machine.library("kernel32", kernelFunctions),
    security: machine.library("advapi32", securityFunctions),
  };
  const sid = virtualMachineSid(vm);
  processes = [
    { image: "C:\\Windows\\System32\\svchost.exe", user: Buffer.alloc(12), workingSet: 1n },
    { image: "vmmem", user: undefined, workingSet: 2n },
    { image: "", user: sid, workingSet: 3n },
    { image: "C:\\Windows\\System32\\vmwp.exe", user: sid, workingSet: 4n },
    { image: "vmmem", user: virtualMachineSid(other), workingSet: 5n },
    { image: "VmMem", user: sid, workingSet: 6_000_000_000n },
  ];
});

it("is the working set of the VM's own vmmem process", async () => {
  expect(await workingSetOf(system, vm)).toBe(6_000_000_000);
  expect(await workingSetOf(system, other)).toBe(5);
  expect(open).toEqual(new Set());
});

it("is found among more processes than the first buffer holds", async () => {
  const some = { image: "C:\\some.exe", user: Buffer.alloc(12), workingSet: 1n };
  processes.unshift(...Array.from({ length: 3000 }, () => some));
  expect(await workingSetOf(system, vm)).toBe(6_000_000_000);
});

it("is NotFound for a VM without such a process, and no handle stays open on any failure", async () => {
  processes.pop();
  await expect(workingSetOf(system, vm)).rejects.toMatchObject({ code: "NotFound", id: vm });
  answers = { memory: 0, list: 1 };
  await expect(workingSetOf(system, other)).rejects.toThrow("GetProcessMemoryInfo");
  answers = { memory: 1, list: 0 };
  await expect(workingSetOf(system, other)).rejects.toMatchObject({ code: "Internal" });
  expect(open).toEqual(new Set());
});

it("is found by the SID of the VM's user", () => {
  const numbers = Buffer.from(virtualMachineSid(vm));
  expect(numbers.subarray(0, 8)).toEqual(Buffer.from([1, 6, 0, 0, 0, 0, 0, 5]));
  const subAuthorities = [8, 12, 16, 20, 24, 28].map((at) => numbers.readUInt32LE(at));
  // Each number is 32 bits of the GUID in memory order.
  expect(subAuthorities).toEqual([83, 1, 0x0a0b0c0d, 0x43441112, 0x02018685, 0xff050403]);
});
