import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterAll, describe, expect, it } from "vitest";
import { findAccelerator, probeArguments, probeFirmware } from "./accelerator.ts";
import { type CommandLineInput, commandLine, options } from "./command-line.ts";
import { initrdOf, isKernelImage, kernelLineFor } from "./kernel.ts";

const input: CommandLineInput = {
  name: "uvm-1",
  accelerator: "tcg",
  memoryMb: 512,
  mostMemoryMb: 2048,
  processors: 2,
  kernelLine: "root=/dev/sda",
  hasInitrd: true,
  hasSerialPort: false,
};

/** The values of an option, such as those of "-device". */
function valuesOf(option: string, line: readonly string[]): readonly string[] {
  return line.flatMap((word, index) => (line[index - 1] === option ? [word] : []));
}

describe("the command line of QEMU", () => {
  it("is the same for the same machine", () => {
    expect(commandLine(input)).toEqual(commandLine({ ...input }));
    expect(commandLine(input).join(" ")).toBe(
      [
        "-name guest=uvm-1,debug-threads=on -nodefaults -no-user-config -display none",
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine pc,memory-backend=ram,usb=off,vmport=off,dump-guest-core=off",
        "-accel tcg,thread=multi,tb-size=128 -cpu max -smp 2 -m size=512M,maxmem=2048M",
        "-object memory-backend-memfd,id=ram,size=512M,share=on,reserve=off",
        "-object memory-backend-memfd,id=ram-beyond,size=1536M,share=on,reserve=off",
        "-device virtio-mem-pci,id=memory,memdev=ram-beyond,requested-size=0,block-size=2M",
        "-device virtio-balloon-pci,free-page-reporting=on,deflate-on-oom=off",
        "-S -action reboot=shutdown,panic=shutdown",
        "-chardev socket,id=monitor,fd=4 -mon chardev=monitor,mode=control",
        "-chardev socket,id=console,fd=5 -device virtio-serial-pci -device virtconsole,chardev=console",
        "-chardev socket,id=vsock,fd=6 -device vhost-user-vsock-pci,chardev=vsock",
        ...[0, 1, 2, 3].map((index) => `-device virtio-scsi-pci,id=scsi${index}`),
        "-device pvpanic -object rng-builtin,id=entropy -device virtio-rng-pci,rng=entropy",
        "-kernel /proc/self/fd/7 -initrd /proc/self/fd/8",
        "-append hostname=uvm-1 apparmor=0 mitigations=off root=/dev/sda console=hvc0 memhp_default_state=online_movable",
        "cryptomgr.notests",
      ].join(" "),
    );
  });

  it("has the processor with KVM, and no memory to grow into where there is none", () => {
    const line = commandLine({ ...input, accelerator: "kvm", mostMemoryMb: 512, hasInitrd: false });
    expect([valuesOf("-accel", line), valuesOf("-cpu", line), valuesOf("-m", line)]).toEqual([
      ["kvm"],
      ["host"],
      ["size=512M"],
    ]);
    expect(line.join(" ")).not.toMatch(/virtio-mem|-initrd/);
  });

  it("has a serial port by the descriptor after the others", () => {
    const values = (hasInitrd: boolean): readonly string[] =>
      valuesOf("-chardev", commandLine({ ...input, hasInitrd, hasSerialPort: true }));
    expect(values(true)).toContain("socket,id=serial,fd=9,server=on,wait=off");
    expect(values(false)).toContain("socket,id=serial,fd=8,server=on,wait=off");
    expect(valuesOf("-device", commandLine({ ...input, hasSerialPort: true }))).toContain("isa-serial,chardev=serial");
  });

  it("doubles the commas of values, so that none becomes an option", () => {
    expect(options("on", { guest: "a,b=c,,d", n: 1 })).toBe("on,guest=a,,b=c,,,,d,n=1");
    expect(valuesOf("-name", commandLine({ ...input, name: "x,process=y" }))).toEqual([
      "guest=x,,process=y,debug-threads=on",
    ]);
  });

  it("refuses a kernel's command line that the kernel would not get whole", () => {
    expect(() => commandLine({ ...input, kernelLine: "a\nb" })).toThrow("KernelCmdLine: expected no line ends");
    expect(() => commandLine({ ...input, kernelLine: "x".repeat(2040) })).toThrow("expected at most 2047 bytes");
  });
});

