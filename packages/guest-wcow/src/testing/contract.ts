/** What every Windows guest does, as the shim sees it: a suite that the fake guest and the emulated one both pass. */
import { text } from "node:stream/consumers";
import { type HcnEndpoint, type WindowsProcessParameters, windowsGcsHostAddress } from "@uvm-shim/hcs-schema";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WindowsContainer } from "../container.ts";
import type { WindowsGuest } from "../guest.ts";
import type { WindowsProcess } from "../process.ts";

/** A guest, real or fake, that is held to the contract. */
export interface GuestUnderContract {
  readonly guest: WindowsGuest;
  /** Makes the disk of this number ready to be mounted, and returns the layers for a container on it. */
  prepareDisk(lun: number): Promise<readonly { readonly Id: string; readonly Path: string }[]>;
  close(): Promise<void>;
}

const bootTimeoutMs = 120_000;
const nic = "44444444-0000-4000-8000-000000000001";
const endpoint: HcnEndpoint = { ID: nic, HostComputeNetwork: "22222222-0000-4000-8000-000000000001" };
const waiting = "cmd /c echo ready& ping -n 60 127.0.0.1 >NUL";

/** Tests (of vitest) that hold for every Windows guest. */
export function describeWindowsGuestContract(boot: () => Promise<GuestUnderContract>): void {
  describe("a Windows guest", () => {
    let subject: GuestUnderContract;
    let disks = 0;
    beforeAll(async () => {
      subject = await boot();
    }, bootTimeoutMs);
    afterAll(async () => {
      await subject?.close();
    }, bootTimeoutMs);

    /** The root of a container, whose disk is mounted and whose layers are combined. */
    const makeRoot = async (): Promise<{ root: string; lun: number }> => {
      const lun = ++disks;
      const root = `C:\\mounts\\scsi\\0_${lun}_0`;
      const Layers = await subject.prepareDisk(lun);
      await expect(subject.guest.addCombinedLayers({ ContainerRootPath: root, Layers })).rejects.toMatchObject({
        hresultName: "ERROR_PATH_NOT_FOUND",
      });
      await subject.guest.mountDisk({ ContainerPath: root, Lun: lun });
      await subject.guest.addCombinedLayers({ ContainerRootPath: root, Layers });
      return { root, lun };
    };
    const documentOf = (root: string, more: object = {}): object => ({
      SchemaVersion: { Major: 2, Minor: 1 },
      Container: { Storage: { Layers: [], Path: root }, ...more },
    });
    const started = async (id: string): Promise<{ container: WindowsContainer; root: string; lun: number }> => {
      const made = await makeRoot();
      const container = await subject.guest.createContainer(id, documentOf(made.root));
      await container.start();
      return { ...made, container };
    };

    it("tells what it can do", () => {
      expect(subject.guest.supportsNetworkNamespaces).toBe(true);
      expect(subject.guest.supportsHostProcessContainers).toBe(true);
      expect(subject.guest.supportsLogForwarding).toBe(true);
      expect(subject.guest.canDumpStacks).toBe(true);
    });

    it("takes its address and answers pings", async () => {
      await subject.guest.updateHvSocketAddress({ LocalAddress: nic, ParentAddress: windowsGcsHostAddress });
      await expect(subject.guest.ping()).resolves.toBeUndefined();
      expect(await subject.guest.dumpStacks()).not.toBe("");
    });

    it("has containers only on layers that were combined, once for each id", async () => {
      const { guest } = subject;
      const absent = guest.createContainer("absent", documentOf("C:\\mounts\\scsi\\none"));
      await expect(absent).rejects.toMatchObject({ hresultName: "ERROR_PATH_NOT_FOUND" });
      const { root, lun } = await makeRoot();
      const odd = guest.createContainer("odd", documentOf(root, { Odd: true }));
      await expect(odd).rejects.toMatchObject({ code: "InvalidArgument", hresultName: "HCS_E_INVALID_JSON" });
      const container = await guest.createContainer("once", documentOf(root));
      await expect(container.execute(asked("cmd /c exit 0"))).rejects.toMatchObject({
        code: "FailedPrecondition",
        hresultName: "HCS_E_INVALID_STATE",
      });
      expect(await container.systemGuid()).toMatch(/^[0-9a-f-]{36}$/i);
      await container.deleteState();
      await guest.removeCombinedLayers({ ContainerRootPath: root });
      await guest.unmountDisk({ ContainerPath: root, Lun: lun });
      await expect(guest.unmountDisk({ ContainerPath: root, Lun: lun })).rejects.toMatchObject({ code: "NotFound" });
    });

    it("refuses layers with a filter type", async () => {
      const layers = { ContainerRootPath: "C:\\x", Layers: [], FilterType: "UnionFS" } as const;
      await expect(subject.guest.addCombinedLayers(layers)).rejects.toMatchObject({
        hresultName: "HCS_E_INVALID_JSON",
      });
    });

    it("connects only adapters that were announced", async () => {
      await expect(subject.guest.addNetworkInterface(nic)).rejects.toMatchObject({ code: "NotFound" });
      await subject.guest.preAddNetworkInterface(nic, endpoint);
      await subject.guest.removeNetworkInterface(nic);
    });

    it("runs programs, in itself and in a container that outlives them", async () => {
      expect(await finished(await subject.guest.execute(asked("cmd /c echo inside& exit 3")))).toEqual([
        3,
        "inside\r\n",
      ]);
      const { container, root } = await started("outlives");
      expect(await finished(await container.execute(asked("cmd /c echo first& exit 42")))).toEqual([42, "first\r\n"]);
      expect(await finished(await container.execute(asked("cmd /c echo second")))).toEqual([0, "second\r\n"]);
      await expect(container.execute(asked("absent.exe"))).rejects.toMatchObject({
        hresultName: "ERROR_FILE_NOT_FOUND",
      });
      await expect(subject.guest.removeCombinedLayers({ ContainerRootPath: root })).rejects.toMatchObject({
        hresultName: "ERROR_SHARING_VIOLATION",
      });
      await container.shutdown();
      expect(await container.exited).toBe("GracefulExit");
      await expect(container.terminate()).resolves.toBeUndefined();
      await expect(container.execute(asked("cmd /c exit 0"))).rejects.toMatchObject({
        hresultName: "HCS_E_SYSTEM_ALREADY_STOPPED",
      });
      await container.deleteState();
      await subject.guest.removeCombinedLayers({ ContainerRootPath: root });
    });

    it("ends programs by events and by termination, and lists those that run", async () => {
      const { container } = await started("signals");
      for (const [signal, code] of [
        ["CtrlC", 0xc000013a],
        ["KILL", 1],
      ] as const) {
        const process = await container.execute(asked(waiting));
        expect(await process.exists()).toBe(true);
        await firstOutput(process);
        await process.signal(signal);
        expect(await process.wait()).toBe(code);
        const hresultName = "HCS_E_PROCESS_ALREADY_STOPPED";
        await expect(process.signal("KILL")).rejects.toMatchObject({ code: "NotFound", hresultName });
        expect(await process.exists()).toBe(false);
        await process.close();
      }
      const { Processor, Memory } = await container.statistics();
      expect(Processor?.TotalRuntime100ns).toBeGreaterThan(0);
      expect(Memory?.MemoryUsageCommitBytes).toBeGreaterThan(0);
      await container.terminate();
      expect(await container.exited).toBe("ForcedExit");
      await container.deleteState();
    });

    it("keeps a container that runs from being deleted", async () => {
      const { container } = await started("kept");
      await expect(container.deleteState()).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
      const process = await container.execute(asked(waiting));
      await firstOutput(process);
      await container.terminate();
      expect(await container.exited).toBe("ForcedExit");
      expect(await process.wait()).not.toBe(0);
      await process.close();
      await container.deleteState();
    });
  });
}

function asked(CommandLine: string): WindowsProcessParameters {
  const pipes = { CreateStdInPipe: false, CreateStdOutPipe: true, CreateStdErrPipe: false, EmulateConsole: false };
  return { CommandLine, ...pipes };
}

async function finished(process: WindowsProcess): Promise<readonly [code: number, output: string]> {
  const output = process.stdout === undefined ? "" : text(process.stdout);
  const result = await Promise.all([process.wait(), output]);
  await process.close();
  return result;
}

/** Resolves when the program has written something: then it has begun. */
function firstOutput({ stdout }: WindowsProcess): Promise<unknown> {
  return new Promise((resolve) => stdout?.once("data", resolve));
}
