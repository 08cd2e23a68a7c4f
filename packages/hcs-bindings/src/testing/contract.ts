import { once } from "node:events";
import type { Duplex } from "node:stream";
import {
  type ComputeSystemDocument,
  linuxVsockPorts,
  resourcePaths,
  scsiControllerGuids,
  windowsHvsocketServices,
} from "@uvm-shim/hcs-schema";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { ComputeHost, ComputeSystem, HvsocketListener } from "../types.ts";
import { describeGuestServicesContract } from "./guest-services-contract.ts";
import { describeResourceContract, type ResourceContractHost } from "./resource-contract.ts";
import { describeVsmbContract } from "./vsmb-contract.ts";

/** The host under test. Its guests run Linux and connect to the GCS port after boot. */
export interface ContractHost extends ResourceContractHost {
  /** A new client of the host. */
  connect(): Promise<Omit<ComputeHost, "networks">>;
  /** A bootable document with SCSI controller 0, Plan9 and VSMB. */
  document(options: { readonly owner: string; readonly endsWithLastHandle: boolean }): ComputeSystemDocument;
  /** Path of an unused disk file. */
  makeDisk(): string;
  makeDirectory(): string;
  /** Path of a new file in a directory that `makeDirectory` made. */
  makeFile(directory: string): string;
  /** Instance path of an assignable device with two functions. */
  readonly assignableDevice: string;
  /** Ends the host service as a crash would. */
  loseService(): Promise<void>;
  /** Removes everything made for the tests. */
  dispose(): Promise<void>;
}

