/** A VM on an emulated host of its own, driven by its controller as a shim drives it, and no shim around it. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import { linuxVm, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { posixPaths } from "@uvm-shim/lifecycle";
import { ordinaryGuestLayout } from "@uvm-shim/sandbox-lcow";

export interface LoneVmOptions {
  readonly name: string;
  readonly memoryMb: number;
  /** For the bounds of what the guest is asked. */
  readonly delay?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** Is given what its driver of the guest logs. */
  readonly onLog?: (message: string) => void;
}

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));
const delay = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  setTimeout(milliseconds, undefined, { signal });

export class LoneVm {
  /** For files of the test. */
  readonly directory: string;
  readonly vm: VmController<LinuxGuest, ScsiController>;
  readonly #host: ComputeHost;

  private constructor(directory: string, host: ComputeHost, vm: VmController<LinuxGuest, ScsiController>) {
    this.directory = directory;
    this.#host = host;
    this.vm = vm;
  }

  static async boot(options: LoneVmOptions): Promise<LoneVm> {
    const { name, memoryMb, onLog = () => {} } = options;
    const directory = mkdtempSync(join(tmpdir(), `${name}-`));
    const kernel = join(directory, "kernel");
    writeFileSync(kernel, `${processGuestKernel}\n`);
    const host = await connectEmulatedHost({
      socketPath: join(directory, "host.sock"),
      start: {
        command: process.execPath,
        args: [sourceOf("host-emulator/src/main.ts")],
        env: { [hostVariables.idleMs]: "100" },
      },
    });
    const log = { log: (_level: string, message: string) => onLog(message) };
    const vm = new VmController<LinuxGuest, ScsiController>({
      id: name,
      host,
      clock: { now: () => new Date(), delay },
      flavour: linuxVm(randomBytes),
      onGuestLog: () => {},
      connectGuest: (stream, system, abort) =>
        LinuxGuest.connect(
          stream,
          {
            listen: (port) => system.listen(port),
            newActivityId: randomUUID,
            delay: options.delay ?? delay,
            log,
          },
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
    const lone = new LoneVm(directory, host, vm);
    try {
      await lone.#boot(name, memoryMb, kernel);
      return lone;
    } catch (error) {
      await lone.close();
      throw error;
    }
  }

  async #boot(name: string, memoryMb: number, kernel: string): Promise<void> {
    const boot = { KernelFilePath: kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") };
    await this.vm.create({
      document: {
        Owner: name,
        SchemaVersion: { Major: 2, Minor: 1 },
        ShouldTerminateOnLastHandleClosed: true,
        VirtualMachine: {
          Chipset: { LinuxKernelDirect: boot },
          ComputeTopology: { Memory: { SizeInMB: memoryMb }, Processor: { Count: 1 } },
          Devices: { Scsi: Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}])) },
        },
      },
    });
    await this.vm.start();
  }

  async close(): Promise<void> {
    await this.vm.terminate();
    await this.#host.close();
    rmSync(this.directory, { recursive: true });
  }
}
