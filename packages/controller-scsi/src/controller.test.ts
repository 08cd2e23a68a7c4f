import { windowsPaths } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { disk, scsiOn, whole } from "./testing/index.ts";

const verity = {
  Ext4SizeInBytes: 1_048_576,
  Version: 1,
  Algorithm: "sha256",
  SuperBlock: true,
  RootDigest: "ab12",
  Salt: "00ff",
  BlockSize: 4096,
};

describe("mapping one disk", () => {
  it("attaches and mounts, then unmounts, ejects and detaches", async () => {
    const { vm, scsi } = scsiOn();
    const reservation = await scsi.reserve(disk("/layer.vhd"), whole());
    expect(vm.script.calls).toEqual([]);
    expect(await scsi.mapToGuest(reservation)).toBe("/run/mounts/scsi/0/0/0");
    expect(vm.attached).toEqual(new Map([["0:0", "/layer.vhd"]]));
    expect(scsi.disks).toEqual([
      {
        controller: 0,
        lun: 0,
        hostPath: "/layer.vhd",
        state: "Attached",
        isOfDocument: false,
        mounts: [{ partition: 0, guestPath: "/run/mounts/scsi/0/0/0", state: "Mounted", holders: ["r1"] }],
      },
    ]);
    await scsi.unmapFromGuest(reservation);
    expect(vm.script.names).toEqual(["attachDisk", "mountDisk", "unmountDisk", "ejectDisk", "detachDisk"]);
    expect(vm.attached.size + vm.mounted.size).toBe(0);
    expect(scsi.disks).toEqual([]);
  });

  it("sends the configuration to host and guest", async () => {
    const seen: unknown[] = [];
    const { vm } = scsiOn();
    const { scsi } = scsiOn(undefined, {
      host: {
        attachDisk: async (controller, lun, attachment) => void seen.push([controller, lun, attachment]),
        detachDisk: async () => {},
      },
      guest: () => ({
        mountDisk: async (settings) => void seen.push(settings),
        unmountDisk: (settings) => vm.unmountDisk(settings),
        ejectDisk: (device) => vm.ejectDisk(device),
      }),
      reserved: [{ controller: 0, lun: 0 }],
    });
    const reservation = await scsi.reserve(
      disk("/scratch", { readOnly: false, type: "ExtensibleVirtualDisk", extensibleVirtualDiskType: "provider" }),
      {
        partition: 2,
        readOnly: false,
        options: ["noatime", "data=ordered"],
        filesystem: "ext4",
        ensureFilesystem: true,
        encrypted: true,
        blockDevice: true,
      },
    );
    const checked = await scsi.reserve(disk("/checked"), whole({ verity }));
    await scsi.mapToGuest(reservation);
    await scsi.mapToGuest(checked);
    expect(seen.splice(2)).toMatchObject([[0, 2, { Path: "/checked" }], { Lun: 2, VerityInfo: verity }]);
    expect(seen).toEqual([
      [
        0,
        1,
        { Type: "ExtensibleVirtualDisk", Path: "/scratch", ReadOnly: false, ExtensibleVirtualDiskType: "provider" },
      ],
      {
        MountPath: "/run/mounts/scsi/0/1/2",
        Controller: 0,
        Lun: 1,
        Partition: 2,
        ReadOnly: false,
        Encrypted: true,
        Options: ["noatime", "data=ordered"],
        BlockDev: true,
        EnsureFilesystem: true,
        Filesystem: "ext4",
      },
    ]);
  });

  it("can be repeated in both directions", async () => {
    const { vm, scsi } = scsiOn();
    const reservation = await scsi.reserve(disk("/layer.vhd"), whole());
    expect(await scsi.mapToGuest(reservation)).toBe(await scsi.mapToGuest(reservation));
    await Promise.all([scsi.unmapFromGuest(reservation), scsi.unmapFromGuest(reservation)]);
    await scsi.unmapFromGuest(reservation);
    await scsi.unmapFromGuest("never reserved");
    expect(vm.script.calls).toHaveLength(5);
  });

  it("calls neither host nor guest when an unused reservation is released", async () => {
    const { vm, scsi } = scsiOn();
    await scsi.unmapFromGuest(await scsi.reserve(disk("/layer.vhd"), whole()));
    expect(vm.script.calls).toEqual([]);
    expect(scsi.disks).toEqual([]);
  });

  it("refuses to map a disk that is not reserved, or no longer", async () => {
    const { scsi } = scsiOn();
    await expect(scsi.mapToGuest("r9")).rejects.toMatchObject({ code: "NotFound" });
    const reservation = await scsi.reserve(disk("/layer.vhd"), whole());
    const unmapping = scsi.unmapFromGuest(reservation);
    await expect(scsi.mapToGuest(reservation)).rejects.toMatchObject({ code: "NotFound" });
    await unmapping;
  });
});

