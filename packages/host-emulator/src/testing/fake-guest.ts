import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ComputeSystemDocument, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import type {
  GuestBoot,
  GuestEnd,
  GuestKind,
  GuestMachine,
  GuestMachineSpecification,
  MachineUsage,
  ProcessorShare,
} from "../guest-machine.ts";

/** A guest without processes. It responds at once, and can be made to fail. */
export class FakeMachine implements GuestMachine {
  readonly specification: GuestMachineSpecification;
  readonly calls: string[] = [];
  readonly #ended = Promise.withResolvers<GuestEnd>();
  readonly #up = Promise.withResolvers<void>();
  readonly ended = this.#ended.promise;
  /** If set before the start, the guest never comes up. */
  hangs = false;
  /** If set, the next device call fails with it. */
  failure: Error | undefined;

  constructor(specification: GuestMachineSpecification) {
    this.specification = specification;
  }

  boot(): Promise<void> {
    this.calls.push("boot");
    if (!this.hangs) this.#up.resolve();
    return this.#up.promise;
  }

  attachDisk = (slot: { controller: number; lun: number }): Promise<void> =>
    this.#call(`attach ${slot.controller}:${slot.lun}`);
  detachDisk = (slot: { controller: number; lun: number }): Promise<void> =>
    this.#call(`detach ${slot.controller}:${slot.lun}`);
  addShare = (share: { AccessName: string }): Promise<void> => this.#call(`share ${share.AccessName}`);
  removeShare = (accessName: string): Promise<void> => this.#call(`unshare ${accessName}`);
  assignDevice = (vmBusGuid: string, device: { instancePath: string; virtualFunction: number }): Promise<void> =>
    this.#call(`assign ${vmBusGuid} ${device.instancePath}/${device.virtualFunction}`);
  unassignDevice = (vmBusGuid: string): Promise<void> => this.#call(`unassign ${vmBusGuid}`);
  enterPodGroup = (path: string): Promise<void> => this.#call(`enter ${path}`);
  resizeMemory = (memoryMb: number): Promise<void> => this.#call(`memory ${memoryMb}`);
  limitProcessors = (share: ProcessorShare): Promise<void> => this.#call(`processors ${JSON.stringify(share)}`);
  useProcessors = (cpus: string | undefined): Promise<void> => this.#call(`cpus ${cpus ?? "all"}`);
  usage = (): MachineUsage => ({
    processorNs: 3_000,
    processorUserNs: 2_000,
    processorKernelNs: 1_000,
    memoryBytes: 64 * 2 ** 20,
    memoryLimitBytes: 256 * 2 ** 20,
  });

  offerNetwork = (id: string): Promise<void> => this.#call(`offer network ${id}`);
  addNic = (nic: { id: string }): Promise<void> => this.#call(`add NIC ${nic.id}`);
  disconnectNic = (id: string): Promise<void> => this.#call(`disconnect NIC ${id}`);
  removeNic = (id: string): Promise<void> => this.#call(`remove NIC ${id}`);
  freeze = (isFrozen: boolean): Promise<void> => this.#call(isFrozen ? "freeze" : "thaw");

  async #call(name: string): Promise<void> {
    this.calls.push(name);
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  shutdown(): void {
    this.end({ orderly: true });
  }

  kill(): void {
    this.calls.push("kill");
    this.#up.reject(new Error("killed"));
    this.end({ orderly: false });
  }

  end({ orderly }: { readonly orderly: boolean }): void {
    this.#ended.resolve({ orderly, reason: "the test ended it", console: "last words" });
  }
}

/** Accepts every kernel file except one with content "foreign". */
export class FakeKind implements GuestKind {
  readonly name = "fake";
  readsVhdx = false;
  readonly machines: FakeMachine[] = [];
  readonly leftovers: string[] = [];
  prepare: (machine: FakeMachine) => void = () => {};

  recognises(boot: GuestBoot): boolean {
    return !(boot.kind === "Linux" ? boot.kernel.KernelFilePath : boot.manager).endsWith("foreign");
  }

  create(specification: GuestMachineSpecification): GuestMachine {
    const machine = new FakeMachine(specification);
    this.prepare(machine);
    this.machines.push(machine);
    return machine;
  }

  async removeLeftovers(name: string): Promise<void> {
    this.leftovers.push(name);
  }

  close(): void {}
}

/** A directory with boot files and disks for one test file. */
export class TestFiles {
  readonly directory = mkdtempSync(join(tmpdir(), "emu-"));
  readonly kernel = this.write("kernel", "kernel");

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  document(options: DocumentOptions = {}): ComputeSystemDocument {
    return {
      Owner: options.owner ?? "test",
      SchemaVersion: { Major: 2, Minor: 1 },
      ...(options.endsWithLastHandle === undefined
        ? {}
        : { ShouldTerminateOnLastHandleClosed: options.endsWithLastHandle }),
      VirtualMachine: {
        Chipset: { LinuxKernelDirect: { KernelFilePath: options.kernel ?? this.kernel } },
        ComputeTopology: { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } },
        Devices: {
          Plan9: {},
          Scsi: {
            [scsiControllerGuids[0]]: {
              Attachments: Object.fromEntries(
                Object.entries(options.disks ?? {}).map(([lun, Path]) => [lun, { Type: "VirtualDisk", Path }]),
              ),
            },
          },
        },
      },
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** How a document differs from the usual one. */
export interface DocumentOptions {
  readonly owner?: string;
  readonly endsWithLastHandle?: boolean;
  readonly kernel?: string;
  /** Paths of disks, by LUN of controller 0. */
  readonly disks?: { readonly [lun: string]: string };
}
