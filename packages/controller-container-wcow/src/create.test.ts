import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, layerGuid, layersMount, noStdio, specification } from "./testing/index.ts";

const pipe = "\\\\.\\pipe\\engine";
const everything = {
  mounts: [
    { destination: "C:\\data", source: "C:\\data", options: ["ro"] },
    { destination: "C:\\one.txt", source: "C:\\data\\one.txt" },
    { destination: "C:\\disk", source: "C:\\disks\\data.vhdx", type: "virtual-disk" },
    { destination: "C:\\pod", source: "sandbox:///logs" },
    { destination: pipe, source: pipe },
  ],
  annotations: { "io.microsoft.virtualmachine.kerneldrivers": "C:\\drivers" },
  windows: {
    hyperv: {},
    credentialSpec: '{"secret":1}',
    devices: [{ id: "PCIP\\GPU/2", idType: "vpci-instance-id" }],
  },
};

describe("create", () => {
  it("acquires in the order of the reference's shim, and creates the container when all is there", async () => {
    const script = new ScriptedCalls();
    await new ContainerBench(script).created(specification(everything));
    expect(script.calls.map(({ name, detail }) => `${name} ${detail}`)).toEqual([
      "map share C:\\drivers",
      "run cmd /c C:\\Windows\\System32\\pnputil.exe /add-driver //?/VMSMB/share0/*.inf /subdirs /install",
      "layerId 2",
      "map share C:\\snapshots\\2",
      "layerId 1",
      "map share C:\\snapshots\\1",
      "grantVmAccess C:\\snapshots\\3\\sandbox.vhdx",
      "map disk C:\\snapshots\\3\\sandbox.vhdx",
      "combine C:/mounts/scsi/disk0",
      "run cmd /c mkdir C:\\SandboxMounts\\logs & dir C:\\SandboxMounts\\logs",
      "map share C:\\data",
      "map share C:\\data\\one.txt",
      "grantVmAccess C:\\disks\\data.vhdx",
      "map disk C:\\disks\\data.vhdx",
      `map pipe ${pipe}`,
      "addCredentialGuard c1",
      "updateHvSocketService 0dd3fa27-0000-4000-8000-00000000ccc6",
      "map share C:\\shim\\device-util.exe",
      "map device PCIP\\GPU",
      expect.stringMatching(
        /^run \S+ children --parentID=VMBUS\\\{44c4f61d-4444-4400-9d52-802e27ede19f\}\\\{.*\} --property=location$/,
      ),
      "run cmd /c C:\\Windows\\System32\\pnputil.exe /add-driver //?/VMSMB/share0/*.inf /subdirs /install",
      "createContainer c1",
      "systemGuid c1",
      "redirectHvsockets 6bd9d2c7-0000-4000-8000-000000000001",
      "openStdio ",
    ]);
  });

  it("tells the guest what the acquisitions have found out", async () => {
    const bench = await new ContainerBench().created(specification(everything));
    expect(bench.guest.documents).toMatchObject([
      {
        Container: {
          Storage: {
            Path: "C:/mounts/scsi/disk0",
            Layers: [
              { Id: layerGuid("2"), Path: "//?/VMSMB/share1" },
              { Id: layerGuid("1"), Path: "//?/VMSMB/share2" },
            ],
          },
          MappedDirectories: expect.arrayContaining([
            { HostPath: "//?/VMSMB/share3", ContainerPath: "C:\\data", ReadOnly: true },
            { HostPath: "C:/mounts/scsi/disk1", ContainerPath: "C:\\disk" },
          ]),
          MappedPipes: [{ ContainerPipeName: "engine", HostPath: "//?/VMSMB/IPC$/pipe0" }],
          ContainerCredentialGuard: { Cookie: "Y29va2ll", Transport: "HvSocket" },
          AssignedDevices: [
            { Type: "DeviceInstance", LocationPath: "PCIROOT(0)#A" },
            { Type: "DeviceInstance", LocationPath: "PCIROOT(0)#B" },
          ],
        },
      },
    ]);
    expect(bench.guest.combinations).toEqual([
      {
        ContainerRootPath: "C:/mounts/scsi/disk0",
        Layers: [
          { Id: layerGuid("2"), Path: "//?/VMSMB/share1" },
          { Id: layerGuid("1"), Path: "//?/VMSMB/share2" },
        ],
      },
    ]);
  });

  it("opens layers with backup privilege and read-only, and grants the VM its scratch disk", async () => {
    const bench = await new ContainerBench().created();
    expect(bench.shares.requests).toEqual(
      ["C:\\snapshots\\2", "C:\\snapshots\\1"].map((hostPath) => ({
        ...{ hostPath, kind: "directory", readOnly: true, takeBackupPrivilege: true },
      })),
    );
    expect(bench.disks.requests).toEqual([
      {
        disk: { hostPath: "C:\\snapshots\\3\\sandbox.vhdx", readOnly: false, type: "VirtualDisk" },
        mount: { readOnly: false },
      },
    ]);
    expect(bench.vm.granted).toEqual(["C:\\snapshots\\3\\sandbox.vhdx"]);
  });

  it("makes a scratch disk that is missing, and leaves it in its folder", async () => {
    const bench = new ContainerBench();
    bench.files.kinds.delete("C:\\snapshots\\3\\sandbox.vhdx");
    await bench.created();
    expect(bench.services.scratchFolders).toEqual(["C:\\snapshots\\3"]);
    await bench.controller.delete();
    expect(bench.services.scratchFolders).toEqual(["C:\\snapshots\\3"]);
  });

  it("goes on with a scratch disk that somebody has made meanwhile", async () => {
    const bench = new ContainerBench();
    bench.files.kinds.delete("C:\\snapshots\\3\\sandbox.vhdx");
    bench.services.scratchFolders.push("C:\\snapshots\\3");
    await bench.created();
    expect(bench.controller.state).toBe("Created");
  });

  it("runs programs of the VM as its system account", async () => {
    const bench = await new ContainerBench().created(specification(everything));
    expect(bench.guest.commands[0]).toEqual({
      CommandLine: expect.stringContaining("pnputil.exe"),
      ...{ User: "NT AUTHORITY\\SYSTEM", WorkingDirectory: "C:\\", EmulateConsole: false },
      ...{ CreateStdInPipe: false, CreateStdOutPipe: true, CreateStdErrPipe: true },
    });
  });

  it("warns of drivers that the VM has already, and refuses those that cannot be installed", async () => {
    const bench = new ContainerBench();
    bench.guest.outcomes.set("pnputil", { exitCode: 259, output: "" });
    await bench.created(specification(everything));
    expect(bench.warnings).toContainEqual(expect.stringContaining("drivers C:\\drivers: none is ranked higher"));
    const failing = new ContainerBench();
    failing.guest.outcomes.set("pnputil", { exitCode: 5, output: "Access is denied." });
    await expect(failing.created(specification(everything))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringMatching(/pnputil.* ended with 5 in the VM, expected 0, saying "Access is denied\."/),
    });
    expect(failing.leftovers).toEqual([]);
  });

  it("refuses a device of which the guest knows no location", async () => {
    const bench = new ContainerBench();
    bench.guest.outcomes.set("children --parentID=", { exitCode: 0, output: "\r\n" });
    await expect(bench.created(specification(everything))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("the guest names no location path for device PCIP\\GPU"),
    });
    expect(bench.leftovers).toEqual([]);
  });

  it("keeps the folder that another container has made", async () => {
    const mounts = [{ destination: "C:\\pod", source: "sandbox:///two words" }];
    const bench = await new ContainerBench().created(specification({ mounts }));
    expect(bench.guest.commands.map(({ CommandLine }) => CommandLine)).toEqual([
      'cmd /c mkdir "C:\\SandboxMounts\\two words" & dir "C:\\SandboxMounts\\two words"',
    ]);
  });

  it("does not repeat a credential specification in an error", async () => {
    const bench = new ContainerBench();
    bench.services.guards.set("c1", "another's");
    const error = await bench.created(specification(everything)).catch((thrown: unknown) => String(thrown));
    expect(error).toContain("c1 has a guard");
    expect(error).not.toContain("secret");
  });

  it("combines the layers of a confidential VM for the container", async () => {
    const vm = { processors: 4, isConfidential: true, supportsHostProcesses: false, noWritableFileShares: false };
    const rootfs = [
      {
        ...{ type: "BlockCIM", source: "C:\\snapshots\\3" },
        options: [
          "rw",
          `parentCimPaths=${JSON.stringify(["C:\\snapshots\\1\\a.bcim\\layer.cim"])}`,
          "blockCIMType=file",
        ],
      },
    ];
    const bench = new ContainerBench(new ScriptedCalls(), { plan: { vm } });
    bench.files.kinds.set("C:\\snapshots\\1\\a.bcim", "file");
    await bench.created(specification(), rootfs);
    expect(bench.guest.confidential).toEqual(["c1"]);
    expect(bench.guest.combinations).toMatchObject([
      { FilterType: "UnionFS", Layers: [{ Path: "\\\\?\\Volume{guid of/volume0}\\Files" }] },
    ]);
    expect(bench.disks.requests.at(-1)?.mount).toEqual({ readOnly: false, formatScratch: true });
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });

  it("refuses endpoints without a namespace where nobody makes one, and uses the one that is made", async () => {
    const spec = specification({ windows: { hyperv: {}, network: { endpointList: ["e1"] } } });
    await expect(new ContainerBench().created(spec)).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining("expected windows.network.networkNamespace"),
    });
    const removed: string[] = [];
    const namespaces = { acquire: async () => "n1", release: async (id: string) => void removed.push(id) };
    const bench = await new ContainerBench(new ScriptedCalls(), { namespaces }).created(spec);
    expect(bench.guest.documents).toMatchObject([{ Container: { Networking: { Namespace: "n1" } } }]);
    await bench.controller.delete();
    expect(removed).toEqual(["n1"]);
  });

  it.each([
    [{ process: undefined }, "config.json: process is missing, expected the program to run"],
    [{ process: { cwd: "C:\\" } }, "config.json: process has neither args nor commandLine, expected a program to run"],
  ])("refuses a specification without a program: %j", async (changes, message) => {
    const bench = new ContainerBench();
    await expect(bench.created(specification(changes))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
    expect(bench.controller.state).toBe("Invalid");
    expect(bench.leftovers).toEqual([]);
  });

  it("refuses an id that is none", async () => {
    const bench = new ContainerBench(new ScriptedCalls(), { id: "..\\x" });
    await expect(bench.created()).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("the id must start with a letter or digit"),
    });
  });

  it("can happen only once", async () => {
    const bench = await new ContainerBench().created();
    await expect(bench.created()).rejects.toMatchObject({ code: "FailedPrecondition" });
    expect(bench.controller.state).toBe("Created");
  });

  it("leaves nothing behind when any of its calls fails or hangs", async () => {
    const faultless = new ScriptedCalls();
    await new ContainerBench(faultless).created(specification(everything));
    for (const fault of ["fail", "lose"] as const) {
      for (const call of faultless.calls.keys()) {
        const bench = new ContainerBench(new ScriptedCalls(new Map([[call, fault]])));
        const request = { spec: specification(everything), rootfs: [layersMount], stdio: noStdio };
        await expect(bench.controller.create(request)).rejects.toMatchObject({ code: "Unavailable" });
        expect([fault, call, bench.leftovers]).toEqual([fault, call, []]);
        expect(bench.controller.state).toBe("Invalid");
      }
    }
  });
});
