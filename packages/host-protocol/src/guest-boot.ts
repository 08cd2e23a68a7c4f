/** How the emulated host boots a process guest: parameters in its agent's environment, and a line of words to it. */
import { answerObject, filledText, integer, type JsonBounds, optional, parseWithin, text } from "@uvm-shim/hcs-schema";

/** Name of the environment variable by which the emulated host hands the parameters over. */
export const bootVariable = "UVM_SHIM_GUEST_BOOT";

/** File descriptor of the connection to the emulated host: `up` is written to it, and its end takes the power away. */
export const powerDescriptor = 3;

/** What the machine is made of, as firmware and kernel command line tell a real guest. */
export interface BootParameters {
  /** Folder of the host that holds the hvsockets of this VM. */
  readonly vsockDirectory: string;
  /** Folder of the host that holds the guest's file system: `usr` and `etc`. */
  readonly image: string;
  readonly hostname: string;
  readonly kernelCommandLine: string;
  readonly memoryMb: number;
  readonly processors: number;
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
});

/** Reads the parameters. Throws a SchemaError that names the field. */
export function readBootParameters(environment: { readonly [name: string]: string | undefined }): BootParameters {
  const given = parseWithin(environment[bootVariable] ?? "", bounds, bootVariable);
  return { kernelCommandLine: "", ...checkParameters(given, bootVariable) };
}
