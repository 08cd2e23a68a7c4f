import { Fields } from "@uvm-shim/gcs-bridge";

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

/** Reads the parameters. Throws a FieldError naming what is missing. */
export function readBootParameters(environment: { readonly [name: string]: string | undefined }): BootParameters {
  const fields = Fields.parse(environment[bootVariable] ?? "", bootVariable);
  return {
    vsockDirectory: fields.text("vsockDirectory"),
    image: fields.text("image"),
    hostname: fields.text("hostname"),
    kernelCommandLine: fields.optionalText("kernelCommandLine") ?? "",
    memoryMb: fields.integer("memoryMb", 1, 0x7fffffff),
    processors: fields.integer("processors", 1, 0xffff),
  };
}