describe("sharing a disk", () => {
  it("attaches and mounts once for concurrent users, and undoes it with the last one", async () => {
    const { vm, scsi } = scsiOn();
    const users = await Promise.all([1, 2, 3].map(() => scsi.reserve(disk("/layer.vhd"), whole())));
    const paths = await Promise.all(users.map((user) => scsi.mapToGuest(user)));
    expect(new Set(paths)).toEqual(new Set(["/run/mounts/scsi/0/0/0"]));
    expect(vm.script.names).toEqual(["attachDisk", "mountDisk"]);
    await Promise.all(users.slice(1).map((user) => scsi.unmapFromGuest(user)));
    expect(vm.mounted.size).toBe(1);
    await scsi.unmapFromGuest(users[0] ?? "");
    expect(vm.script.names.slice(2)).toEqual(["unmountDisk", "ejectDisk", "detachDisk"]);
  });

  it("leaves the disk to its other user when one releases it twice", async () => {
    const { vm, scsi } = scsiOn();
    const first = await scsi.reserve(disk("/layer.vhd"), whole());
    const second = await scsi.reserve(disk("/layer.vhd"), whole());
    await scsi.mapToGuest(second);
    await Promise.all([scsi.unmapFromGuest(first), scsi.unmapFromGuest(first)]);
    expect(vm.mounted.size).toBe(1);
    expect(scsi.disks[0]?.mounts[0]?.holders).toHaveLength(1);
  });

  it("counts partitions separately", async () => {
    const { vm, scsi } = scsiOn();
    const first = await scsi.reserve(disk("/disk.vhd"), whole({ partition: 1 }));
    const second = await scsi.reserve(disk("/disk.vhd"), whole({ partition: 2, readOnly: false }));
    expect(await scsi.mapToGuest(first)).toBe("/run/mounts/scsi/0/0/1");
    expect(await scsi.mapToGuest(second)).toBe("/run/mounts/scsi/0/0/2");
    await scsi.unmapFromGuest(first);
    expect([...vm.mounted.keys()]).toEqual(["/run/mounts/scsi/0/0/2"]);
    expect(vm.attached.size).toBe(1);
    await scsi.unmapFromGuest(second);
    expect(vm.attached.size).toBe(0);
  });

  it("lets the next user attach when the first one's attach was aborted", async () => {
    const abort = new AbortController();
    const { vm, scsi } = scsiOn(new ScriptedCalls(new Map([[0, "hangDone"]]), () => abort.abort()));
    const first = await scsi.reserve(disk("/layer.vhd"), whole());
    const second = await scsi.reserve(disk("/layer.vhd"), whole());
    const results = await Promise.allSettled([scsi.mapToGuest(first, abort.signal), scsi.mapToGuest(second)]);
    expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "Cancelled" } });
    expect(results[1]).toEqual({ status: "fulfilled", value: "/run/mounts/scsi/0/0/0" });
    expect(vm.script.names).toEqual(["attachDisk", "detachDisk", "attachDisk", "mountDisk"]);
    await Promise.all([scsi.unmapFromGuest(first), scsi.unmapFromGuest(second)]);
    expect(vm.attached.size + vm.mounted.size).toBe(0);
  });

  it("keeps the disk for a user that reserved it just before the last one released it", async () => {
    const { vm, scsi } = scsiOn();
    const first = await scsi.reserve(disk("/layer.vhd"), whole());
    await scsi.mapToGuest(first);
    const unmapping = scsi.unmapFromGuest(first);
    const second = await scsi.reserve(disk("/layer.vhd"), whole());
    await unmapping;
    await scsi.mapToGuest(second);
    expect(vm.script.names).toEqual(["attachDisk", "mountDisk"]);
  });

  it.each([
    ["unmounts", "unmountDisk", ["unmountDisk", "mountDisk"]],
    ["ejects", "ejectDisk", ["unmountDisk", "ejectDisk", "detachDisk", "attachDisk", "mountDisk"]],
  ] as const)("serves a user that reserved the disk while the guest %s it", async (_, during, calls) => {
    const { vm } = scsiOn();
    let second: Promise<string> | undefined;
    const reserveDuring = (name: string): void => {
      if (name === during) second ??= scsi.reserve(disk("/layer.vhd"), whole());
    };
    const { scsi } = scsiOn(undefined, {
      host: vm,
      guest: () => ({
        mountDisk: (...call) => vm.mountDisk(...call),
        unmountDisk: (...call) => {
          reserveDuring("unmountDisk");
          return vm.unmountDisk(...call);
        },
        ejectDisk: (...call) => {
          reserveDuring("ejectDisk");
          return vm.ejectDisk(...call);
        },
      }),
    });
    const first = await scsi.reserve(disk("/layer.vhd"), whole());
    await scsi.mapToGuest(first);
    await scsi.unmapFromGuest(first);
    const reservation = (await second) ?? "";
    expect(await scsi.mapToGuest(reservation)).toBe("/run/mounts/scsi/0/0/0");
    expect(vm.script.names.slice(2)).toEqual(calls);
    await scsi.unmapFromGuest(reservation);
    expect(vm.attached.size + vm.mounted.size).toBe(0);
    expect(scsi.disks).toEqual([]);
  });

  it("recognises a disk by the platform's path comparison", async () => {
    const { scsi } = scsiOn(undefined, { paths: windowsPaths });
    await scsi.reserve(disk("C:\\Layer.vhd"), whole());
    await scsi.reserve(disk("c:\\layer.VHD"), whole());
    expect(scsi.disks).toHaveLength(1);
  });

  it("does not let one disk's attach hold up another's", async () => {
    const abort = new AbortController();
    const { scsi } = scsiOn(new ScriptedCalls(new Map([[0, "hang"]])));
    const slow = scsi.mapToGuest(await scsi.reserve(disk("/slow.vhd"), whole()), abort.signal);
    expect(await scsi.mapToGuest(await scsi.reserve(disk("/fast.vhd"), whole()))).toBe("/run/mounts/scsi/0/1/0");
    abort.abort();
    await expect(slow).rejects.toMatchObject({ code: "Cancelled" });
  });
});

