import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import { linuxVm, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { posixPaths } from "@uvm-shim/lifecycle";
import { ordinaryGuestLayout } from "@uvm-shim/sandbox-lcow";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { describeWith } from "../../../tools/machine-needs.ts";
import { attachedBelow } from "../support/disk.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));
const slots = 256;
const clock = { now: () => new Date(), delay: (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal }) };

describeWith("root", "crun")("every SCSI slot of a VM on the emulated host", () => {
  let directory: string;
  let host: ComputeHost;
  let vm: VmController<LinuxGuest, ScsiController>;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "slots-"));
    const kernel = join(directory, "kernel");
    writeFileSync(kernel, "uvm-shim process guest 1\n");
    host = await connectEmulatedHost({
      socketPath: join(directory, "host.sock"),
      start: {
        command: process.execPath,
        args: [sourceOf("host-emulator/src/main.ts")],
        env: { UVM_SHIM_HOST_IDLE_MS: "100" },
      },
    });
    const log = { log: () => {} };
    vm = new VmController<LinuxGuest, ScsiController>({
      id: "slots",
      host,
      clock,
      flavour: linuxVm(randomBytes),
      onGuestLog: () => {},
      connectGuest: (stream, system, abort) =>
        LinuxGuest.connect(
          stream,
          { listen: (port) => system.listen(port), newActivityId: randomUUID, delay: clock.delay, log },
          abort,
        ),
      devices: {
        scsi: (wiring) =>
          new ScsiController({
            ...wiring,
            guestDisks: linuxGuestDisks(ordinaryGuestLayout),
            paths: posixPaths,
            newId: randomUUID,
          }),
      },
    });
    const boot = { KernelFilePath: kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") };
    await vm.create({
      document: {
        Owner: "slots",
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          Chipset: { LinuxKernelDirect: boot },
          ComputeTopology: { Memory: { SizeInMB: 512 }, Processor: { Count: 1 } },
          Devices: { Scsi: Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}])) },
        },
      },
    });
    await vm.start();
  });
  afterEach(async () => {
    await vm.terminate();
    await host.close();
    rmSync(directory, { recursive: true });
  });

  it(`takes ${slots} disks and gives them back in any order, and has no place for one more`, async () => {
    const diskAt = (number: number) => {
      const hostPath = join(directory, `disk-${number}`);
      writeFileSync(hostPath, "");
      truncateSync(hostPath, 64 * 1024);
      return { hostPath, readOnly: true, type: "VirtualDisk" } as const;
    };
    const shown = { partition: 0, readOnly: true, blockDevice: true };
    const { scsi } = vm;
    const reservations: string[] = [];
    const paths = new Set<string>();
    for (let number = 0; number < slots; number++) {
      const reservation = await scsi.reserve(diskAt(number), shown);
      reservations.push(reservation);
      paths.add(await scsi.mapToGuest(reservation));
    }
    expect(paths.size).toBe(slots);
    expect(attachedBelow(directory)).toHaveLength(slots);
    await expect(scsi.reserve(diskAt(slots), shown)).rejects.toMatchObject({ code: "ResourceExhausted" });
    const [order = []] = fc.sample(fc.shuffledSubarray(reservations, { minLength: slots }), { numRuns: 1, seed: 3 });
    await Promise.all(order.map((reservation) => scsi.unmapFromGuest(reservation)));
    expect(scsi.disks).toEqual([]);
    await vi.waitFor(() => expect(attachedBelow(directory)).toEqual([]), { timeout: 10_000 });
    const again = await scsi.reserve(diskAt(slots), shown);
    expect(await scsi.mapToGuest(again)).toBe("/run/mounts/scsi/0/0/0");
    await scsi.unmapFromGuest(again);
  });
});
