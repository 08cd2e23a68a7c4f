import { type Duplex, PassThrough } from "node:stream";
import type { HostNetworks, HvsocketListener } from "../../types.ts";
import type { HostProcesses, HostSockets } from "../../windows/compute/host-dependencies.ts";
import type { LibraryPaths } from "../../windows/native/libraries.ts";
import { createWindowsHost, type WindowsHost } from "../../windows/windows-host.ts";
import { FakeContractHost } from "../fake-contract-host.ts";
import { FakeComputeCore } from "./fake-computecore.ts";
import { FakeComputeNetwork } from "./fake-computenetwork.ts";
import { FakeGuestDlls } from "./fake-guest-dlls.ts";
import { FakeMachine } from "./fake-machine.ts";
import { FakeVirtualDisks } from "./fake-virtdisk.ts";
import { ServedComputeNetwork } from "./served-computenetwork.ts";

const paths: LibraryPaths = {
  computecore: "computecore",
  computenetwork: "computenetwork",
  computestorage: "computestorage",
  vmcompute: "vmcompute",
  virtdisk: "virtdisk",
  winsock: "winsock",
  kernel32: "kernel32",
  advapi32: "advapi32",
  ole32: "ole32",
};

/** The driver on a fake Windows with a compute service in memory. */
export class FakeWindows extends FakeContractHost {
  readonly core: FakeComputeCore;
  readonly networks: FakeComputeNetwork;
  /** Replaces the network service with networks of the test. */
  readonly served: ServedComputeNetwork | undefined;
  readonly disks: FakeVirtualDisks;
  readonly guests: FakeGuestDlls;
  readonly machine: FakeMachine;

  constructor(networks?: HostNetworks) {
    super();
    const made = {} as {
      core: FakeComputeCore;
      networks: FakeComputeNetwork;
      served?: ServedComputeNetwork;
      disks: FakeVirtualDisks;
      guests: FakeGuestDlls;
    };
    this.machine = new FakeMachine((machine) => {
      made.core = new FakeComputeCore(machine, () => this.service);
      made.networks = new FakeComputeNetwork(machine);
      if (networks !== undefined) made.served = new ServedComputeNetwork(machine, networks);
      made.disks = new FakeVirtualDisks(machine, this);
      made.guests = new FakeGuestDlls(
        machine,
        () => this.service.guestServices,
        () => made.core.operations,
      );
      return {
        computecore: made.core.functions,
        computenetwork: (made.served ?? made.networks).functions,
        computestorage: made.disks.storageFunctions,
        virtdisk: made.disks.functions,
        vmcompute: made.guests.layerFunctions,
        kernel32: {
          ...made.guests.kernelFunctions,
          LocalFree: (address: bigint) => machine.freeText("computecore", address),
          CloseHandle: (handle: bigint) => {
            const owners = [
              made.core.stdio,
              made.disks.open,
              { delete: (entry: bigint) => made.guests.closeHandle(entry) },
            ];
            if (!owners.some((owner) => owner.delete(handle))) {
              machine.wrongs.push(`handle ${handle} is not open`);
            }
            return 1;
          },
        },
        ole32: { CoTaskMemFree: (address: bigint) => machine.freeText("computenetwork", address) },
      };
    });
    this.core = made.core;
    this.networks = made.networks;
    this.served = made.served;
    this.disks = made.disks;
    this.guests = made.guests;
  }

  override connect(): Promise<WindowsHost> {
    return Promise.resolve(
      createWindowsHost({ machine: this.machine, paths, sockets: this.#sockets(), processes: this.#processes() }),
    );
  }

  /** Everything still open or not freed after all calls have returned. */
  async leftovers(): Promise<readonly string[]> {
    await this.machine.settled();
    return [
      ...this.machine.leftovers(),
      ...this.core.leftovers(),
      ...this.networks.leftovers(),
      ...(this.served?.leftovers() ?? []),
      ...this.disks.leftovers(),
      ...this.guests.leftovers(),
      ...this.service.leftovers(),
    ];
  }

  #sockets(): HostSockets {
    const { core, machine } = this;
    const listeners: HvsocketListener[] = [];
    return {
      listen: async (vmId, service) => {
        const listener = await core.clientOf(vmId).listen(service);
        listeners.push(listener);
        return listener;
      },
      connect: (vmId, port, signal) => core.clientOf(vmId).connect(Number(port), signal),
      streamOf: (handle): Duplex => {
        if (machine.strikes("streamOf")) {
          core.stdio.delete(handle);
          throw new Error("struck");
        }
        return new PassThrough({ emitClose: true }).on("close", () => core.stdio.delete(handle));
      },
      close: async () => {
        await Promise.all(listeners.map((listener) => listener.close()));
      },
    };
  }

  #processes(): HostProcesses {
    return { workingSetOf: async (vmId) => this.core.systemOf(vmId).workingSet };
  }
}
