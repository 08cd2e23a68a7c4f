import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { topology, vm } from "@uvm-shim/sandbox-common";
import { describe, expect, it } from "vitest";
import {
  bootFolder,
  build,
  confidential,
  host,
  policy,
  snapshot,
  usualFiles,
  windowsLayer,
} from "../testing/sandbox.ts";

const wcow = `${vm}wcow.`;
const of = (annotations: object = {}, more = {}) => build({ ...policy, ...annotations }, { ...confidential, ...more });
const without = (path: string) => ({
  host: host(
    {},
    usualFiles.filter((file) => file !== path),
  ),
});
const scratch = `${snapshot}\\sandbox.vhdx`;

describe("a confidential VM", () => {
  it("boots measured files, with the policy's digest in its launch measurement", () => {
    const { document, settings, Devices, Memory, warnings } = of();
    expect(warnings).toEqual([]);
    expect(document.SchemaVersion).toEqual({ Major: 2, Minor: 5 });
    expect(document.VirtualMachine).toMatchObject({
      Version: { Major: 12 },
      Chipset: {
        Uefi: {
          ApplySecureBootTemplate: "Apply",
          SecureBootTemplateId: "1734c6e8-3154-4dda-ba5f-a874cc483422",
        },
      },
      GuestState: { GuestStateFilePath: `${snapshot}\\cwcow.snp.vmgs`, GuestStateFileType: "BlockStorage" },
      SecuritySettings: {
        Isolation: {
          IsolationType: "SecureNestedPaging",
          HclEnabled: true,
          LaunchData: "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=",
        },
      },
    });
    expect(document.VirtualMachine.Chipset.Uefi).not.toHaveProperty("BootThis");
    expect(Memory).toEqual({ SizeInMB: 2048 });
    expect(Devices?.Scsi?.[scsiControllerGuids[0]]?.Attachments).toEqual({
      "0": { Type: "VirtualDisk", Path: scratch },
      "1": { Type: "VirtualDisk", Path: `${bootFolder}\\boot.vhd`, ReadOnly: true },
      "2": { Type: "VirtualDisk", Path: `${bootFolder}\\rootfs.vhd`, ReadOnly: true },
    });
    expect(Devices?.VirtualSmb?.Shares).toEqual([
      {
        Name: "defaultEmptyShare",
        Path: "C:\\bundle\\EmptyDoNotModify",
        Options: { ReadOnly: true, ShareRead: true, NoOplocks: true },
      },
    ]);
    expect(Devices?.HvSocket?.HvSocketConfig).not.toHaveProperty("ServiceTable");
    expect(settings.gcsService).toBe("ae8da506-a019-4553-a52b-902bc0fa0411");
    expect(settings.logForwarding).toBeUndefined();
  });

  it("has copies of its own, and access to what it uses", () => {
    expect(of({ [`${wcow}writable_efi`]: "1" }).settings.preparation).toEqual({
      folders: ["C:\\bundle\\EmptyDoNotModify"],
      copies: [
        { from: `${bootFolder}\\cwcow.snp.vmgs`, to: `${snapshot}\\cwcow.snp.vmgs`, existing: "replace" },
        { from: `${bootFolder}\\boot.vhd`, to: `${snapshot}\\boot.vhd`, existing: "replace" },
      ],
      vmAccess: [
        `${snapshot}\\boot.vhd`,
        `${bootFolder}\\rootfs.vhd`,
        `${snapshot}\\cwcow.snp.vmgs`,
        scratch,
        "C:\\bundle\\EmptyDoNotModify",
      ],
      vmGroupAccess: [],
      diskIdentifiers: [{ path: scratch, identifier: "a7b3c5d1-4e2f-4a8b-9c6d-1e3f5a7b9c2d" }],
    });
  });

  it.each([
    ["VBS", "cwcow.vbs.vmgs"],
    ["GuestStateOnly", "cwcow.gso.vmgs"],
    ["SNP", "cwcow.snp.vmgs"],
  ])("with isolation %s has the guest state file %s", (type, file) => {
    expect(of({ [`${wcow}isolation_type`]: type }).settings.preparation.copies[0]?.from).toBe(`${bootFolder}\\${file}`);
  });

  it("forwards logs only where it is asked to, and then must", () => {
    const { settings, Devices } = of({ [`${vm}forwardlogs.enable`]: "true" });
    expect(settings.logForwarding?.isRequired).toBe(true);
    expect(Object.keys(Devices?.HvSocket?.HvSocketConfig?.ServiceTable ?? {})).toEqual([
      "172dad59-976d-45f2-8b6c-6d1b13f2ac4d",
    ]);
  });

  it.each([
    [{ [`${topology}memory.sizeinmb`]: "2049" }, {}, 2050],
    [{ [`${topology}memory.sizeinmb`]: "4096" }, {}, 4096],
    [{}, { specification: { windows: { resources: { memory: { limit: 2 ** 32 } } } } }, 4096],
    [{}, { specification: { windows: { resources: { memory: { limit: 2 ** 30 } } } } }, 2048],
  ])("with %j and %j has %i MB, all of it physical", (annotations, more, size) => {
    expect(of(annotations, more).Memory).toEqual({ SizeInMB: size });
  });

  it("is found in another boot folder, by annotation or option", () => {
    const files = ["boot.vhd", "rootfs.vhd", "cwcow.snp.vmgs"].map((name) => `C:\\own\\${name}`);
    const own = { host: host({}, [...files, scratch]) };
    const copied = { from: "C:\\own\\cwcow.snp.vmgs", to: `${snapshot}\\cwcow.snp.vmgs`, existing: "replace" };
    for (const { settings } of [
      of({ [`${vm}bootfilesrootpath`]: "C:\\own" }, own),
      of({}, { ...own, options: { bootFilesRootPath: "C:\\own" } }),
    ]) {
      expect(settings.preparation.copies).toEqual([copied]);
      expect(settings.confidential?.referenceInfoFile).toBe("C:\\own\\reference_info.cose");
    }
  });

  it.each<[string, object, object, string]>([
    ["too little memory", { [`${topology}memory.sizeinmb`]: "2047" }, {}, "got 2047, expected at least 2048"],
    ["no memory", { [`${topology}memory.sizeinmb`]: "0" }, {}, "got 0, expected at least 2048"],
    ["deferred commit", { [`${topology}memory.enabledeferredcommit`]: "1" }, {}, "whose memory is physical"],
    ["ordinary layers", {}, { rootfs: [windowsLayer] }, "expected none: only BlockCIM layers can be confidential"],
    ["no layers", {}, { rootfs: [] }, "expected none: only BlockCIM layers can be confidential"],
    ["no scratch disk", {}, without(scratch), "rootfs[0].source: got"],
    ["no EFI disk", {}, without(`${bootFolder}\\boot.vhd`), "bootfilesrootpath: got"],
    ["no image", {}, without(`${bootFolder}\\rootfs.vhd`), "bootfilesrootpath: got"],
    ["no guest state", {}, without(`${bootFolder}\\cwcow.snp.vmgs`), "bootfilesrootpath: got"],
    ["a relative boot folder", { [`${vm}bootfilesrootpath`]: "own" }, {}, 'got "own", expected an absolute path'],
    [
      "a guest state file that would be copied over the EFI disk's copy",
      { [`${wcow}gueststatefile`]: "C:\\own\\BOOT.vhd", [`${wcow}writable_efi`]: "1" },
      { host: host({}, [...usualFiles, "C:\\own\\BOOT.vhd"]) },
      "expected another name: the VM's copy would be",
    ],
  ])("is refused with %s", (_what, annotations, more, message) => {
    expect(() => of(annotations, more)).toThrow(message);
    expect(() => of(annotations, more)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });
});
