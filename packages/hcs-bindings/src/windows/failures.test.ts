import { randomUUID } from "node:crypto";
import { resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { HostError } from "../host-error.ts";
import { FakeWindows } from "../testing/windows/fake-windows.ts";
import type { WindowsHost } from "./windows-host.ts";

/** All calls of the driver, in a valid order. */
const paths: { readonly [name: string]: (host: WindowsHost, on: FakeWindows) => Promise<void> } = {
  async "a compute system"(host, on) {
    const system = await host.createComputeSystem("vm", on.document({ owner: "test", endsWithLastHandle: true }));
    await system.start();
    const Settings = { Type: "VirtualDisk", Path: on.makeDisk(), ReadOnly: true };
    const ResourcePath = resourcePaths.scsi(scsiControllerGuids[0], 0);
    await system.modify({ ResourcePath, RequestType: "Add", Settings });
    await system.properties(["Memory"]);
    await system.workingSet();
    await (await host.openComputeSystem("vm")).close();
    await host.enumerateComputeSystems("test");
    await system.pause();
    await system.resume();
    await system.save();
    await system.terminate();
    await system.exited;
    await system.close();
  },
  async "a process"(host, on) {
    const system = await host.createComputeSystem("vm", on.document({ owner: "test", endsWithLastHandle: true }));
    const stdio = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };
    const process = await system.createProcess({ CommandLine: "run", ...stdio });
    const again = await system.openProcess(process.processId);
    await process.modify({ Operation: "CloseHandle", CloseHandle: { Handle: "StdIn" } });
    await process.signal({ Signal: "CtrlC" });
    await process.exited;
    await again.close();
    await process.terminate();
    await process.close();
  },
  async networks(host) {
    const { networks } = host;
    const notifications = await networks.listen(() => {});
    const network = await networks.createNetwork({ Type: "NAT" });
    const endpoint = await networks.createEndpoint(network.ID, {});
    const namespace = await networks.createNamespace({});
    await networks.addNamespaceEndpoint(namespace.ID, endpoint.ID);
    await networks.modify("network", network.ID, { ResourceType: "Policy" });
    await networks.enumerate("endpoint");
    await networks.queryNetwork(network.ID);
    await networks.queryEndpoint(endpoint.ID);
    await networks.queryNamespace(namespace.ID);
    await networks.deleteNamespace(namespace.ID);
    await networks.deleteEndpoint(endpoint.ID);
    await networks.deleteNetwork(network.ID);
    await notifications.close();
  },
  async "virtual disks"({ disks }) {
    await disks.create({ path: "a.vhdx", size: 1 << 30 });
    await disks.formatWritableLayer("a.vhdx");
    await disks.create({ path: "b.avhdx", parent: "a.vhdx" });
    await disks.create({ path: "c.vhd", source: "a.vhdx" });
    await disks.expand("c.vhd", 2 ** 31);
    await disks.attach("c.vhd", { readOnly: true });
    await disks.detach("c.vhd");
    await disks.sizeOf("b.avhdx");
    await disks.chainOf("b.avhdx");
  },
  async "credential guards"({ windows }, on) {
    await windows.addCredentialGuard("container", "{}");
    try {
      await windows.credentialGuards();
      await windows.removeCredentialGuard("container");
      await windows.credentialGuards();
    } finally {
      // Whoever has added a guard must remove it, which this caller cannot when its calls fail.
      on.service.guestServices.guards.clear();
    }
  },
  async "a redirection of hvsockets"({ windows }) {
    const [systemId, vmId] = [randomUUID(), randomUUID()];
    for (let time = 0; time < 3; time++) await (await windows.redirectHvsockets(systemId, vmId)).close();
    await windows.redirectHvsockets(systemId, vmId);
  },
  async "layers of Windows containers"({ windows }, on) {
    const disk = on.makeDisk();
    await windows.layerId("base");
    await windows.createScratchLayer("/scratch", [on.makeDirectory(), on.makeDirectory()]);
    await windows.setDiskIdentifier(disk, randomUUID());
    await windows.grantVmGroupAccess(disk);
    await windows.timeZone();
  },
  async "the service"({ service }) {
    await service.properties({ PropertyTypes: ["Basic"] });
    await service.modify({ PropertyType: "CpuGroup" }).catch(() => {});
    await service.grantVmGroupAccess("/kernel");
    await service.revokeVmGroupAccess("/kernel");
    await service.createEmptyGuestStateFile("/state");
  },
};

describe.each(Object.keys(paths))("%s", (name) => {
  it("leaves nothing, whichever call fails", async () => {
    const path = paths[name];
    let failAt = 0;
    for (; ; failAt++) {
      const on = new FakeWindows();
      const host = await on.connect();
      on.machine.failAt = failAt;
      const failure = await path?.(host, on).then(
        () => undefined,
        (error: unknown) => error,
      );
      const { struck } = on.machine;
      await host.close();
      expect(await on.leftovers(), `after ${struck} failed as number ${failAt}`).toEqual([]);
      if (struck === undefined) {
        expect(failure).toBeUndefined();
        break;
      }
      if (failure !== undefined && struck !== "streamOf") expect(failure, struck).toBeInstanceOf(HostError);
    }
    expect(failAt).toBeGreaterThan(4);
  });

  it("leaves nothing when the host is closed at any call", async () => {
    const path = paths[name];
    for (let turns = 0; ; turns++) {
      const on = new FakeWindows();
      const host = await on.connect();
      let over = false;
      const running = path?.(host, on)
        .catch((error: unknown) => expect(error).toMatchObject({ name: "HostError" }))
        .finally(() => {
          over = true;
        });
      for (let turn = 0; turn < turns && !over; turn++)
        await new Promise<void>((resolve) => void setImmediate(resolve));
      const wasOver = over;
      await host.close();
      await running;
      expect(await on.leftovers(), `closed after ${turns} turns`).toEqual([]);
      if (wasOver) break;
    }
  });
});
