import { type ComputeSystemDocument, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { expect } from "vitest";
import type { ComputeHost } from "../types.ts";
import type { ContractHost } from "./contract.ts";
import { FakeComputeService } from "./fake-service.ts";

/** A fake service that can be lost and restarted, like the real one. */
export class FakeContractHost implements ContractHost {
  readonly assignableDevice = "PCIP\\VEN_1234&DEV_5678";
  readonly memoryMb = 512;
  readonly #files = new Set(["/kernel"]);
  #service = this.#start();

  /** The running service. */
  get service(): FakeComputeService {
    return this.#service;
  }

  hasFile(path: string): boolean {
    return this.#files.has(path);
  }

  connect(): Promise<Omit<ComputeHost, "networks">> {
    return Promise.resolve(this.#service.connect());
  }

  document(options: { readonly owner: string; readonly endsWithLastHandle: boolean }): ComputeSystemDocument {
    return {
      Owner: options.owner,
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: options.endsWithLastHandle,
      VirtualMachine: {
        Chipset: { LinuxKernelDirect: { KernelFilePath: "/kernel" } },
        ComputeTopology: { Memory: { SizeInMB: this.memoryMb }, Processor: { Count: 1 } },
        Devices: { Plan9: {}, VirtualSmb: {}, Scsi: { [scsiControllerGuids[0]]: {} } },
      },
    };
  }

  makeDisk(): string {
    return this.#make("disk", ".vhdx");
  }

  makeDirectory(): string {
    return this.#make("directory");
  }

  makeFile(directory: string): string {
    const path = `${directory}/file-${this.#files.size}`;
    this.#files.add(path);
    return path;
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
      hasFile: (path) => this.hasFile(path),
      hasCpuGroup: () => false,
      devices: new Map([[this.assignableDevice, 2]]),
    });
  }

  #make(name: string, extension = ""): string {
    const path = `/${name}-${this.#files.size}${extension}`;
    this.#files.add(path);
    return path;
  }
}
