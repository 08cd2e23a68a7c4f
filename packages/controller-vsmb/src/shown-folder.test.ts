import { Acquisitions } from "@uvm-shim/lifecycle";
import { describe, expect, it } from "vitest";
import { type ShownFolder, type ShownFolderParts, showFolder } from "./shown-folder.ts";
import { vsmbOn } from "./testing/index.ts";

const data: ShownFolder = { hostPath: "C:\\data", kind: "directory", guestPath: "C:\\shown", readOnly: true };

function folderOn() {
  const { vm, vsmb, leftovers } = vsmbOn(undefined, { noDirectMap: true });
  const mapped: object[] = [];
  let refusal: Error | undefined;
  const parts: ShownFolderParts = {
    shares: () => vsmb,
    guest: () => ({
      async mapDirectory(directory) {
        if (refusal !== undefined) throw refusal;
        mapped.push(directory);
      },
    }),
  };
  const refuse = (error: Error): void => {
    refusal = error;
  };
  return { vm, mapped, parts, leftovers, refuse };
}

describe("a folder that is shown in the VM", () => {
  it("is a share for which the guest makes another path, until it is released", async () => {
    const { mapped, parts, leftovers } = folderOn();
    const held = new Acquisitions();
    await held.acquireAll(showFolder(data, parts));
    expect(mapped).toEqual([
      { HostPath: expect.stringMatching(/\\VSMB-[^\\]+\\s1$/i), ContainerPath: "C:\\shown", ReadOnly: true },
    ]);
    await held.releaseAll();
    expect(leftovers()).toEqual([]);
  });

  it("leaves no share when the guest refuses the path", async () => {
    const { parts, leftovers, refuse } = folderOn();
    refuse(new Error("no such path"));
    await expect(new Acquisitions().acquireAll(showFolder(data, parts))).rejects.toThrow("no such path");
    expect(leftovers()).toEqual([]);
  });

  it.each<[string, Partial<ShownFolder>, string]>([
    ["a file", { kind: "file" }, "expected a folder"],
    ["a path without a drive", { guestPath: "\\shown" }, "expected a folder such as C:\\shared"],
    ["a whole drive", { guestPath: "C:\\" }, "expected a folder such as C:\\shared"],
  ])("is refused for %s", async (_what, change, message) => {
    const { vm, parts } = folderOn();
    await expect(new Acquisitions().acquireAll(showFolder({ ...data, ...change }, parts))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
    expect(vm.script.names).toEqual([]);
  });
});
