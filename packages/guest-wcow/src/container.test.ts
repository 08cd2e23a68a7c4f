import { GuestFault } from "@uvm-shim/gcs-bridge";
import { settled } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it } from "vitest";
import { FakeWindowsGuest, windowsCapabilities } from "./testing/fake-guest.ts";

const document = { SchemaVersion: { Major: 2, Minor: 1 }, Container: { Processor: {} } };
const guid = "d0b0a127-3f32-520d-a7a3-6ec17acb5fbe";

describe("a Windows container", () => {
  it("is created from its document, started, shut down, terminated and forgotten by its id", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    await container.start();
    await container.shutdown();
    await container.terminate();
    await container.deleteState();
    expect(fake.seen.slice(2)).toEqual([
      { procedure: "create", containerId: "c", body: { ContainerConfig: JSON.stringify(document) } },
      { procedure: "start", containerId: "c", body: {} },
      { procedure: "shutdownGraceful", containerId: "c", body: {} },
      { procedure: "shutdownForced", containerId: "c", body: {} },
      { procedure: "deleteContainerState", containerId: "c", body: {} },
    ]);
    expect((await guest.createContainer("c", document)).id).toBe("c");
    await guest.close();
  });

  it("has limits of 64 bits, each whole in its document", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    await guest.createContainer("c", { Container: { Memory: { SizeInMB: 2n ** 64n - 1n } } });
    const ContainerConfig = '{"Container":{"Memory":{"SizeInMB":18446744073709551615}}}';
    expect(fake.seen.slice(2)).toEqual([{ procedure: "create", containerId: "c", body: { ContainerConfig } }]);
    await guest.close();
  });

  it("keeps its state in a guest that cannot delete it, and is forgotten by the host", async () => {
    const GuestDefinedCapabilities = {
      ...windowsCapabilities.GuestDefinedCapabilities,
      DeleteContainerStateSupported: false,
    };
    const fake = new FakeWindowsGuest({}, { GuestDefinedCapabilities });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    await container.deleteState();
    expect(fake.bodies("deleteContainerState")).toEqual([]);
    await expect(guest.createContainer("c", document)).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_ALREADY_EXISTS",
    });
    await guest.close();
  });

  it("ends when the guest says so, not when it is asked to", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    let exit: string | undefined;
    void container.exited.then((type) => {
      exit = type;
    });
    await container.shutdown();
    await settled();
    expect(exit).toBeUndefined();
    fake.server.notify({ containerId: "c", activityId: guid, type: "GracefulExit", operation: "None", result: 0 });
    expect(await container.exited).toBe("GracefulExit");
    await guest.close();
  });

  it("counts as ended when the guest no longer has it", async () => {
    const gone = async (): Promise<never> => {
      throw new GuestFault("HCS_E_SYSTEM_NOT_FOUND", "gone");
    };
    const fake = new FakeWindowsGuest({ shutdownGraceful: gone, shutdownForced: gone, deleteContainerState: gone });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    await expect(container.shutdown()).resolves.toBeUndefined();
    await expect(container.terminate()).resolves.toBeUndefined();
    await expect(container.deleteState()).resolves.toBeUndefined();
    await guest.close();
  });

  it.each(["shutdownGraceful", "shutdownForced"] as const)("has 30 s for %s", async (procedure) => {
    const fake = new FakeWindowsGuest({ [procedure]: () => new Promise(() => {}) });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    const ending = procedure === "shutdownGraceful" ? container.shutdown() : container.terminate();
    const refused = expect(ending).rejects.toMatchObject({ code: "DeadlineExceeded" });
    expect(fake.delays).toEqual([30_000]);
    fake.expire();
    await refused;
    await guest.close();
  });

  it("that the guest creates after its creation was given up is removed again", async () => {
    let create: (() => void) | undefined;
    const fake = new FakeWindowsGuest({
      create: (_body, { containerId }) =>
        containerId === "c"
          ? new Promise((resolve) => {
              create = () => resolve({});
            })
          : Promise.resolve({}),
      shutdownForced: async () => ({}),
      deleteContainerState: async () => ({}),
      start: async () => ({}),
    });
    const guest = await fake.connect();
    const creating = expect(guest.createContainer("c", document)).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await settled();
    fake.expire();
    await creating;
    create?.();
    await settled();
    expect(fake.seen.slice(3).map(({ procedure, containerId }) => [procedure, containerId])).toEqual([
      ["shutdownForced", "c"],
      ["deleteContainerState", "c"],
    ]);
    await guest.close();
  });

  it("tells its statistics, processes and system GUID, without fields that have no reader", async () => {
    const statistics = {
      Timestamp: "2026-01-01T00:00:00Z",
      Uptime100ns: 5,
      Processor: { TotalRuntime100ns: 3, RuntimeUser100ns: 2, RuntimeKernel100ns: 1 },
      Memory: { MemoryUsageCommitBytes: 4096 },
      Storage: { ReadCountNormalized: 1 },
    };
    const process = { ProcessId: 7, ImageName: "cmd.exe", UserTime100ns: 1, KernelTime100ns: 2 };
    const fake = new FakeWindowsGuest({
      getProperties: async () => ({
        Properties: JSON.stringify({
          Statistics: { ...statistics, Newer: {} },
          ProcessList: [{ ...process, Newer: 1 }],
          SystemGUID: guid,
        }),
      }),
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    expect(await container.statistics()).toEqual(statistics);
    expect(await container.processes()).toEqual([process]);
    expect(await container.systemGuid()).toBe(guid);
    expect(fake.bodies("getProperties").map(({ Query }) => Query)).toEqual([
      '{"PropertyTypes":["Statistics"]}',
      '{"PropertyTypes":["ProcessList"]}',
      '{"PropertyTypes":["SystemGUID"]}',
    ]);
    await guest.close();
  });

  it("reports an invalid answer as Internal", async () => {
    const fake = new FakeWindowsGuest({
      getProperties: async () => ({ Properties: '{"Statistics":{"Uptime100ns":-1}}' }),
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    await expect(container.statistics()).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining("Statistics.Uptime100ns"),
    });
    await guest.close();
  });

  it("is changed by the path of what changes", async () => {
    const fake = new FakeWindowsGuest();
    const guest = await fake.connect();
    const container = await guest.createContainer("c", document);
    const change = { ResourcePath: "Container/Memory/SizeInMB", RequestType: "Update", Settings: 512 } as const;
    await container.modify(change);
    expect(fake.seen.slice(3)).toEqual([{ procedure: "modifySettings", containerId: "c", body: { Request: change } }]);
    await guest.close();
  });
});
