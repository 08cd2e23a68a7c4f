import {
  checkOciWindowsResources,
  type HvSocketAddress,
  type OciWindowsResources,
  type ProcessorLimits,
  type WindowsProcessParameters,
  windowsGcsHostAddress,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import { limitOf, memoryInMb, weightOf } from "./resources.ts";
import type { VmFlavour, VmGuest, VmProcess, VmResources } from "./types.ts";

/** Concurrent log connections: the guest's log service makes one at each of its starts. */
const logConnections = 1;
/** Default user and working directory of processes of the VM itself. */
const vmUser = String.raw`NT AUTHORITY\SYSTEM`;
const vmDirectory = "C:\\";
/** cpu.maximum for all of the VM's processors. */
const fullMaximum = 10_000;

/** What the VM controller needs of a Windows guest only. */
export interface WindowsVmGuest extends VmGuest {
  updateHvSocketAddress(address: HvSocketAddress, signal?: AbortSignal): Promise<void>;
  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<VmProcess>;
}

/** VMs with Windows guests. */
export const windowsVm: VmFlavour<WindowsVmGuest> = {
  services: { log: windowsHvsocketServices.log, bridge: windowsHvsocketServices.gcs },
  logConnections,
  // The guest uses these addresses when it starts containers, and again whenever the VM is restored.
  connected: (guest, { runtimeId }, signal) =>
    guest.updateHvSocketAddress({ LocalAddress: runtimeId, ParentAddress: windowsGcsHostAddress }, signal),
  execute: (guest, { args, workingDirectory, environment, terminal, stdin, stdout, stderr }, signal) =>
    guest.execute(
      {
        CommandLine: commandLine(args),
        User: vmUser,
        // Callers write an empty text for none.
        WorkingDirectory: workingDirectory === undefined || workingDirectory === "" ? vmDirectory : workingDirectory,
        ...(environment !== undefined && { Environment: environment }),
        EmulateConsole: terminal ?? false,
        CreateStdInPipe: stdin ?? false,
        CreateStdOutPipe: stdout ?? false,
        CreateStdErrPipe: stderr ?? false,
      },
      signal,
    ),
  readResources: windowsResources,
};

function windowsResources(given: unknown, processors: number): VmResources {
  const { memory, cpu } = checkOciWindowsResources(given, "resources");
  const limits = cpu === undefined ? undefined : limitsOf(cpu, processors);
  return {
    ...(memory?.limit !== undefined && { memoryInMb: memoryInMb(memory.limit) }),
    ...(limits !== undefined && Object.keys(limits).length > 0 && { limits }),
  };
}

/** `count` is a number of processors; `maximum`, which takes precedence, a share of the VM's processors. */
function limitsOf(
  { count, maximum, shares }: NonNullable<OciWindowsResources["cpu"]>,
  processors: number,
): ProcessorLimits {
  const share = maximum !== undefined ? maximum / fullMaximum : count !== undefined ? count / processors : undefined;
  return {
    ...(share !== undefined && { Limit: limitOf(share) }),
    ...(shares !== undefined && { Weight: weightOf(shares) }),
  };
}

/** A command line that the C runtime of Windows splits into these arguments. */
export function commandLine(args: readonly string[]): string {
  return args.map(quoted).join(" ");
}

function quoted(argument: string): string {
  if (argument !== "" && !/[\s"]/.test(argument)) return argument;
  // Backslashes are literal unless a quotation mark follows; then two stand for one.
  const escaped = argument.replaceAll(/(\\+)("?)|"/g, (found, run: string = "", mark: string = '"', at: number) => {
    if (mark !== "") return `${run}${run}\\"`;
    return at + found.length === argument.length ? `${run}${run}` : run;
  });
  return `"${escaped}"`;
}