describe("the kernel's command line", () => {
  const first = "hostname=uvm-1 apparmor=0";
  const own = "console=hvc0 memhp_default_state=online_movable cryptomgr.notests";
  it.each([
    ["", own],
    ["quiet pci=off pmtmr=0", `quiet pmtmr=0 ${own}`],
    ["initcall_blacklist=virtio_vsock_init quiet", `quiet ${own}`],
    ["initcall_blacklist=a,virtio_vsock_init,b", `initcall_blacklist=a,b ${own}`],
    ['ro -- -e 1 sh -c"x pci=off & exec sh"', `ro ${own} -- -e 1 sh -c"x pci=off & exec sh"`],
    ['dm-mod.create="a -- b, pci=off" init=/init', `dm-mod.create="a -- b, pci=off" init=/init ${own}`],
    ["quiet -- pci=off", `quiet ${own} -- pci=off`],
  ])("of Hyper-V %j fits this machine", (given, expected) => {
    expect(kernelLineFor(given, { name: "uvm-1", isTranslated: false })).toBe(`${first} ${expected}`);
  });

  it("keeps nothing from happening ahead of its time where a guest is translated, if the document does not choose", () => {
    const line = kernelLineFor("mitigations=auto -- x", { name: "uvm-1", isTranslated: true });
    expect(line).toBe(`${first} mitigations=off mitigations=auto ${own} -- x`);
  });
});

describe("a kernel image", () => {
  const folder = mkdtempSync(join(tmpdir(), "qemu-kernel-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  function file(name: string, content: string | Buffer): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  it("is told by what boot loaders look for", () => {
    const image = Buffer.alloc(4096);
    image.writeUInt16LE(0xaa55, 0x1fe);
    image.write("HdrS", 0x202);
    expect(isKernelImage(file("kernel", image))).toBe(true);
    expect(isKernelImage(file("cut", image.subarray(0, 0x204)))).toBe(false);
    expect(isKernelImage(file("text", "process-guest\n"))).toBe(false);
    expect(isKernelImage(file("zeros", Buffer.alloc(4096)))).toBe(false);
  });
});

describe("the accelerator", () => {
  const reports: string[] = [];
  const find = (run: (signal: AbortSignal) => Promise<number | null>, clock = new ManualClock()) =>
    findAccelerator({ clock, timeoutMs: 50, run, report: (message) => reports.push(message) });

  it("is KVM only where a guest has run", async () => {
    expect(await find(async () => 85)).toBe("kvm");
    expect(reports.splice(0)).toEqual([]);
    expect(await find(async () => 1)).toBe("tcg");
    expect(await find(() => Promise.reject(new Error("no QEMU")))).toBe("tcg");
    expect(reports.splice(0)).toEqual([
      "guests run without KVM: a trial ended with exit code 1",
      "guests run without KVM: a trial failed: no QEMU",
    ]);
  });

  it("is not KVM where a guest hangs", async () => {
    const clock = new ManualClock();
    const found = find(
      (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      clock,
    );
    await clock.advance(50);
    expect(await found).toBe("tcg");
    expect(reports.splice(0)).toEqual(["guests run without KVM: a trial failed: not done within 50 ms"]);
  });

  it("is tried with firmware that ends its machine at the first instruction", () => {
    const image = probeFirmware();
    expect([image.length, image.subarray(65_520, 65_525).toString("hex")]).toEqual([65_536, "b02ae6f4f4"]);
    expect(probeArguments("/dev/fd/3").join(" ")).toContain("-accel kvm -cpu host -bios /dev/fd/3");
  });
});

describe("the initial root of a kernel", () => {
  const folder = mkdtempSync(join(tmpdir(), "initial-root-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("is the document's, else the one beside the kernel, else none", () => {
    const KernelFilePath = join(folder, "kernel");
    expect(initrdOf({ KernelFilePath })).toBeUndefined();
    writeFileSync(`${KernelFilePath}.initrd`, "");
    expect(initrdOf({ KernelFilePath })).toBe(`${KernelFilePath}.initrd`);
    expect(initrdOf({ KernelFilePath, InitRdPath: "/initrd.img" })).toBe("/initrd.img");
  });
});
