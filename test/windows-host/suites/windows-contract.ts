import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { win32 } from "node:path";
import { resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import type { ContractHost } from "../../../packages/hcs-bindings/src/testing/contract.ts";
import { describeComputeHostContract } from "../../../packages/hcs-bindings/src/testing/contract.ts";
import { describeNetworkContract } from "../../../packages/hcs-bindings/src/testing/network-contract.ts";
import type { WindowsHost } from "../../../packages/hcs-bindings/src/windows/windows-host.ts";

/** A host that the Windows driver reaches. */
export interface WindowsContractHost {
  readonly openHost: () => Promise<WindowsHost>;
  /** A folder for the files of the tests. */
  readonly files: string;
  readonly boot: { readonly KernelFilePath: string; readonly InitRdPath: string };
  readonly assignableDevice: string;
  /** Takes the compute service away. */
  readonly loseService: () => Promise<void>;
}

const memoryMb = 512;
const diskBytes = 4 * 2 ** 20;

function documentsOf(on: WindowsContractHost): ContractHost["document"] {
  return ({ owner, endsWithLastHandle }) => ({
    Owner: owner,
    SchemaVersion: { Major: 2, Minor: 1 },
    ShouldTerminateOnLastHandleClosed: endsWithLastHandle,
    VirtualMachine: {
      Chipset: { LinuxKernelDirect: on.boot },
      ComputeTopology: { Memory: { SizeInMB: memoryMb }, Processor: { Count: 1 } },
      Devices: { Plan9: {}, VirtualSmb: {}, Scsi: { [scsiControllerGuids[0]]: {} } },
    },
  });
}

/** Both contract suites of hcs-bindings, on the Windows driver. */
export function describeWindowsContract(name: string, on: WindowsContractHost): void {
  const document = documentsOf(on);
  describeComputeHostContract(name, async () => {
    const template = win32.join(on.files, "template.vhd");
    const host = await on.openHost();
    await host.disks.create({ path: template, size: diskBytes }).finally(() => host.close());
    let count = 0;
    const next = (kind: string): string => {
      count++;
      return win32.join(on.files, `${kind}-${count}`);
    };
    return {
      connect: on.openHost,
      document,
      memoryMb,
      assignableDevice: on.assignableDevice,
      makeDisk: () => {
        const path = `${next("disk")}.vhd`;
        copyFileSync(template, path);
        return path;
      },
      makeDirectory: () => {
        const path = next("directory");
        mkdirSync(path);
        return path;
      },
      makeFile: (directory) => {
        count++;
        const path = win32.join(directory, `file-${count}`);
        writeFileSync(path, "");
        return path;
      },
      loseService: on.loseService,
      dispose: async () => {},
    };
  });

  describeWindowsNetworkContract(name, on);
}

/** The contract suite of networks alone. */
export function describeWindowsNetworkContract(name: string, on: WindowsContractHost): void {
  const document = documentsOf(on);
  describeNetworkContract(name, async () => {
    const host = await on.openHost();
    const vm = await host.createComputeSystem("networks", document({ owner: "contract", endsWithLastHandle: true }));
    await vm.start();
    const nic = (RequestType: "Add" | "Remove", id: string, Settings: object): Promise<void> =>
      vm.modify({ ResourcePath: resourcePaths.networkAdapter(id), RequestType, Settings });
    return {
      networks: host.networks,
      addNic: (id, adapter) => nic("Add", id, adapter),
      removeNic: (id, adapter) => nic("Remove", id, adapter),
      dispose: async () => {
        await vm.terminate();
        await host.close();
      },
    };
  });
}