/** The contract of ComputeHost, which every driver must pass. */
export function describeComputeHostContract(name: string, setup: () => Promise<ContractHost>): void {
  describe(`the compute host contract: ${name}`, () => {
    let on: ContractHost;
    let host: Omit<ComputeHost, "networks">;
    const listeners: HvsocketListener[] = [];
    const streams: Duplex[] = [];
    let count = 0;

    beforeAll(async () => {
      on = await setup();
    });
    afterAll(() => on.dispose());
    beforeEach(async () => {
      host = await on.connect();
    });
    afterEach(async () => {
      for (const stream of streams.splice(0)) stream.destroy();
      for (const listener of listeners.splice(0)) await listener.close();
      await host.close();
    });

    async function create(endsWithLastHandle = true): Promise<ComputeSystem> {
      count++;
      return host.createComputeSystem(`contract-${count}`, on.document({ owner: "contract", endsWithLastHandle }));
    }

    async function listen(system: ComputeSystem, port: number): Promise<HvsocketListener> {
      const listener = await system.listen(port);
      listeners.push(listener);
      return listener;
    }

    describe("a compute system", () => {
      it("is created, starts, runs and is terminated", async () => {
        const system = await create();
        expect(await system.properties([])).toMatchObject({
          Id: system.id,
          RuntimeId: system.runtimeId,
          SystemType: "VirtualMachine",
          Owner: "contract",
          State: "Created",
        });
        await system.start();
        expect(await system.properties([])).toMatchObject({ State: "Running" });
        await system.terminate();
        expect(await system.exited).toMatchObject({ Status: 0 });
        await system.terminate();
        await system.close();
        await expect(host.openComputeSystem(system.id)).rejects.toMatchObject({ code: "NotFound", gone: true });
      });

      it("can be terminated before it is started, and then not started", async () => {
        const system = await create();
        await system.terminate();
        await system.exited;
        await expect(system.start()).rejects.toMatchObject({ code: "FailedPrecondition" });
        await system.shutdown();
      });

      it("starts only once", async () => {
        const system = await create();
        await system.start();
        await expect(system.start()).rejects.toMatchObject({
          code: "FailedPrecondition",
          hresultName: "HCS_E_INVALID_STATE",
          operation: "start compute system",
          id: system.id,
        });
      });

      it("has a unique id", async () => {
        const system = await create();
        const document = on.document({ owner: "contract", endsWithLastHandle: true });
        await expect(host.createComputeSystem(system.id, document)).rejects.toMatchObject({
          code: "AlreadyExists",
          hresultName: "HCS_E_SYSTEM_ALREADY_EXISTS",
        });
      });

      it("can be terminated while it starts", async () => {
        const system = await create();
        const start = system.start().then(
          () => "started",
          (error: { code: string }) => error.code,
        );
        await system.terminate();
        await system.exited;
        expect(["started", "Unavailable", "FailedPrecondition"]).toContain(await start);
      });

      it("keeps starting if the caller aborts", async () => {
        const system = await create();
        const controller = new AbortController();
        const start = system.start(controller.signal);
        controller.abort(new Error("enough"));
        await expect(start).rejects.toMatchObject({ code: "Cancelled", cause: controller.signal.reason });
        await system.terminate();
        await system.exited;
      });
    });

    describe("documents", () => {
      it("are refused with unknown fields", async () => {
        const document = { ...on.document({ owner: "contract", endsWithLastHandle: true }), Colour: "red" };
        await expect(host.createComputeSystem("refused", document)).rejects.toMatchObject({
          code: "InvalidArgument",
          hresultName: "HCS_E_INVALID_JSON",
        });
      });

      it("are refused with missing files", async () => {
        const document = on.document({ owner: "contract", endsWithLastHandle: true });
        const { VirtualMachine: machine } = document;
        const boot = { KernelFilePath: `${on.makeDirectory()}/missing` };
        await expect(
          host.createComputeSystem("refused", {
            ...document,
            VirtualMachine: { ...machine, Chipset: { LinuxKernelDirect: boot } },
          }),
        ).rejects.toMatchObject({ code: "NotFound", hresultName: "ERROR_FILE_NOT_FOUND" });
      });
    });

    describe("handles", () => {
      it("end the system when the last one closes", async () => {
        const system = await create();
        await system.start();
        const second = await host.openComputeSystem(system.id);
        await system.close();
        await system.close();
        await expect(system.exited).rejects.toMatchObject({ code: "Cancelled" });
        expect(await second.properties([])).toMatchObject({ State: "Running" });
        await expect(system.properties([])).rejects.toMatchObject({ code: "FailedPrecondition", gone: true });
        await second.close();
        await vi.waitFor(async () => {
          const left = await host.enumerateComputeSystems("contract");
          expect(left.map(({ Id: id }) => id)).not.toContain(system.id);
        });
      });

      it("leave a system running that may outlive its creator, for others to find and end", async () => {
        const system = await create(false);
        await system.start();
        await host.close();
        const other = await on.connect();
        try {
          const found = (await other.enumerateComputeSystems("contract")).find(({ Id: id }) => id === system.id);
          expect(found).toMatchObject({ State: "Running", RuntimeId: system.runtimeId });
          expect(await other.enumerateComputeSystems("unknown")).toEqual([]);
          const again = await other.openComputeSystem(system.id);
          await again.terminate();
          await again.exited;
          await again.close();
        } finally {
          await other.close();
        }
      });
    });

    describe("hvsockets", () => {
      it("listen before the start, and accept the guest's streams", async () => {
        const system = await create();
        const listener = await listen(system, linuxVsockPorts.gcs);
        expect(listener.port).toBe(linuxVsockPorts.gcs);
        await system.start();
        const stream = await listener.accept(AbortSignal.timeout(10_000));
        streams.push(stream);
        const closed = once(stream, "close");
        stream.on("end", () => stream.destroy()).resume();
        await system.terminate();
        await closed;
      });

      it("have one listener per port", async () => {
        const system = await create();
        const listener = await listen(system, 4000);
        await expect(system.listen(4000)).rejects.toMatchObject({ code: "AlreadyExists" });
        await listener.close();
        await listener.close();
        await (await listen(system, 4000)).close();
        await expect(system.listen(2 ** 32)).rejects.toMatchObject({ code: "InvalidArgument" });
      });

      it("listen for services by GUID, too", async () => {
        const system = await create();
        const listener = await system.listen(windowsHvsocketServices.log);
        listeners.push(listener);
        await expect(system.listen(windowsHvsocketServices.log.toUpperCase())).rejects.toMatchObject({
          code: "AlreadyExists",
        });
        await expect(system.listen("log")).rejects.toMatchObject({ code: "InvalidArgument" });
      });

      it("stop waiting when the signal aborts", async () => {
        const system = await create();
        const listener = await listen(system, 4000);
        const controller = new AbortController();
        const aborted = listener.accept(controller.signal);
        const waiting = listener.accept();
        controller.abort();
        await expect(aborted).rejects.toMatchObject({ code: "Cancelled" });
        await Promise.all([expect(waiting).rejects.toMatchObject({ code: "Cancelled" }), listener.close()]);
        await expect(listener.accept()).rejects.toMatchObject({ code: "Cancelled", gone: true });
      });

      it("close with their host", async () => {
        const listener = await (await create()).listen(4000);
        const waiting = expect(listener.accept()).rejects.toMatchObject({ code: "Cancelled" });
        await host.close();
        await waiting;
        await expect(listener.accept()).rejects.toMatchObject({ code: "Cancelled" });
      });

      it("fail to dial a port that the guest does not serve", async () => {
        const system = await create();
        await expect(system.connect(4711)).rejects.toMatchObject({ code: "Unavailable" });
        await system.start();
        await expect(system.connect(4711, AbortSignal.timeout(10_000))).rejects.toMatchObject({ code: "Unavailable" });
      });
    });

    describeResourceContract(() => on, create);
    describeVsmbContract(() => on, create);
    describeGuestServicesContract(
      () => on,
      () => host,
      create,
    );

    describe("modify", () => {
      it("attaches disks to free LUNs", async () => {
        const system = await create();
        const disk = on.makeDisk();
        const add = (lun: number, Path: string): Promise<void> =>
          system.modify({
            ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], lun),
            RequestType: "Add",
            Settings: { Type: "VirtualDisk", Path, ReadOnly: true },
          });
        const remove = (lun: number): Promise<void> =>
          system.modify({ ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], lun), RequestType: "Remove" });
        await host.grantVmAccess(system.id, disk);
        await expect(host.grantVmAccess(system.id, `${disk}.missing`)).rejects.toMatchObject({ code: "NotFound" });
        await expect(add(0, disk)).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
        await system.start();
        await add(0, disk);
        await expect(add(0, disk)).rejects.toMatchObject({ code: "AlreadyExists" });
        await expect(add(1, `${disk}.missing`)).rejects.toMatchObject({ code: "NotFound" });
        await remove(0);
        await expect(remove(0)).rejects.toMatchObject({ code: "NotFound", gone: true });
      });

      it("gives a disk to many readers or one writer", async () => {
        const system = await create();
        await system.start();
        const disk = on.makeDisk();
        const modify = (RequestType: "Add" | "Remove", lun: number, ReadOnly: boolean): Promise<void> =>
          system.modify({
            ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], lun),
            RequestType,
            ...(RequestType === "Add" && { Settings: { Type: "VirtualDisk", Path: disk, ReadOnly } }),
          });
        await modify("Add", 0, true);
        await modify("Add", 1, true);
        await expect(modify("Add", 2, false)).rejects.toMatchObject({ hresultName: "ERROR_SHARING_VIOLATION" });
        await modify("Remove", 0, true);
        await modify("Remove", 1, true);
        await modify("Add", 2, false);
        await expect(modify("Add", 0, true)).rejects.toMatchObject({
          code: "FailedPrecondition",
          hresultName: "ERROR_SHARING_VIOLATION",
        });
        await modify("Remove", 2, false);
        await modify("Add", 63, true);
      });

      it.each([
        ["a LUN that no controller has", 0, 64, "VirtualDisk", "E_INVALIDARG"],
        ["a controller that no VM has", 4, 0, "VirtualDisk", "E_INVALIDARG"],
        ["a controller that this VM has not", 1, 0, "VirtualDisk", "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION"],
        ["a type of disk that there is not", 0, 0, "Floppy", "HCS_E_INVALID_JSON"],
      ])("refuses %s", async (_, controller, lun, Type, hresultName) => {
        const system = await create();
        await system.start();
        const guid = scsiControllerGuids[controller] ?? "00000000-0000-0000-0000-000000000000";
        const Settings = { Type, Path: on.makeDisk(), ReadOnly: true };
        const refused = system.modify({ ResourcePath: resourcePaths.scsi(guid, lun), RequestType: "Add", Settings });
        await expect(refused).rejects.toMatchObject({ hresultName });
      });

      it("shares directories", async () => {
        const system = await create();
        await system.start();
        const share = { Name: "share", AccessName: "share", Path: on.makeDirectory(), Port: 564, Flags: 1 };
        const modify = (RequestType: "Add" | "Remove", changes = {}): Promise<void> =>
          system.modify({ ResourcePath: resourcePaths.plan9Shares, RequestType, Settings: { ...share, ...changes } });
        await modify("Add");
        await expect(modify("Add")).rejects.toMatchObject({ code: "AlreadyExists" });
        const missing = { Name: "other", AccessName: "other", Path: `${share.Path}/missing` };
        await expect(modify("Add", missing)).rejects.toMatchObject({ code: "NotFound" });
        await expect(modify("Add", { Name: "../x", AccessName: "../x" })).rejects.toMatchObject({
          code: "InvalidArgument",
        });
        await modify("Remove");
        await expect(modify("Remove")).rejects.toMatchObject({ code: "NotFound", gone: true });
      });

      it("assigns each function of a device to one system at a time, under an unused GUID", async () => {
        const [system, other] = [await create(), await create()];
        const guid = (number: number): string => `00000000-0000-4000-8000-00000000000${number}`;
        const add = (to: ComputeSystem, number: number, path: string, VirtualFunction = 0): Promise<void> =>
          to.modify({
            ResourcePath: resourcePaths.virtualPci(guid(number)),
            RequestType: "Add",
            Settings: { Functions: [{ DeviceInstancePath: path, VirtualFunction }], PropagateNumaAffinity: true },
          });
        const remove = (from: ComputeSystem, number: number): Promise<void> =>
          from.modify({ ResourcePath: resourcePaths.virtualPci(guid(number)), RequestType: "Remove" });
        const device = on.assignableDevice;
        await Promise.all([system.start(), other.start()]);
        await add(system, 1, device);
        await expect(add(other, 1, device.toLowerCase())).rejects.toMatchObject({ code: "FailedPrecondition" });
        await expect(add(system, 1, device, 1)).rejects.toMatchObject({ code: "AlreadyExists" });
        await add(other, 1, device, 1);
        await expect(add(other, 2, device, 2)).rejects.toMatchObject({ code: "InvalidArgument" });
        await expect(add(other, 2, `${device}X`)).rejects.toMatchObject({ code: "NotFound" });
        await expect(add(other, 2, "")).rejects.toMatchObject({ code: "InvalidArgument" });
        await remove(system, 1);
        await expect(remove(system, 1)).rejects.toMatchObject({ code: "NotFound", gone: true });
        await add(other, 2, device);
        await other.terminate();
        await other.exited;
        await add(system, 1, device, 1);
      });

      it("refuses invalid resource paths", async () => {
        const system = await create();
        await system.start();
        await expect(
          system.modify({ ResourcePath: "VirtualMachine/Devices/Toaster", RequestType: "Add" }),
        ).rejects.toMatchObject({ code: "InvalidArgument" });
      });
    });

    it("fails every pending call once when the service is lost", async () => {
      const system = await create();
      await system.start();
      const exited = expect(system.exited).rejects.toMatchObject({ code: "Unavailable", id: system.id });
      const second = await create();
      const pending = expect(second.start().then(() => second.properties([]))).rejects.toMatchObject({
        code: "Unavailable",
      });
      await on.loseService();
      await Promise.all([exited, pending]);
      await expect(system.terminate()).rejects.toMatchObject({ code: "Unavailable" });
      await system.close();
    });
  });
}
