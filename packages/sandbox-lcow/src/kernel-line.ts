import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import type { AnnotationValues } from "./annotations.ts";
import type { RuntimeOptions } from "./build.ts";

export interface KernelLineInput {
  readonly values: AnnotationValues;
  readonly options: RuntimeOptions;
  readonly rootFs: "initrd" | "vhd";
  readonly processors: number;
}

/**
 * The kernel's command line of a Linux guest: the kernel's own parameters, then, after two dashes, what the guest's
 * init gets: where to read entropy, and the agent's command, its output forwarded to the log port.
 */
export function kernelLine(input: KernelLineInput): string {
  const { values, rootFs, processors } = input;
  return [
    ...(rootFs === "vhd" ? ["root=/dev/sda ro rootwait init=/init"] : []),
    // The guest talks over hvsockets; the virtio transport would take their place.
    "initcall_blacklist=virtio_vsock_init",
    // No serial port; a panic ends the VM instead of leaving it standing.
    "8250_core.nr_uarts=0 panic=-1 quiet",
    ...(values.kernelBootOptions ? [values.kernelBootOptions] : []),
    ...(values.vpciEnabled ? [] : ["pci=off"]),
    `nr_cpus=${processors}`,
    // No RAM disks, and no ACPI timer.
    "brd.rd_nr=0 pmtmr=0",
    "--",
    `-e ${linuxVsockPorts.entropy}`,
    ...(values.writableOverlays && rootFs === "vhd" ? ["-w"] : []),
    `/bin/vsockexec -e ${linuxVsockPorts.log}`,
    ...agentCommand(input),
  ].join(" ");
}

function agentCommand({ values, options }: KernelLineInput): readonly string[] {
  return [
    `/bin/gcs -v4 -log-format json -loglevel ${options.logLevel || "info"}`,
    ...(values.disableTimeSync ? ["-disable-time-sync"] : []),
    ...(options.scrubLogs === undefined ? [] : [`-scrub-logs=${options.scrubLogs}`]),
    ...(values.processDumpLocation ? [`-core-dump-location ${values.processDumpLocation}`] : []),
    ...(values.extraExecArguments ? [values.extraExecArguments] : []),
  ];
}
