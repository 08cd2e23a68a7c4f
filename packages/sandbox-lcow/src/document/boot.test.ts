import { describe, expect, it } from "vitest";
import { type Annotations, bootFolder, build, host, refusal, vm, windowsHost } from "../testing/sandbox.ts";

const direct = `${vm}lcow.kerneldirectboot`;
const verityMode = `${vm}lcow.dmverity-mode`;
const verityTable = `${vm}lcow.dmverity-create-args`;
const pipe = { [`${vm}console.pipe`]: "\\\\.\\pipe\\console" };
const vhd = { host: host({}, ["kernel", "initrd.img", "rootfs.vhd"]) };

describe("the default folder", () => {
  it.each([
    [
      ["C:\\ContainerPlat\\LinuxBootFiles\\kernel", "C:\\ContainerPlat\\LinuxBootFiles\\initrd.img"],
      "C:\\ContainerPlat\\LinuxBootFiles",
    ],
    [
      ["C:\\Program Files\\Linux Containers\\kernel", "C:\\Program Files\\Linux Containers\\initrd.img"],
      "C:\\Program Files\\Linux Containers",
    ],
  ])("with %j is %s", (files, folder) => {
    expect(build({}, { host: windowsHost({}, files) }).boot?.KernelFilePath).toBe(`${folder}\\kernel`);
  });

  it("has the name that the host gives it, below that of the executable", () => {
    const facts = host({ linuxBootFolder: "Others" }, ["/opt/shim/Others/kernel", "/opt/shim/Others/rootfs.vhd"]);
    const { boot, Devices } = build({}, { host: facts });
    expect(boot?.KernelFilePath).toBe("/opt/shim/Others/kernel");
    expect(JSON.stringify(Devices?.Scsi)).toContain("/opt/shim/Others/rootfs.vhd");
  });

  it("must be an absolute path of the host", () => {
    const key = `${vm}bootfilesrootpath`;
    expect(() => build({ [key]: "/boot" }, { host: windowsHost() })).toThrow("expected an absolute path");
    expect(() => build({ [key]: "C:\\boot" })).toThrow("expected an absolute path");
  });
});

describe("UEFI", () => {
  const boot = (annotations: Annotations, more = {}) => build(annotations, more).document.VirtualMachine.Chipset;

  it("loads the kernel from the boot folder, and the kernel its initrd", () => {
    expect(boot({ [direct]: "false" })).toEqual({
      Uefi: {
        BootThis: {
          DeviceType: "VmbFs",
          DevicePath: "\\kernel",
          VmbFsRootPath: bootFolder,
          OptionalData: expect.stringMatching(/^initrd=\/initrd\.img initcall_blacklist=.* -- -e 1 \/bin\/vsockexec /),
        },
      },
    });
  });

  it("boots from a disk too", () => {
    const { Devices, document } = build({ [direct]: "0" }, vhd);
    expect(document.VirtualMachine.Chipset.Uefi?.BootThis?.OptionalData).toMatch(/^root=\/dev\/sda ro /);
    expect(JSON.stringify(Devices?.Scsi)).toContain(`${bootFolder}/rootfs.vhd`);
  });

  it("does not boot an uncompressed kernel", () => {
    const more = { host: host({}, ["vmlinux", "initrd.img"]) };
    expect(() => boot({ [direct]: "false" }, more)).toThrow(`there is no file ${bootFolder}/kernel`);
    expect(boot({}, more).LinuxKernelDirect?.KernelFilePath).toBe(`${bootFolder}/vmlinux`);
  });

  it.each([
    [{ architecture: "arm64" }, "arm64 hosts cannot boot kernels directly"],
    [{ build: 18_285 }, "build 18285 cannot boot kernels directly, build 18286 and later can"],
  ] as const)("is the default on hosts %j", (facts, message) => {
    const more = { host: host(facts) };
    expect(boot({}, more).Uefi).toBeDefined();
    expect(() => boot({ [direct]: "true" }, more)).toThrow(expect.objectContaining(refusal(direct)));
    expect(() => boot({ [direct]: "true" }, more)).toThrow(message);
  });

  it("is replaced by direct boot from the first build that supports it", () => {
    expect(boot({}, { host: host({ build: 18_362 }) }).LinuxKernelDirect).toBeDefined();
  });
});

describe("a verified root file system", () => {
  const table = "rootfs,,,ro,0 100 verity 1 /dev/sda /dev/sda 512 512 10 1 sha256 ab 00";

  it("is mapped from its table", () => {
    const { boot } = build({ [verityMode]: "true", [verityTable]: table }, vhd);
    expect(boot?.KernelCmdLine).toMatch(
      `root=/dev/dm-0 dm-mod.create="${table}" init=/init initcall_blacklist=virtio_vsock_init`,
    );
  });

  it.each(["", 'a"b'])("is refused with the table %j", (text) => {
    expect(() => build({ [verityMode]: "true", [verityTable]: text }, vhd)).toThrow(
      expect.objectContaining(refusal(verityTable)),
    );
  });

  it("is reported to have no effect on an initrd, or when it is off", () => {
    expect(build({ [verityMode]: "true", [verityTable]: table }).warnings).toEqual([
      `annotation ${verityMode} has no effect on an initrd`,
    ]);
    expect(build({ [verityTable]: table }, vhd).warnings).toEqual([
      `annotation ${verityTable} has no effect without ${verityMode}`,
    ]);
    expect(build({ [verityMode]: "false" }, vhd).warnings).toEqual([]);
  });
});

describe("a console", () => {
  it("is COM1, with a shell beside the agent, and without a reboot on a panic", () => {
    const { Devices, boot } = build(pipe);
    expect(Devices?.ComPorts).toEqual({ "0": { NamedPipe: "\\\\.\\pipe\\console" } });
    expect(boot?.KernelCmdLine).toBe(
      "initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=1 8250_core.skip_txen_test=1 console=ttyS0,115200 " +
        "pci=off nr_cpus=2 brd.rd_nr=0 pmtmr=0 -- -e 1 " +
        'sh -c"/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json -loglevel info& exec sh"',
    );
  });

  it("is absent by default", () => {
    expect(build().Devices).not.toHaveProperty("ComPorts");
  });

  it.each([`${vm}lcow.extra-exec-command-args`, "io.microsoft.container.processdumplocation"])(
    "does not allow quotes in %s",
    (key) => {
      expect(() => build({ ...pipe, [key]: 'a"b' })).toThrow(expect.objectContaining(refusal(key)));
      expect(build({ [key]: 'a"b' }).boot?.KernelCmdLine).toContain('a"b');
    },
  );
});
