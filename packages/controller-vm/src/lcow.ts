import {
  checkOciLinuxResources,
  type LinuxProcessParameters,
  linuxVsockPorts,
  type OciLinuxCpu,
  type ProcessorLimits,
  processorLimit,
  SchemaError,
  type SecurityPolicy,
} from "@uvm-shim/hcs-schema";
import { KillableProcess } from "./killable-process.ts";
import { limitOf, memoryInMb, weightOf } from "./resources.ts";
import type { VmCommand, VmFlavour, VmGuest, VmProcess, VmResources } from "./types.ts";

/** Concurrent log connections of a guest: it needs one, and a second while it reconnects. */
const logConnections = 8;
const defaultPeriod = 100_000;
/** cpu.shares that correspond to the default weight of a VM. */
const defaultShares = 1024;

/** Where processes of the VM itself begin, and where they look for programs, unless their caller says otherwise. */
const vmDirectory = "/";
const vmPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const vmTerminal = "xterm";

/** What the VM controller needs of a Linux guest only. */
export interface LinuxVmGuest extends VmGuest {
  /** Adapts the common limit of all containers to the VM's current memory. */
  updateMemoryLimits(signal?: AbortSignal): Promise<void>;
  setSecurityPolicy(policy: SecurityPolicy, signal?: AbortSignal): Promise<void>;
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<VmProcess>;
}

/**
 * VMs with Linux guests. `entropy` returns the given number of cryptographically random bytes, by which a booting guest
 * is seeded. The security policy is sent to the guest before any other request.
 */
export function linuxVm(
  entropy: (bytes: number) => Uint8Array,
  securityPolicy?: SecurityPolicy,
): VmFlavour<LinuxVmGuest> {
  return {
    services: { log: linuxVsockPorts.log, bridge: linuxVsockPorts.gcs },
    entropy: { service: linuxVsockPorts.entropy, generate: entropy },
    logConnections,
    ...(securityPolicy !== undefined && {
      connected: (guest, _system, signal) => guest.setSecurityPolicy(securityPolicy, signal),
    }),
    memoryResized: (guest, signal) => guest.updateMemoryLimits(signal),
    execute: async (guest, command, signal) => {
      const process = await guest.execute(parametersOf(command), signal);
      return new KillableProcess(process, (pid, number, abort) => {
        const args = ["/bin/sh", "-c", `kill -${number} ${pid}`];
        return guest.execute(parametersOf({ args }), abort);
      });
    },
    readResources: linuxResources,
  };
}

function parametersOf({
  args,
  workingDirectory = "",
  environment,
  terminal = false,
  stdin = false,
  stdout = false,
  stderr = false,
}: VmCommand): LinuxProcessParameters {
  return {
    CommandArgs: args,
    // Callers write an empty text for none.
    WorkingDirectory: workingDirectory === "" ? vmDirectory : workingDirectory,
    Environment: environment ?? { PATH: vmPath, ...(terminal && { TERM: vmTerminal }) },
    EmulateConsole: terminal,
    CreateStdInPipe: stdin,
    CreateStdOutPipe: stdout,
    CreateStdErrPipe: stderr,
  };
}

function linuxResources(given: unknown, processors: number): VmResources {
  const { memory, cpu } = checkOciLinuxResources(given, "resources");
  const limit = memory?.limit;
  if (limit !== undefined && limit < 0) {
    throw new SchemaError(
      "resources.memory.limit",
      `expected 0 bytes or more, got ${limit}: a VM's memory cannot be unlimited`,
    );
  }
  const limits = cpu === undefined ? undefined : limitsOf(cpu, processors);
  return {
    // Some callers write 0 for no limit.
    ...(limit !== undefined && limit > 0 && { memoryInMb: memoryInMb(limit) }),
    ...(limits !== undefined && Object.keys(limits).length > 0 && { limits }),
  };
}

/** quota / period is a number of processors; HCS takes a share of the VM's processors. */
function limitsOf({ quota = 0, period = 0, shares = 0 }: OciLinuxCpu, processors: number): ProcessorLimits {
  const share = quota / (period === 0 ? defaultPeriod : period) / processors;
  return {
    ...(quota !== 0 && { Limit: quota < 0 ? processorLimit.unlimited : limitOf(share) }),
    ...(shares !== 0 && { Weight: weightOf((shares / defaultShares) * processorLimit.defaultWeight) }),
  };
}
