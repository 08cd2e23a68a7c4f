/** Requests for which documents and settings once differed from hcsshim's. */
import { describe, expect, it } from "vitest";
import { bootFolder, build, host, refusal, vm, windowsHost } from "../testing/sandbox.ts";

const bootFilesKey = `${vm}bootfilesrootpath`;
const policy = { [`${vm}lcow.securitypolicy`]: "e30=" };
const withoutHardware = { ...policy, [`${vm}no_security_hardware`]: "true" };

describe("a CPU group", () => {
  const key = `${vm}cpugroup.id`;

  it.each(["pool-1", "{12345678-1234-5678-1234-567812345678}", "12345678123456781234567812345678"])(
    "%j is refused as no GUID, with the annotation's key",
    (group) => {
      expect(() => build({ [key]: group })).toThrow(expect.objectContaining(refusal(key)));
      expect(() => build({ [key]: group })).toThrow(
        `${key}: got ${group.length} characters, expected a GUID without braces`,
      );
    },
  );

  it("is passed on in its case", () => {
    const group = "ABCDEF12-1234-5678-1234-567812345678";
    expect(build({ [key]: group }).Processor.CpuGroup).toEqual({ Id: group });
  });
});

describe("a folder of boot files whose path is not clean", () => {
  const posix = host({}, ["/opt/boot/kernel", "/opt/boot/initrd.img", "/opt/boot/rootfs.vhd"]);
  const windows = windowsHost({}, ["D:\\boot\\kernel", "D:\\boot\\initrd.img", "D:\\boot\\rootfs.vhd"]);
  const initrd = { [`${vm}lcow.preferredrootfstype`]: "initrd" };

  it.each([
    ["/opt/./boot", posix, "/opt/boot/"],
    ["/opt//boot///", posix, "/opt/boot/"],
    ["/../opt/other/../boot/.", posix, "/opt/boot/"],
    ["D:\\.\\boot", windows, "D:\\boot\\"],
    ["D:/boot//", windows, "D:\\boot\\"],
    ["D:\\..\\other\\..\\boot\\.", windows, "D:\\boot\\"],
  ])("%s gives clean paths of kernel, initrd and disk", (folder, on, clean) => {
    const annotations = { [bootFilesKey]: folder };
    expect(build({ ...annotations, ...initrd }, { host: on }).boot).toMatchObject({
      KernelFilePath: `${clean}kernel`,
      InitRdPath: `${clean}initrd.img`,
    });
    const { Devices } = build(annotations, { host: on });
    expect(JSON.stringify(Devices?.Scsi)).toContain(JSON.stringify(`${clean}rootfs.vhd`));
    const option = build(initrd, { host: on, options: { bootFilesRootPath: folder } });
    expect(option.boot?.KernelFilePath).toBe(`${clean}kernel`);
  });

  it.each([
    ["/opt/x/..//boot/", posix, "/opt/boot"],
    ["D:/x/../boot\\\\", windows, "D:\\boot"],
  ])("%s gives a clean root for UEFI's file system", (folder, on, clean) => {
    const { document } = build({ [bootFilesKey]: folder, [`${vm}lcow.kerneldirectboot`]: "false" }, { host: on });
    expect(document.VirtualMachine.Chipset.Uefi?.BootThis?.VmbFsRootPath).toBe(clean);
  });

  it("can be the one beside the shim, or below %ProgramFiles%", () => {
    const local = host({ executableFolder: "/opt/x/../shim/." });
    expect(build({}, { host: local }).boot?.KernelFilePath).toBe(`${bootFolder}/kernel`);
    const programFiles = "C:\\Program Files\\Linux Containers";
    const files = [`${programFiles}\\kernel`, `${programFiles}\\initrd.img`];
    const installed = windowsHost({ programFiles: "C:/Program Files/." }, files);
    expect(build({}, { host: installed }).boot?.KernelFilePath).toBe(`${programFiles}\\kernel`);
  });
});

it.each([
  ["/run/./pods/x/..//pod/", host({}, ["kernel.vmgs", "rootfs.vhd"]), "/run/pods/pod/"],
  [
    "C:/state\\.\\x\\..\\pod",
    windowsHost(
      {},
      ["kernel.vmgs", "rootfs.vhd"].map((name) => `C:\\ContainerPlat\\LinuxBootFiles\\${name}`),
    ),
    "C:\\state\\pod\\",
  ],
])("the bundle %s gives clean paths of a confidential VM's copies", (bundle, on, clean) => {
  const { document, settings } = build(policy, { host: on, bundle });
  expect(document.VirtualMachine.GuestState?.GuestStateFilePath).toBe(`${clean}kernel.vmgs`);
  expect(JSON.stringify(document.VirtualMachine.Devices?.Scsi)).toContain(JSON.stringify(`${clean}rootfs.vhd`));
  expect(settings.confidential?.copies.map(({ to }) => to)).toEqual([`${clean}kernel.vmgs`, `${clean}rootfs.vhd`]);
});

it("an empty preferred root file system counts as absent", () => {
  const key = `${vm}lcow.preferredrootfstype`;
  const onDisk = { host: host({}, ["kernel", "initrd.img", "rootfs.vhd"]) };
  expect(build({ [key]: "" }, onDisk)).toEqual(build({}, { host: host({}, ["kernel", "initrd.img", "rootfs.vhd"]) }));
  expect(build({ [key]: "" }).boot?.InitRdPath).toBe(`${bootFolder}/initrd.img`);
  const isolated = build({ ...policy, [key]: "" }, { host: host({}, ["kernel.vmgs", "rootfs.vhd"]) });
  expect(isolated.warnings).toEqual([]);
});

it.each([
  ["enforcer", `${vm}lcow.enforcer`],
  ["referenceInfoFile", `${vm}lcow.uvm-reference-info-file`],
  ["hashEnvelopeReferenceInfoFile", `${vm}uvm-hash-envelope-reference-info-file`],
] as const)("an empty %s stays empty", (setting, key) => {
  expect(build({ ...withoutHardware, [key]: "" }).settings.confidential?.[setting]).toBe("");
  expect(build(withoutHardware).settings.confidential?.[setting]).not.toBe("");
});

it.each([
  ["a guest state file", `${vm}lcow.gueststatefile`],
  ["a root disk", `${vm}lcow.dmverity-rootfs-vhd`],
])("an empty name of %s counts as absent", (_what, key) => {
  const files = () => host({}, ["kernel.vmgs", "rootfs.vhd"]);
  expect(build({ ...policy, [key]: "" }, { host: files() })).toEqual(build(policy, { host: files() }));
});
