import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { refuse } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";

/** What the guest's root file system is in. */
export type RootFs = "initrd" | "vhd";

/** What the guest kernel's command line is made from, beside annotations. */
export interface KernelLineInput {
  readonly rootFs: RootFs;
  /** Whether the kernel is loaded directly; else by UEFI, where the command line must name the initrd. */
  readonly direct: boolean;
  readonly processors: number;
}

/**
 * The kernel command line of a Linux guest: parameters of the kernel, then, after two dashes, arguments of the guest's
 * init: the entropy port, and the agent's command with its output forwarded to the log port.
 */
export function kernelLine(context: Context, { rootFs, direct, processors }: KernelLineInput): string {
  const { values } = context;
  const hasConsole = Boolean(values.consolePipe);
  const agent = agentCommand(context);
  return [
    ...rootFsParameters(context, rootFs, direct),
    // The virtio transport would take the place of hvsockets, which the guest needs.
    "initcall_blacklist=virtio_vsock_init",
    hasConsole
      ? "8250_core.nr_uarts=1 8250_core.skip_txen_test=1 console=ttyS0,115200"
      : // No serial port; a panic ends the VM instead of halting it.
        "8250_core.nr_uarts=0 panic=-1 quiet",
    ...(values.kernelBootOptions ? [values.kernelBootOptions] : []),
    ...(values.vpciEnabled ? [] : ["pci=off"]),
    `nr_cpus=${processors}`,
    // No RAM disks, and no ACPI timer.
    "brd.rd_nr=0 pmtmr=0",
    "--",
    `-e ${linuxVsockPorts.entropy}`,
    ...(values.writableOverlays && rootFs === "vhd" ? ["-w"] : []),
    // With a console, a shell gets it and the agent runs in the background.
    hasConsole ? `sh -c"${agent}& exec sh"` : agent,
  ].join(" ");
}

function rootFsParameters({ values }: Context, rootFs: RootFs, direct: boolean): readonly string[] {
  if (rootFs === "initrd") return direct ? [] : ["initrd=/initrd.img"];
  if (!values.dmVerityMode) return ["root=/dev/sda ro rootwait init=/init"];
  const table = values.dmVerityCreateArgs ?? "";
  if (table === "" || table.includes('"')) {
    refuse(
      keyOf("dmVerityCreateArgs"),
      table,
      `a device-mapper table without quotes, as ${keyOf("dmVerityMode")} is true`,
    );
  }
  return [`root=/dev/dm-0 dm-mod.create="${table}" init=/init`];
}

function agentCommand({ values, options }: Context): string {
  for (const name of ["extraExecArguments", "processDumpLocation"] as const) {
    // The kernel supports no escapes within the quotes around the shell's command.
    if (values.consolePipe && values[name]?.includes('"')) {
      refuse(keyOf(name), values[name], `text without quotes, as ${keyOf("consolePipe")} is given`);
    }
  }
  return [
    // After a live migration the guest must reconnect to its log listener.
    `/bin/vsockexec ${values.liveMigration ? "-r " : ""}-e ${linuxVsockPorts.log}`,
    `/bin/gcs -v4 -log-format json -loglevel ${options.logLevel || "info"}`,
    ...(values.disableTimeSync ? ["-disable-time-sync"] : []),
    ...(options.scrubLogs === undefined ? [] : [`-scrub-logs=${options.scrubLogs}`]),
    ...(values.processDumpLocation ? [`-core-dump-location ${values.processDumpLocation}`] : []),
    ...(values.extraExecArguments ? [values.extraExecArguments] : []),
  ].join(" ");
}
