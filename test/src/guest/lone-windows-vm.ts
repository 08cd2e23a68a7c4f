/** A Windows VM on an emulated host of its own, driven call by call, with no controller or shim around it. */
import { randomUUID } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { WindowsGuest } from "@uvm-shim/guest-wcow";
import { type ComputeHost, type ComputeSystem, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import {
  type ComputeSystemDocument,
  resourcePaths,
  scsiControllerGuids,
  type VirtualSmbShareOptions,
  windowsGcsHostAddress,
  windowsGuestPaths,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";

const hostProgram = fileURLToPath(new URL("../../../packages/host-emulator/src/main.ts", import.meta.url));
const connectTimeoutMs = 60_000;

const osOptions = { ReadOnly: true, ShareRead: true, CacheIo: true, TakeBackupPrivilege: true, PseudoOplocks: true };

export class LoneWindowsVm {
  /** For files of the test. */
  readonly directory: string;
  readonly host: ComputeHost;
  readonly system: ComputeSystem;
  readonly guest: WindowsGuest;
  /** The layer that the VM has booted from. */
  readonly base: string;

  #isLost = false;

  private constructor(parts: Pick<LoneWindowsVm, "directory" | "host" | "system" | "guest" | "base">) {
    this.directory = parts.directory;
    this.host = parts.host;
    this.system = parts.system;
    this.guest = parts.guest;
    this.base = parts.base;
  }

  static async boot(name: string): Promise<LoneWindowsVm> {
    const base = await baseLayer();
    const directory = mkdtempSync(join(tmpdir(), "w-"));
    const host = await LoneWindowsVm.connect(directory);
    try {
      const scratch = join(directory, "vm.vhdx");
      copyFileSync(join(base, "UtilityVM", "SystemTemplate.vhdx"), scratch);
      const system = await host.createComputeSystem(name, documentOf(name, base, scratch));
      const listener = await system.listen(windowsHvsocketServices.gcs);
      await system.start();
      const stream = await listener.accept(AbortSignal.timeout(connectTimeoutMs));
      await listener.close();
      const guest = await WindowsGuest.connect(stream, {
        listen: (port) => system.listen(port),
        newActivityId: randomUUID,
        delay: (milliseconds, signal) => setTimeout(milliseconds, undefined, { signal }),
        log: { log: () => {} },
        timeZone: await servicesOf(host).timeZone(),
      });
      await guest.updateHvSocketAddress({
        LocalAddress: system.runtimeId,
        ParentAddress: windowsGcsHostAddress,
      });
      return new LoneWindowsVm({ directory, host, system, guest, base });
    } catch (error) {
      await host.close();
      rmSync(directory, { recursive: true });
      throw error;
    }
  }

  /** A client of the host in this directory, which is started if it does not run. */
  static connect(directory: string): Promise<ComputeHost> {
    const remember = `echo $$ >${directory}/host.pid; exec "$@"`;
    return connectEmulatedHost({
      socketPath: join(directory, "host.sock"),
      start: {
        command: "/bin/sh",
        args: ["-c", remember, "sh", process.execPath, hostProgram],
        env: { [hostVariables.idleMs]: "100" },
      },
    });
  }

  /** Ends the host as a crash would. */
  killHost(): void {
    this.#isLost = true;
    this.#signalHost("SIGKILL");
  }

  /** Whatever a test has left on the host ends with it. */
  #signalHost(signal: NodeJS.Signals): void {
    try {
      process.kill(Number(readFileSync(join(this.directory, "host.pid"), "utf8")), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  get services(): NonNullable<ComputeHost["windows"]> {
    return servicesOf(this.host);
  }

  /** Adds a VSMB share; returns its path in the guest. */
  async share(
    name: string,
    path: string,
    options: VirtualSmbShareOptions = {},
    files?: readonly string[],
  ): Promise<string> {
    await this.system.modify({
      ResourcePath: resourcePaths.virtualSmbShares,
      RequestType: "Add",
      Settings: { Name: name, Path: path, Options: options, ...(files !== undefined && { AllowedFiles: files }) },
    });
    return `${windowsGuestPaths.vsmbShares}\\${name}`;
  }

  /** Attaches a new scratch disk; returns its path in the guest. */
  async scratch(lun: number): Promise<string> {
    const folder = join(this.directory, `scratch-${lun}`);
    await this.services.createScratchLayer(folder, [this.base]);
    await this.system.modify({
      ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], lun),
      RequestType: "Add",
      Settings: { Type: "VirtualDisk", Path: join(folder, "sandbox.vhdx") },
    });
    const ContainerPath = `${windowsGuestPaths.scsiMounts}\\0_${lun}_0`;
    await this.guest.mountDisk({ ContainerPath, Lun: lun });
    return ContainerPath;
  }

  /** The host's own folder of the VM, while there is one. */
  get traces(): readonly string[] {
    const folder = join(this.directory, "vm");
    return existsSync(folder) ? readdirSync(folder) : [];
  }

  async close(): Promise<void> {
    await this.guest.close();
    if (!this.#isLost) {
      await this.system.terminate();
      await this.system.close();
    }
    await this.host.close();
    this.#signalHost("SIGTERM");
    rmSync(this.directory, { recursive: true });
  }
}

function servicesOf({ windows }: ComputeHost): NonNullable<ComputeHost["windows"]> {
  if (windows === undefined) throw new Error("the host serves no Windows guests");
  return windows;
}

function documentOf(owner: string, base: string, scratch: string): ComputeSystemDocument {
  const BootThis = { DeviceType: "VmbFs", DevicePath: "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" } as const;
  const Shares = [{ Name: "os", Path: join(base, "UtilityVM", "Files"), Options: osOptions }];
  return {
    Owner: owner,
    SchemaVersion: { Major: 2, Minor: 1 },
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      Chipset: { Uefi: { BootThis } },
      ComputeTopology: { Memory: { SizeInMB: 1024, AllowOvercommit: true }, Processor: { Count: 2 } },
      Devices: {
        Scsi: { [scsiControllerGuids[0]]: { Attachments: { "0": { Type: "VirtualDisk", Path: scratch } } } },
        HvSocket: { HvSocketConfig: {} },
        VirtualSmb: { Shares, DirectFileMappingInMB: 1024 },
      },
    },
  };
}
