import { Acquisitions, posixPaths } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { type ShownFolder, showFolder } from "./shown-folder.ts";
import { plan9On } from "./testing/index.ts";

const data: ShownFolder = { hostPath: "/data", kind: "directory", guestPath: "/mnt/data", readOnly: true };

describe("a folder that is shown in the VM", () => {
  it("is a share that is mounted at the wanted path, until it is released", async () => {
    const { vm, plan9 } = plan9On();
    const held = new Acquisitions();
    await held.acquireAll(showFolder(data, { shares: () => plan9, paths: posixPaths }));
    expect([...vm.mounted.keys()]).toEqual(["/mnt/data"]);
    expect([...vm.shares.values()].map(({ Path }) => Path)).toEqual(["/data"]);
    expect(held.names).toEqual(["Plan9 share of /data at /mnt/data"]);
    await held.releaseAll();
    expect(vm.leftovers()).toEqual([]);
  });

  it("has nothing but the file, if it is shown for one", async () => {
    const { vm, plan9 } = plan9On();
    const file = { ...data, hostPath: "/etc/hosts", kind: "file" } as const;
    await new Acquisitions().acquireAll(showFolder(file, { shares: () => plan9, paths: posixPaths }));
    expect([...vm.shares.values()]).toMatchObject([{ Path: "/etc", AllowedFiles: ["hosts"] }]);
  });

  it.each(["", "mnt", "/", "//", "/mnt/../etc"])("is refused at the guest path %j", async (guestPath) => {
    const { vm, plan9 } = plan9On();
    const steps = showFolder({ ...data, guestPath }, { shares: () => plan9, paths: posixPaths });
    await expect(new Acquisitions().acquireAll(steps)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected an absolute one below /, without .."),
    });
    expect(vm.script.names).toEqual([]);
  });

  it("is refused where the VM takes only read-only shares", async () => {
    const { plan9 } = plan9On(undefined, { noWritableFileShares: true });
    const steps = showFolder({ ...data, readOnly: false }, { shares: () => plan9, paths: posixPaths });
    await expect(new Acquisitions().acquireAll(steps)).rejects.toMatchObject({ code: "FailedPrecondition" });
    expect(plan9.shares).toEqual([]);
  });
});
