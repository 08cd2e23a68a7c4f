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

/** The processes that Hyper-V keeps the memory of its VMs in, one for each (microsoft/hcsshim, internal/vm/vmutils). */
const names: ReadonlySet<string> = new Set(["vmmem", "vmmem.exe"]);

const { PROCESS_MEMORY_COUNTERS: counters, TOKEN_USER: tokenUser } = systemStructures;

export interface MemorySystem {
  readonly kernel: Kernel;
  readonly security: Security;
}

/**
 * Bytes of the host's memory that a VM occupies now: the working set of its vmmem process. NotFound when there is
 * none, as of a VM that does not run.
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
  throw new HostError("NotFound", "it has no vmmem process", { operation: "query working set", id: vmId });
}

/** `NT VIRTUAL MACHINE\<id>`: S-1-5-83-1 and the four numbers of 32 bits that the GUID consists of. */
export function virtualMachineSid(vmId: string): Buffer {
  const sid = Buffer.alloc(16);
  // Revision 1, six sub-authorities, the authority 5, which is big-endian.
  sid.set([1, 6, 0, 0, 0, 0, 0, 5]);
  sid.writeUInt32LE(83, 8);
  sid.writeUInt32LE(1, 12);
  return Buffer.concat([sid, guidBytes(vmId)]);
}

async function processIds(kernel: Kernel): Promise<number[]> {
  for (let room = 1024; ; room *= 2) {
    const ids = Buffer.alloc(room * 4);
    const needed = Buffer.alloc(4);
    if ((await kernel.run("K32EnumProcesses", ids, ids.length, needed)) === 0) {
      throw new HostError("Internal", "the processes cannot be listed", { operation: "query working set", id: "" });
    }
    const bytes = needed.readUInt32LE();
    // Memory that is full may have been too little.
    if (bytes < ids.length) return Array.from({ length: bytes / 4 }, (_, index) => ids.readUInt32LE(index * 4));
  }
}

/** In lower case; empty for one that tells nobody. */
async function nameOf(kernel: Kernel, process: bigint): Promise<string> {
  const path = Buffer.alloc(longestPath * 2);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(longestPath);
  if ((await kernel.run("QueryFullProcessImageNameW", process, 0, path, length)) === 0) return "";
  return win32.basename(path.toString("utf16le", 0, length.readUInt32LE() * 2)).toLowerCase();
}

/** The SID of the user that a process runs as. */
function userOf({ kernel, security }: MemorySystem, process: bigint): Buffer | undefined {
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
