import { type ComputeSystemDocument, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { ManualClock, type ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { VmController } from "../controller.ts";
import { linuxVm } from "../lcow.ts";
import type { VmControllerOptions } from "../options.ts";
import type { DeviceWiring, GuestLogLine, ScsiWiring, VsmbWiring } from "../types.ts";
import type { FakeGuest } from "./fake-guest.ts";
import { FakeHost } from "./fake-host.ts";

export { FakeGuest, FakeProcess } from "./fake-guest.ts";
export { type Boot, bootLinux, FakeHost, FakeSystem } from "./fake-host.ts";

const [first, second] = scsiControllerGuids;

/** The document of a VM with a disk to boot from, two SCSI controllers, Plan9 and a VSMB share. */
export const document: ComputeSystemDocument = {
  Owner: "test",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    Chipset: {},
    ComputeTopology: { Memory: { SizeInMB: 1024 }, Processor: { Count: 2 } },
    Devices: {
      Scsi: { [first]: { Attachments: { "0": { Type: "VirtualDisk", Path: "rootfs.vhd" } } }, [second]: {} },
      Plan9: {},
      VirtualSmb: { Shares: [{ Name: "os", Path: "C:\\os", Options: { ReadOnly: true } }] },
    },
  },
};

type Wiring = DeviceWiring<FakeGuest>;

/** A controller on a fake host; its device controllers are just their wiring. */
export function vmOn(
  script?: ScriptedCalls,
  options: Partial<VmControllerOptions<FakeGuest, ScsiWiring<FakeGuest>, Wiring, Wiring, VsmbWiring<FakeGuest>>> = {},
) {
  const host = new FakeHost(script);
  const clock = new ManualClock();
  const lines: GuestLogLine[] = [];
  const vm = new VmController<FakeGuest, ScsiWiring<FakeGuest>, Wiring, Wiring, VsmbWiring<FakeGuest>>({
    id: "vm-1",
    host,
    connectGuest: host.connectGuest,
    flavour: linuxVm((bytes) => new Uint8Array(bytes).fill(7)),
    clock,
    onGuestLog: (line) => void lines.push(line),
    devices: {
      scsi: (wiring) => wiring,
      plan9: (wiring) => wiring,
      vpci: (wiring) => wiring,
      vsmb: (wiring) => wiring,
    },
    ...options,
  });
  return { host, clock, lines, vm };
}

/** Runs everything that only waits for its turn of the event loop. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Advances the clock until the promise settles: it may wait for a time bound of the controller. */
export async function eventually<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = promise.finally(() => {
    isDone = true;
  });
  done.catch(() => {});
  for (let turn = 0; turn < 50 && !isDone; turn++) {
    await settle();
    clock.jumpToNext();
  }
  if (!isDone) throw new Error("it waits for something that no time brings");
  return done;
}
