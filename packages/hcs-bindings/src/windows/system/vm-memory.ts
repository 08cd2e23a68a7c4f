import { win32 } from "node:path";
import { HostError } from "../../host-error.ts";
import type { Kernel } from "../io/completion-port.ts";
import { guidBytes } from "../native/structures.ts";
import { systemStructures } from "../native/system-structures.ts";
import { WindowsError } from "../native/windows-error.ts";
import type { Security } from "./security-descriptor.ts";

const PROCESS_QUERY_LIMITED_INFORMATION = 0x1000;
const TOKEN_QUERY = 0x8;
const TokenUser = 1;
const longestSidBytes = 68;
const longestPath = 32_768;

/** Names of the process that holds the memory of a VM (microsoft/hcsshim, internal/vm/vmutils). */
const names: ReadonlySet<string> = new Set(["vmmem", "vmmem.exe"]);

const { PROCESS_MEMORY_COUNTERS: counters, TOKEN_USER: tokenUser } = systemStructures;

/** What the measurement of a VM's memory needs of Windows. */
export interface MemorySystem {
  readonly kernel: Kernel;
  readonly security: Security;
}

/**
 * Bytes of host memory that a VM uses now: the working set of its vmmem process. NotFound without such a process, for
 * example if the VM does not run.
 */
export async function workingSetOf(system: MemorySystem, vmId: string): Promise<number> {
  const sid = virtualMachineSid(vmId);
  for (const id of await processIds(system.kernel)) {
    const process = system.kernel.call("OpenProcess", PROCESS_QUERY_LIMITED_INFORMATION, 0, id);
    if (process === 0n) continue;
    try {
      if (names.has(await nameOf(system.kernel, process)) && userOf(system, process)?.equals(sid) === true) {
        return await workingSetOfProcess(system.kernel, process);
      }
    } finally {
      system.kernel.call("CloseHandle", process);
    }
  }
  throw new HostError("NotFound", "the VM has no vmmem process", { operation: "query working set", id: vmId });
}

/** SID of `NT VIRTUAL MACHINE\<id>`: S-1-5-83-1, followed by the GUID as four 32-bit numbers. */
export function virtualMachineSid(vmId: string): Buffer {
  const sid = Buffer.alloc(16);
  // Revision 1, six sub-authorities, authority 5 in big-endian order.
  sid.set([1, 6, 0, 0, 0, 0, 0, 5]);
  sid.writeUInt32LE(83, 8);
  sid.writeUInt32LE(1, 12);
  return Buffer.concat([sid, guidBytes(vmId)]);
}

async function processIds(kernel: Kernel): Promise<number[]> {
  for (let capacity = 1024; ; capacity *= 2) {
    const ids = Buffer.alloc(capacity * 4);
    const needed = Buffer.alloc(4);
    if ((await kernel.run("K32EnumProcesses", ids, ids.length, needed)) === 0) {
      throw new HostError("Internal", "cannot list the processes", { operation: "query working set", id: "" });
    }
    const bytes = needed.readUInt32LE();
    // A full buffer may have been too small.
    if (bytes < ids.length) return Array.from({ length: bytes / 4 }, (_, index) => ids.readUInt32LE(index * 4));
  }
}

/** Name of the executable in lower case; empty if it cannot be read. */
async function nameOf(kernel: Kernel, process: bigint): Promise<string> {
  const path = Buffer.alloc(longestPath * 2);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(longestPath);
  if ((await kernel.run("QueryFullProcessImageNameW", process, 0, path, length)) === 0) return "";
  return win32.basename(path.toString("utf16le", 0, length.readUInt32LE() * 2)).toLowerCase();
}

/** SID of the user of a process. */
export function userOf({ kernel, security }: MemorySystem, process: bigint): Buffer | undefined {
  const opened = Buffer.alloc(8);
  if (security.call("OpenProcessToken", process, TOKEN_QUERY, opened) === 0) return undefined;
  const token = opened.readBigUInt64LE();
  try {
    const user = Buffer.alloc(tokenUser.size + longestSidBytes);
    const length = Buffer.alloc(4);
    if (security.call("GetTokenInformation", token, TokenUser, user, user.length, length) === 0) return undefined;
    return user.subarray(tokenUser.size, length.readUInt32LE());
  } finally {
    kernel.call("CloseHandle", token);
  }
}

async function workingSetOfProcess(kernel: Kernel, process: bigint): Promise<number> {
  const memory = Buffer.alloc(counters.size);
  if ((await kernel.run("K32GetProcessMemoryInfo", process, memory, memory.length)) === 0) {
    throw new WindowsError("GetProcessMemoryInfo", 0);
  }
  return Number(counters.decode(memory).WorkingSetSize);
}
