import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type DeviceWiring, linuxVm, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { systemClock as clock } from "@uvm-shim/lifecycle";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, vi } from "vitest";
import { contractDevice, describeVpciContract } from "../../../packages/controller-vpci/src/testing/contract.ts";

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));

/** The parts that the platform connects to a VpciController: the emulated host's driver, and a guest over its bridge. */
async function emulatedVm() {
  const directory = mkdtempSync(join(tmpdir(), "vpci-"));
  const kernel = join(directory, "kernel");
  writeFileSync(kernel, `${processGuestKernel}\n`);
  const devices = join(directory, "devices.json");
  writeFileSync(devices, JSON.stringify({ devices: [{ instancePath: contractDevice, functions: 2 }] }));
  const env = { [hostVariables.idleMs]: "100", [hostVariables.devices]: devices };
  const start = { command: process.execPath, args: [sourceOf("host-emulator/src/main.ts")], env };
  const socketPath = join(directory, "host.sock");
  const host = await connectEmulatedHost({ socketPath, start });
  const log = { log: () => {} };
  const vm = new VmController<LinuxGuest, undefined, never, DeviceWiring<LinuxGuest>>({
    id: "vm",
    host,
    clock,
    flavour: linuxVm(randomBytes),
    onGuestLog: () => {},
    connectGuest: (stream, system, abort) => {
      const options = { listen: (port: number) => system.listen(port), newActivityId: randomUUID, delay: clock.delay };
      return LinuxGuest.connect(stream, { ...options, log }, abort);
    },
    devices: { scsi: () => undefined, vpci: (wiring) => wiring },
  });
  const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") } };
  const ComputeTopology = { Memory: { SizeInMB: 256 }, Processor: { Count: 1 } };
  await vm.create({
    document: {
      Owner: "contract",
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: true,
      VirtualMachine: { Chipset, ComputeTopology },
    },
  });
  await vm.start();
  return {
    host: vm.vpci.host,
    guest: vm.guest,
    dispose: async () => {
      await vm.terminate();
      await host.close();
      await vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

describeVpciContract("the emulated host and its guest", emulatedVm, describeWith("root", "crun"));
