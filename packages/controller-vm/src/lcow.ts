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
import { limitOf, memoryInMb, weightOf } from "./resources.ts";
import type { VmFlavour, VmGuest, VmProcess, VmResources } from "./types.ts";

/** Connections that a guest may hold open to its log; it needs one, and a second while it reconnects. */
const logConnections = 8;
const defaultPeriod = 100_000;
/** cpu.shares that stand for the weight of a VM that was given none. */
const defaultShares = 1024;

/** What the VM controller asks of a Linux guest alone. */
export interface LinuxVmGuest extends VmGuest {
  /** Has the limit of all containers together follow the memory that the VM has now. */
  updateMemoryLimits(signal?: AbortSignal): Promise<void>;
  setSecurityPolicy(policy: SecurityPolicy, signal?: AbortSignal): Promise<void>;
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<VmProcess>;
}

/**
 * VMs with Linux guests. `entropy` gives so many random bytes, fit for cryptography: a guest is seeded when it boots.
 * A policy is given to the guest before anything else is asked of it.
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
    execute: (guest, { args, workingDirectory, environment, terminal, stdin, stdout, stderr }, signal) =>
      guest.execute(
        {
          CommandArgs: args,
          ...(workingDirectory !== undefined && { WorkingDirectory: workingDirectory }),
          ...(environment !== undefined && { Environment: environment }),
          EmulateConsole: terminal ?? false,
          CreateStdInPipe: stdin ?? false,
          CreateStdOutPipe: stdout ?? false,
          CreateStdErrPipe: stderr ?? false,
        },
        signal,
      ),
    readResources: linuxResources,
  };
}

function linuxResources(given: unknown, processors: number): VmResources {
  const { memory, cpu } = checkOciLinuxResources(given, "resources");
  const limit = memory?.limit;
  if (limit !== undefined && limit < 0) {
    throw new SchemaError("resources.memory.limit", `expected bytes, got ${limit}: a VM's memory has a size`);
  }
  const limits = cpu === undefined ? undefined : limitsOf(cpu, processors);
  return {
    // Zero is how some callers write that there is none.
    ...(limit !== undefined && limit > 0 && { memoryInMb: memoryInMb(limit) }),
    ...(limits !== undefined && Object.keys(limits).length > 0 && { limits }),
  };
}

/** Quota and period are processors' worth of time, of which HCS limits the part of those that the VM has. */
function limitsOf({ quota = 0, period = 0, shares = 0 }: OciLinuxCpu, processors: number): ProcessorLimits {
  const share = quota / (period === 0 ? defaultPeriod : period) / processors;
  return {
    ...(quota !== 0 && { Limit: quota < 0 ? processorLimit.unlimited : limitOf(share) }),
    ...(shares !== 0 && { Weight: weightOf((shares / defaultShares) * processorLimit.defaultWeight) }),
  };
}
