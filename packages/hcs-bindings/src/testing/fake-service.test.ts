import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { type ContractHost, describeComputeHostContract } from "./contract.ts";
import { FakeComputeService } from "./fake-service.ts";

/** A fake service that may be lost and comes back, as a real one does. */
class FakeContractHost implements ContractHost {
  readonly assignableDevice = "PCIP\\VEN_1234&DEV_5678";
  readonly memoryMb = 512;
  readonly #files = new Set(["/kernel"]);
  #service = this.#start();

  connect() {
    return Promise.resolve(this.#service.connect());
  }

  document(options: { readonly owner: string; readonly endsWithLastHandle: boolean }) {
    return {
      Owner: options.owner,
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: options.endsWithLastHandle,
      VirtualMachine: {
        Chipset: { LinuxKernelDirect: { KernelFilePath: "/kernel" } },
        ComputeTopology: { Memory: { SizeInMB: this.memoryMb }, Processor: { Count: 1 } },
        Devices: { Plan9: {}, Scsi: { [scsiControllerGuids[0]]: {} } },
      },
    };
  }

  makeDisk(): string {
    return this.#make("disk");
  }

  makeDirectory(): string {
    return this.#make("directory");
  }

  async loseService(): Promise<void> {
    this.#service.lose();
    this.#service = this.#start();
  }

  async dispose(): Promise<void> {
    expect(this.#service.leftovers()).toEqual([]);
  }

  #start(): FakeComputeService {
    return new FakeComputeService({
      hasFile: (path) => this.#files.has(path),
      hasCpuGroup: () => false,
      devices: new Map([[this.assignableDevice, 2]]),
    });
  }

  #make(name: string): string {
    const path = `/${name}-${this.#files.size}`;
    this.#files.add(path);
    return path;
  }
}

describeComputeHostContract("fake service", async () => new FakeContractHost());

describe("a fake service", () => {
  it("tells what is left, and that nothing is", async () => {
    const on = new FakeContractHost();
    const service = new FakeComputeService();
    const host = service.connect();
    const system = await host.createComputeSystem("vm", on.document({ owner: "test", endsWithLastHandle: true }));
    await system.start();
    const listener = await system.listen(4000);
    await system.modify({
      ResourcePath: `VirtualMachine/Devices/Scsi/${scsiControllerGuids[0]}/Attachments/3`,
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: "/d" },
    });
    expect(service.leftovers()).toEqual([
      "system vm (Running)",
      "disk /d at 0:3",
      "listener 4000",
      "handle of vm",
      "claim on /d",
    ]);
    await listener.close();
    await system.close();
    expect(service.leftovers()).toEqual([]);
  });
});
