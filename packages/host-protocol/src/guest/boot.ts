/**
 * How the emulated host boots a process guest: the kernel file that asks for one, the parameters of the machine in the
 * agent's environment, and the words on the power line.
 */
import { answerObject, filledText, integer, type JsonBounds, optional, parseWithin, text } from "@uvm-shim/hcs-schema";

/** First line of a kernel file that asks for a process guest. Its initial RAM disk is then the agent. */
export const processGuestKernel = "uvm-shim process guest 1";

/**
 * First line of a boot file that asks for a Windows guest: the file that a document's firmware names in the share "os". It
 * is the agent itself, a program of Node.
 */
export const windowsGuestBoot = "// uvm-shim Windows guest 1";

/** Environment variable with the parameters as JSON. */
export const bootVariable = "UVM_SHIM_GUEST_BOOT";

/** Environment variable by which the init of a virtual machine tells the agent that it runs in one. Its value is 1. */
export const virtualMachineVariable = "UVM_SHIM_VM_GUEST";

/** The guest's descriptor of the power line. When the host closes its end, the power is gone and the agent ends. */
export const powerDescriptor = 3;

/** The words on the power line, one per line: the first three in this order at the boot, the others in pairs after it. */
export const powerWords = {
  /** The launcher to the host: the guest's namespaces exist, and the agent does not run yet. */
  inside: "in",
  /** The host to the launcher, which becomes the agent. */
  go: "go",
  /** The agent to the host: the guest is up. */
  up: "up",
  /** The host to the agent: the guest is in other cgroups, which are the roots of its own from now on. */
  regroup: "regroup",
  /** The agent to the host: it sees those, and no others. */
  regrouped: "regrouped",
} as const;

/** Description of the machine, which a real guest gets from firmware and kernel command line. */
export interface BootParameters {
  /** Folder of the host's machine with the VM's hvsockets. */
  readonly vsockDirectory: string;
  /** Folder of the host's machine with the guest's file system: `usr` and `etc`. */
  readonly image: string;
  readonly hostname: string;
  readonly kernelCommandLine: string;
  readonly memoryMb: number;
  readonly processors: number;
  /** Of a Windows guest alone. */
  readonly windows?: WindowsBoot;
}

/** Folders of the host's machine that a Windows guest boots from. */
export interface WindowsBoot {
  /** The share "os". */
  readonly os: string;
  /** The root folder of a Linux with Wine. */
  readonly wine: string;
}

/** The kernel passes no longer variable to a program. */
const bounds: JsonBounds = { length: 128 * 1024, depth: 8, keys: 64, elements: 64 };

const checkParameters = answerObject<
  Omit<BootParameters, "kernelCommandLine"> & { readonly kernelCommandLine?: string }
>({
  vsockDirectory: filledText,
  image: filledText,
  hostname: filledText,
  kernelCommandLine: optional(text),
  memoryMb: integer(1, 0x7fffffff),
  processors: integer(1, 0xffff),
  windows: optional(answerObject<WindowsBoot>({ os: filledText, wine: filledText })),
});

/** The environment that hands the parameters to the agent. */
export function bootEnvironment(parameters: BootParameters): { readonly [bootVariable]: string } {
  return { [bootVariable]: JSON.stringify(parameters) };
}

/** Reads the parameters. Throws a SchemaError that names the field. */
export function readBootParameters(environment: { readonly [name: string]: string | undefined }): BootParameters {
  const given = parseWithin(environment[bootVariable] ?? "", bounds, bootVariable);
  return { kernelCommandLine: "", ...checkParameters(given, bootVariable) };
}
