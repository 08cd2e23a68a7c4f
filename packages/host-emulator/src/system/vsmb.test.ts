import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type ModifyRequestType,
  resourcePaths,
  type VirtualSmbDevice,
  type VirtualSmbShare,
} from "@uvm-shim/hcs-schema";
import { afterAll, describe, expect, it } from "vitest";
import type { GuestMachine } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { TestFiles } from "../testing/fake-guest.ts";
import { readDocument } from "./document.ts";
import { readResourcePath } from "./resource-path.ts";
import { isVsmb, SystemVsmb } from "./vsmb.ts";

const files = new TestFiles();
afterAll(() => files.remove());

const directory = join(files.directory, "data");
mkdirSync(directory);
const hosts = files.write("data/hosts", "");
const two = files.write("data/two", "");
const share: VirtualSmbShare = {
  Name: "s1",
  Path: directory,
  AllowedFiles: [hosts],
  Options: { RestrictFileAccess: true },
};
const pipe = "\\\\.\\pipe\\docker_engine";

/** A machine whose guest has VSMB, and what it was told. */
function machineOf() {
  const calls: string[] = [];
  const told = async (call: string): Promise<void> => void calls.push(call);
  const machine = {
    addVsmbShare: (added: VirtualSmbShare) => told(`add ${added.Name}`),
    updateVsmbShare: (updated: VirtualSmbShare) => told(`update ${updated.Name} ${updated.AllowedFiles?.length}`),
    removeVsmbShare: (name: string) => told(`remove ${name}`),
    mapPipe: (path: string) => told(`map ${path}`),
    unmapPipe: (path: string) => told(`unmap ${path}`),
  } as unknown as GuestMachine;
  return { machine, calls };
}

function modify(
  vsmb: SystemVsmb,
  machine: GuestMachine,
  RequestType: ModifyRequestType,
  ResourcePath: string,
  Settings?: unknown,
): Promise<void> {
  const resource = readResourcePath(ResourcePath);
  if (!isVsmb(resource)) throw new Error(`${ResourcePath} is not of VSMB`);
  return vsmb.modify(machine, resource, { ResourcePath, RequestType, ...(Settings !== undefined && { Settings }) });
}

describe("VSMB of a system", () => {
  it("reaches a guest that has it, the document's shares first", async () => {
    const { machine, calls } = machineOf();
    const vsmb = new SystemVsmb({ Shares: [{ Name: "os", Path: directory, Options: {} }] });
    await vsmb.start(machine);
    const { virtualSmbShares } = resourcePaths;
    await modify(vsmb, machine, "Add", virtualSmbShares, share);
    await modify(vsmb, machine, "Update", virtualSmbShares, { ...share, AllowedFiles: [hosts, two] });
    await modify(vsmb, machine, "Remove", virtualSmbShares, { Name: "S1" });
    await modify(vsmb, machine, "Add", resourcePaths.mappedPipe(pipe));
    await modify(vsmb, machine, "Remove", resourcePaths.mappedPipe(pipe));
    expect(calls).toEqual(["add os", "add s1", "update s1 2", "remove s1", `map ${pipe}`, `unmap ${pipe}`]);
    await expect(modify(vsmb, machine, "Add", virtualSmbShares, { ...share, Name: "OS" })).rejects.toThrow(
      "Settings.Name: share OS already exists",
    );
  });

  it("has a share only once its guest has taken it", async () => {
    const refused = new HcsFailure("ERROR_NO_SYSTEM_RESOURCES", "no more handles");
    const failing = { addVsmbShare: () => Promise.reject(refused) } as unknown as GuestMachine;
    const vsmb = new SystemVsmb({});
    await expect(modify(vsmb, failing, "Add", resourcePaths.virtualSmbShares, share)).rejects.toBe(refused);
    await modify(vsmb, machineOf().machine, "Add", resourcePaths.virtualSmbShares, share);
  });

  it("is refused where the document has none", async () => {
    const { machine, calls } = machineOf();
    const vsmb = new SystemVsmb(undefined);
    for (const path of [resourcePaths.virtualSmbShares, resourcePaths.mappedPipe(pipe)]) {
      await expect(modify(vsmb, machine, "Add", path)).rejects.toThrow("VirtualMachine.Devices.VirtualSmb");
    }
    expect(calls).toEqual([]);
  });
});

describe("VSMB shares of a document", () => {
  const read = (VirtualSmb: VirtualSmbDevice) => {
    const document = files.document();
    return readDocument({
      ...document,
      VirtualMachine: { ...document.VirtualMachine, Devices: { ...document.VirtualMachine.Devices, VirtualSmb } },
    });
  };

  it("are part of its plan", () => {
    const device = { Shares: [share], DirectFileMappingInMB: 1024 };
    expect(read(device).vsmb).toEqual(device);
    expect(readDocument(files.document()).vsmb).toBeUndefined();
  });

  it.each<[VirtualSmbDevice, string]>([
    [{ Shares: [share, { ...share, Name: "S1" }] }, "VirtualMachine.Devices.VirtualSmb.Shares: duplicate name S1"],
    [{ Shares: [{ ...share, Path: hosts }] }, "Shares[0].Path: expected a directory"],
    [{ Shares: [{ ...share, Path: join(directory, "missing") }] }, "missing does not exist"],
    [
      { Shares: [{ ...share, Options: {} }] },
      "Shares[0].AllowedFiles: expected if and only if Options.RestrictFileAccess",
    ],
    [
      { Shares: [{ ...share, AllowedFiles: [files.kernel] }] },
      "Shares[0].AllowedFiles[0]: expected the full path of a file",
    ],
    [{ DirectFileMappingInMB: -1 }, "DirectFileMappingInMB: expected an integer of at least 0, got -1"],
  ])("are refused as %j", (device, message) => {
    expect(() => read(device)).toThrow(message);
  });
});
