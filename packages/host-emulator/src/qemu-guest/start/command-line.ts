/** What QEMU is started with. Nothing is looked up by path but its own firmware: files and sockets are descriptors. */
import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../../hcs-failure.ts";
import { scsiController } from "../devices/disks.ts";
import { growingMemory } from "../devices/memory.ts";
import { kernelLineFor } from "./kernel.ts";

/** How a guest's instructions are run: by the processor, or translated. */
export type Accelerator = "kvm" | "tcg";

/** The descriptors that QEMU starts with. */
export const qemuDescriptors = { monitor: 4, console: 5, vsock: 6, kernel: 7, initrd: 8 } as const;

/** The descriptor after those: the last one that a machine with a serial port has. */
function serialDescriptor(hasInitrd: boolean): number {
  return hasInitrd ? qemuDescriptors.initrd + 1 : qemuDescriptors.initrd;
}

/** What a machine's command line is made from. */
export interface CommandLineInput {
  /** Of the machine, for whoever lists processes, and of its guest. */
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly memoryMb: number;
  /** What the memory may grow to. */
  readonly mostMemoryMb: number;
  readonly processors: number;
  /** As in the document. */
  readonly kernelLine: string;
  readonly hasInitrd: boolean;
  readonly hasSerialPort: boolean;
}

/** MiB of translated code, which is not the guest's memory; by default QEMU would take an eighth of this machine's. */
export const translatedCodeMb = 128;
/** Translations by as many threads as there are processors, as with KVM. */
const accelerators: { readonly [Name in Accelerator]: readonly [processor: string, accelerator: string] } = {
  kvm: ["host", "kvm"],
  tcg: ["max", `tcg,thread=multi,tb-size=${translatedCodeMb}`],
};
/** The kernel reads no longer one; it would boot with a part. */
const longestKernelLine = 2047;

/** The arguments of a machine that waits for `cont`. */
export function commandLine(input: CommandLineInput): readonly string[] {
  const { monitor, console, vsock, kernel, initrd } = qemuDescriptors;
  const [processor, accelerator] = accelerators[input.accelerator];
  const memory = memoryArguments(input);
  const socket = (id: string, fd: number): readonly string[] => ["-chardev", options("socket", { id, fd })];
  const device = (driver: string, more: Options = {}): readonly string[] => ["-device", options(driver, more)];
  const controllers = scsiControllerGuids.map((_, index) => device("virtio-scsi-pci", { id: scsiController(index) }));
  return [
    ...["-name", options("", { guest: input.name, "debug-threads": "on" })],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-sandbox", options("on", sandbox)],
    ...["-machine", options("pc", { "memory-backend": "ram", usb: "off", vmport: "off", "dump-guest-core": "off" })],
    ...["-accel", accelerator, "-cpu", processor, "-smp", String(input.processors)],
    ...memory,
    // Nothing runs before the client hears events. A restart of the guest, as after a panic, is the end of its VM.
    ...["-S", "-action", options("", { reboot: "shutdown", panic: "shutdown" })],
    ...[...socket("monitor", monitor), "-mon", options("", { chardev: "monitor", mode: "control" })],
    ...[
      ...socket("console", console),
      ...device("virtio-serial-pci"),
      ...device("virtconsole", { chardev: "console" }),
    ],
    ...(input.hasSerialPort ? serialPort(serialDescriptor(input.hasInitrd)) : []),
    ...[...socket("vsock", vsock), ...device("vhost-user-vsock-pci", { chardev: "vsock" })],
    ...controllers.flat(),
    ...device("pvpanic"),
    ...["-object", options("rng-builtin", { id: "entropy" }), ...device("virtio-rng-pci", { rng: "entropy" })],
    ...["-kernel", pathOf(kernel), ...(input.hasInitrd ? ["-initrd", pathOf(initrd)] : [])],
    ...["-append", checkedKernelLine(input)],
  ];
}

/** Whoever connects to its socket sees and types what a serial line would carry; the guest does not wait for anybody. */
function serialPort(fd: number): readonly string[] {
  const chardev = options("socket", { id: "serial", fd, server: "on", wait: "off" });
  return ["-chardev", chardev, "-device", options("isa-serial", { chardev: "serial" })];
}

/** No call that starts programs, changes users or priorities, or that no program needs today. */
const sandbox = { obsolete: "deny", elevateprivileges: "deny", spawn: "deny", resourcecontrol: "deny" };

/**
 * All memory is shared, as the vsock device is in another process. Memory to grow into is an empty file until the guest gets
 * some of it. What the guest has freed it reports, and this machine has it back.
 */
function memoryArguments({ memoryMb, mostMemoryMb }: CommandLineInput): readonly string[] {
  const file = (id: string, size: number): readonly string[] => [
    "-object",
    options("memory-backend-memfd", { id, size: `${size}M`, share: "on", reserve: "off" }),
  ];
  const balloon = { "free-page-reporting": "on", "deflate-on-oom": "off" };
  const growing =
    mostMemoryMb > memoryMb
      ? [
          ...file("ram-beyond", mostMemoryMb - memoryMb),
          "-device",
          options("virtio-mem-pci", {
            id: growingMemory,
            memdev: "ram-beyond",
            "requested-size": 0,
            "block-size": "2M",
          }),
        ]
      : [];
  return [
    ...["-m", options("", { size: `${memoryMb}M`, ...(growing.length > 0 && { maxmem: `${mostMemoryMb}M` }) })],
    ...file("ram", memoryMb),
    ...growing,
    ...["-device", options("virtio-balloon-pci", balloon)],
  ];
}

function checkedKernelLine({ kernelLine: given, name, accelerator }: CommandLineInput): string {
  const line = kernelLineFor(given, { name, isTranslated: accelerator === "tcg" });
  if (/[\0\r\n]/.test(given)) {
    throw new HcsFailure("E_INVALIDARG", `${lineField}: expected no line ends, got ${JSON.stringify(given)}`);
  }
  if (Buffer.byteLength(line) > longestKernelLine) {
    const message = `${lineField}: expected at most ${longestKernelLine} bytes with the machine's own, got ${Buffer.byteLength(line)}`;
    throw new HcsFailure("E_INVALIDARG", message);
  }
  return line;
}

const lineField = "VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine";

interface Options {
  readonly [name: string]: string | number;
}

/** One of QEMU's lists of options, in which a comma within a value is doubled. The implied first one may be absent. */
export function options(first: string, more: Options): string {
  const named = Object.entries(more).map(([name, value]) => `${name}=${quoted(String(value))}`);
  return [...(first === "" ? [] : [quoted(first)]), ...named].join();
}

function quoted(value: string): string {
  return value.replaceAll(",", ",,");
}

function pathOf(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}