describe("refusing a reservation", () => {
  it.each([
    [disk("/d", { readOnly: false }), whole(), "readOnly is false, expected true"],
    [disk("/d", { type: "PassThru" }), whole(), 'type is "PassThru", expected "VirtualDisk"'],
    [disk("/d"), whole({ readOnly: false }), "readOnly is false, expected true"],
    [disk("/d"), whole({ encrypted: true }), "encrypted is true, expected false"],
    [disk("/d"), whole({ options: ["a"] }), 'options is ["a"], expected ["a","b"]'],
    [disk("/d"), whole({ filesystem: "xfs" }), 'filesystem is "xfs", expected ""'],
    [disk("/d"), whole({ ensureFilesystem: true }), "ensureFilesystem is true, expected false"],
    [disk("/d"), whole({ blockDevice: true }), "blockDevice is true, expected false"],
    [disk("/d"), whole({ verity }), 'verity is "ab12", expected ""'],
    [
      disk("evd://p//d", { type: "ExtensibleVirtualDisk" }),
      whole(),
      'type is "ExtensibleVirtualDisk", expected "VirtualDisk"; extensibleVirtualDiskType is "p", expected ""',
    ],
  ])("%j %j: differs from its holder", async (config, mount, message) => {
    const { scsi } = scsiOn();
    const options = mount.options === undefined ? {} : { options: ["b", "a"] };
    await scsi.reserve(disk("/d"), whole(options));
    const refused = scsi.reserve(config, mount);
    await expect(refused).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(refused).rejects.toThrow(message);
    expect(scsi.disks[0]?.mounts[0]?.holders).toHaveLength(1);
  });

  it("accepts mount options in any order", async () => {
    const { scsi } = scsiOn();
    await scsi.reserve(disk("/d"), whole({ options: ["a", "b"] }));
    await scsi.reserve(disk("/d"), whole({ options: ["b", "a"] }));
    expect(scsi.disks[0]?.mounts[0]?.holders).toHaveLength(2);
  });

  it.each([
    [disk(""), whole(), 'hostPath is ""'],
    [disk("layer.vhd"), whole(), 'hostPath is "layer.vhd", expected an absolute path'],
    [disk("../layer.vhd"), whole(), 'hostPath is "../layer.vhd"'],
    [disk("/a\0b"), whole(), 'hostPath is "/a\\u0000b"'],
    [disk("sda", { type: "PassThru" }), whole(), 'hostPath is "sda"'],
    [disk("evd://provider/x"), whole(), 'type is "VirtualDisk", expected ExtensibleVirtualDisk'],
    [disk("evd://provider", { type: "ExtensibleVirtualDisk" }), whole(), "evd://<provider>/<path>"],
    [disk("evd:///x", { type: "ExtensibleVirtualDisk" }), whole(), "evd://<provider>/<path>"],
    [disk("evd://p/", { type: "ExtensibleVirtualDisk" }), whole(), "evd://<provider>/<path>"],
    [
      disk("evd://p/x", { type: "ExtensibleVirtualDisk", extensibleVirtualDiskType: "q" }),
      whole(),
      'extensibleVirtualDiskType is "q", expected p',
    ],
    [disk("/d"), whole({ options: ["ro,rw"] }), 'options is "ro,rw", expected mount options without commas'],
    [disk("/d"), whole({ options: [""] }), 'options is ""'],
    [disk("/d"), whole({ readOnly: false, verity }), "expected none for a writable mount"],
    [disk("/d"), whole({ verity: { ...verity, RootDigest: "xyz" } }), 'verity.RootDigest is "xyz"'],
    [disk("/d"), whole({ verity: { ...verity, Salt: "" } }), 'verity.Salt is ""'],
    [disk("/d"), whole({ verity: { ...verity, Ext4SizeInBytes: 0 } }), "verity.Ext4SizeInBytes is 0"],
    [disk("/d", { type: "Floppy" as never }), whole(), "one of VirtualDisk, PassThru, ExtensibleVirtualDisk"],
    [disk("/d", { type: "ExtensibleVirtualDisk" }), whole(), "extensibleVirtualDiskType"],
    [disk("/d", { extensibleVirtualDiskType: "provider" }), whole(), "nothing for a VirtualDisk"],
    [disk("/d"), whole({ partition: -1 }), "partition is -1"],
    [disk("/d"), whole({ partition: 65_536 }), "from 0 (the whole disk) to 65535"],
    [disk("/d"), whole({ partition: 1.5 }), "partition is 1.5"],
  ])("%j %j: impossible", async (config, mount, message) => {
    const { vm, scsi } = scsiOn();
    const refused = scsi.reserve(config, mount);
    await expect(refused).rejects.toMatchObject({ code: "InvalidArgument" });
    await expect(refused).rejects.toThrow(message);
    expect(scsi.disks).toEqual([]);
    expect(vm.script.calls).toEqual([]);
  });
});

describe("an ended VM", () => {
  it("allows everything to be released, and nothing to be mapped", async () => {
    const gone = Object.assign(scriptedError("FailedPrecondition", "the VM has ended"), { gone: true });
    let ended = false;
    const { vm } = scsiOn();
    const { scsi } = scsiOn(undefined, {
      host: {
        attachDisk: (...call) => vm.attachDisk(...call),
        detachDisk: async (...call) => (ended ? Promise.reject(gone) : vm.detachDisk(...call)),
      },
      guest: () => {
        if (ended) throw gone;
        return vm;
      },
    });
    const mapped = await scsi.reserve(disk("/mapped"), whole());
    const reserved = await scsi.reserve(disk("/reserved"), whole());
    await scsi.mapToGuest(mapped);
    ended = true;
    await expect(scsi.mapToGuest(reserved)).rejects.toMatchObject({ code: "FailedPrecondition" });
    await Promise.all([scsi.unmapFromGuest(mapped), scsi.unmapFromGuest(reserved)]);
    expect(scsi.disks).toEqual([]);
  });
});
