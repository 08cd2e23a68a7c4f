/** Run under Wine: the contract suites of hcs-bindings on the Windows driver and the test host's DLLs. */
import { mkdirSync, writeFileSync } from "node:fs";
import { win32 } from "node:path";
import { resourcePaths } from "@uvm-shim/hcs-schema";
import type { ContractHost } from "../../../packages/hcs-bindings/src/testing/contract.ts";
import { describeComputeHostContract } from "../../../packages/hcs-bindings/src/testing/contract.ts";
import { describeNetworkContract } from "../../../packages/hcs-bindings/src/testing/network-contract.ts";
import type { WindowsHost } from "../../../packages/hcs-bindings/src/windows/windows-host.ts";
import { controls, paths, system } from "./system-under-test.ts";

import { assignableDevice } from "./test-host-paths.ts";
import { memoryMb, vmDocument } from "./vm-document.ts";

class TestHost implements ContractHost {
  readonly assignableDevice = assignableDevice;
  readonly memoryMb = memoryMb;
  #files = 0;

  connect(): Promise<WindowsHost> {
    return system.openHost();
  }

  document = vmDocument;

  makeDisk(): string {
    const path = this.#name("disk");
    writeFileSync(path, Buffer.alloc(64 * 1024));
    return path;
  }

  makeDirectory(): string {
    const path = this.#name("directory");
    mkdirSync(path);
    return path;
  }

  loseService(): Promise<void> {
    return controls.configure({ loseService: true });
  }

  async dispose(): Promise<void> {}

  #name(kind: string): string {
    this.#files++;
    return win32.join(paths.files, `${kind}-${this.#files}`);
  }
}

describeComputeHostContract("Windows driver and test host", async () => new TestHost());

describeNetworkContract("Windows driver and test host", async () => {
  const test = new TestHost();
  const host = await test.connect();
  const vm = await host.createComputeSystem("networks", test.document({ owner: "contract", endsWithLastHandle: true }));
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
