import { GuestFault, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it, vi } from "vitest";
import type { LinuxGuest } from "./guest.ts";
import { FakeGuest, settled } from "./testing/fake-guest.ts";

const settings = {
  SchemaVersion: { Major: 2, Minor: 1 },
  OciBundlePath: "/run/gcs/pods/p/c",
  OciSpecification: { ociVersion: "1.0.2" },
  ScratchDirPath: "/run/scratch",
};

describe("connecting", () => {
  it("negotiates and sends nothing more to a guest that expects nothing", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    expect(fake.seen).toEqual([]);
    await guest.close();
    expect(await guest.closed).toBeUndefined();
  });

  it("creates and starts the VM itself if the guest expects that", async () => {
    const fake = new FakeGuest({}, { SendHostCreateMessage: true, SendHostStartMessage: true });
    const guest = await fake.connect();
    expect(fake.seen).toEqual([
      { procedure: "create", containerId: uvmContainerId, body: { ContainerConfig: '{"SystemType":"Container"}' } },
      { procedure: "start", containerId: uvmContainerId, body: {} },
    ]);
    await guest.close();
  });

  it("sends no start without a create", async () => {
    const fake = new FakeGuest({}, { SendHostStartMessage: true });
    const guest = await fake.connect();
    expect(fake.seen).toEqual([]);
    await guest.close();
  });

  it.each([
    [{ RuntimeOsType: "Windows" }, 'unsupported guest operating system "Windows"'],
    [{ RuntimeOsType: "" }, 'unsupported guest operating system ""'],
    [{ SupportedSchemaVersions: [{ Major: 1, Minor: 9 }] }, "schema versions [1.9]: expected 2.1"],
    [{ SupportedSchemaVersions: [{ Major: 2, Minor: 0 }] }, "schema versions [2.0]: expected 2.1"],
    [
      { SupportedSchemaVersions: Array.from({ length: 500 }, () => ({ Major: 1, Minor: 0 })) },
      "schema versions [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, …]: expected 2.1",
    ],
    [
      { GuestDefinedCapabilities: { ...capabilities.GuestDefinedCapabilities, SignalProcessSupported: false } },
      "capability SignalProcessSupported is missing",
    ],
  ])("refuses a guest of capabilities %j, and closes the stream", async (capabilities, message) => {
    const fake = new FakeGuest({}, capabilities);
    await expect(fake.connect()).rejects.toMatchObject({
      code: "Unimplemented",
      message: expect.stringContaining(message),
    });
    expect(fake.hostStream.destroyed).toBe(true);
  });

  it("closes the stream if the guest refuses, and if the caller aborts", async () => {
    const refusing = new FakeGuest(
      {
        create: async () => {
          throw new GuestFault("E_FAIL", "no");
        },
      },
      { SendHostCreateMessage: true },
    );
    await expect(refusing.connect()).rejects.toMatchObject({ code: "Internal", hresultName: "E_FAIL" });
    expect(refusing.hostStream.destroyed).toBe(true);

    const silent = new FakeGuest({ create: () => new Promise(() => {}) }, { SendHostCreateMessage: true });
    const controller = new AbortController();
    const connecting = silent.connect(controller.signal);
    await settled();
    controller.abort();
    await expect(connecting).rejects.toMatchObject({ code: "Cancelled" });
    expect(silent.hostStream.destroyed).toBe(true);
  });

  it("reports by `closed` why a guest was lost", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    await fake.server.close();
    expect(await guest.closed).toMatchObject({ code: "Unavailable", gone: true });
  });
});

it("reports whether the guest accepts network interfaces", async () => {
  for (const supported of [true, false]) {
    const defined = { ...capabilities.GuestDefinedCapabilities, NamespaceAddRequestSupported: supported };
    const guest = await new FakeGuest({}, { GuestDefinedCapabilities: defined }).connect();
    expect(guest.supportsNetworkNamespaces).toBe(supported);
  }
});

describe("modifying", () => {
  const disk = { MountPath: "/run/mounts/scsi/0/1/0", Controller: 0, Lun: 1, Partition: 0, ReadOnly: true };
  const device = { Controller: 0, Lun: 1 };
  const assigned = { VMBusGUID: "6f9619ff-8b86-d011-b42d-00c04fc964ff" };
  const directory = { MountPath: "/run/mounts/p9/1", Port: 564, ShareName: "1", ReadOnly: false };
  const adapter = {
    NamespaceID: "12345678-1234-1234-1234-123456789abc",
    ID: "12345678-1234-1234-1234-123456789abd",
    IPConfigs: [{ IPAddress: "10.0.0.2", PrefixLength: 24 }],
  };
  const layers = { ContainerID: "c", ContainerRootPath: "/run/root", Layers: [{ Path: "/a" }], ScratchPath: "/s" };

  it.each<[string, (guest: LinuxGuest) => Promise<void>, string, string, unknown]>([
    ["mountDisk", (guest) => guest.mountDisk(disk), "MappedVirtualDisk", "Add", disk],
    ["unmountDisk", (guest) => guest.unmountDisk(disk), "MappedVirtualDisk", "Remove", disk],
    ["ejectDisk", (guest) => guest.ejectDisk(device), "SCSIDevice", "Remove", device],
    ["mountShare", (guest) => guest.mountShare(directory), "MappedDirectory", "Add", directory],
    ["waitForDevice", (guest) => guest.waitForDevice(assigned), "VPCIDevice", "Add", assigned],
    ["unmountShare", (guest) => guest.unmountShare(directory), "MappedDirectory", "Remove", directory],
    ["addCombinedLayers", (guest) => guest.addCombinedLayers(layers), "CombinedLayers", "Add", layers],
    ["removeCombinedLayers", (guest) => guest.removeCombinedLayers(layers), "CombinedLayers", "Remove", layers],
    ["addNetworkInterface", (guest) => guest.addNetworkInterface(adapter), "Network", "Add", adapter],
    ["removeNetworkInterface", (guest) => guest.removeNetworkInterface(adapter), "Network", "Remove", adapter],
  ])("%s asks the VM itself for it", async (_name, act, ResourceType, RequestType, Settings) => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    await act(guest);
    expect(fake.seen).toEqual([
      {
        procedure: "modifySettings",
        containerId: uvmContainerId,
        body: { Request: { ResourceType, RequestType, Settings } },
      },
    ]);
    await guest.close();
  });

  it("reports to a release that the guest is gone", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    await fake.server.close();
    await guest.closed;
    await expect(guest.unmountDisk(disk)).rejects.toMatchObject({ code: "Unavailable", gone: true });
  });
});

describe("containers", () => {
  it("are created from their settings and started by their id", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await container.start();
    expect(fake.seen).toEqual([
      { procedure: "create", containerId: "c", body: { ContainerConfig: JSON.stringify(settings) } },
      { procedure: "start", containerId: "c", body: {} },
    ]);
    await guest.close();
  });

  it("of the same id exist once, until their state is deleted or their creation fails", async () => {
    let refuses = true;
    const fake = new FakeGuest({
      create: async () => {
        if (refuses) throw new GuestFault("E_FAIL", "no");
        return {};
      },
    });
    const guest = await fake.connect();
    await expect(guest.createContainer("c", settings)).rejects.toMatchObject({ code: "Internal" });
    refuses = false;
    const container = await guest.createContainer("c", settings);
    await expect(guest.createContainer("c", settings)).rejects.toMatchObject({ code: "AlreadyExists" });
    await container.deleteState();
    await guest.createContainer("c", settings);
    await guest.close();
  });

  it("are removed if the guest creates them after their creation was abandoned", async () => {
    let answer = (): void => {};
    const fake = new FakeGuest({
      create: () =>
        new Promise((resolve) => {
          answer = () => resolve({});
        }),
    });
    const guest = await fake.connect();
    const controller = new AbortController();
    const creating = guest.createContainer("c", settings, controller.signal);
    await settled();
    controller.abort();
    await expect(creating).rejects.toMatchObject({ code: "Cancelled", containerId: "c" });
    answer();
    await settled();
    expect(fake.seen.map((request) => request.procedure)).toEqual(["create", "shutdownForced", "deleteContainerState"]);
    await guest.close();
  });

  it("report how they ended; other notifications are logged or ignored", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    const notify = (containerId: string, type: "Started" | "ForcedExit" | "GracefulExit"): void =>
      fake.server.notify({ containerId, activityId: "", type, operation: "None", result: 0 });
    notify("unknown", "ForcedExit");
    notify("c", "Started");
    notify("c", "ForcedExit");
    notify("c", "GracefulExit");
    expect(await container.exited).toBe("ForcedExit");
    expect(fake.logged).toContain("ignored a notification for an unknown container");
    await guest.close();
  });

  it.each([["HCS_E_SYSTEM_NOT_FOUND"], ["HCS_E_SYSTEM_ALREADY_STOPPED"], ["ERROR_NOT_FOUND"]] as const)(
    "count as ended and deleted when the guest answers %s",
    async (name) => {
      const refuse = async (): Promise<never> => {
        throw new GuestFault(name, "gone");
      };
      const fake = new FakeGuest({ shutdownForced: refuse, deleteContainerState: refuse });
      const guest = await fake.connect();
      const container = await guest.createContainer("c", settings);
      await expect(container.terminate()).resolves.toBeUndefined();
      await expect(container.deleteState()).resolves.toBeUndefined();
      await guest.close();
    },
  );

  it("fail to end with any other error of the guest", async () => {
    const fake = new FakeGuest({
      shutdownForced: async () => {
        throw new GuestFault("HCS_E_INVALID_STATE", "busy");
      },
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await expect(container.terminate()).rejects.toMatchObject({ code: "FailedPrecondition" });
    await guest.close();
    await expect(container.terminate()).resolves.toBeUndefined();
  });

  it("are not deleted in a guest that cannot", async () => {
    const fake = new FakeGuest(
      {},
      {
        GuestDefinedCapabilities: { ...capabilities.GuestDefinedCapabilities, DeleteContainerStateSupported: false },
      },
    );
    const guest = await fake.connect();
    await (await guest.createContainer("c", settings)).deleteState();
    expect(fake.bodies("deleteContainerState")).toEqual([]);
    await guest.close();
  });

  it("list their processes", async () => {
    const answers = ['{"ProcessList":[{"ProcessId":7},{"ProcessId":9}]}', "{}", '{"ProcessList":null}'];
    const fake = new FakeGuest({ getProperties: async () => ({ Properties: answers.shift() ?? "" }) });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    expect(await container.processIds()).toEqual([7, 9]);
    expect(await container.processIds()).toEqual([]);
    expect(await container.processIds()).toEqual([]);
    expect(fake.bodies("getProperties")[0]).toEqual({ Query: '{"PropertyTypes":["ProcessList"]}' });
    await expect(container.processIds()).rejects.toMatchObject({ code: "Internal", containerId: "c" });
    await guest.close();
  });

  it.each(['{"ProcessList":7}', '{"ProcessList":[{"ProcessId":-1}]}', "[]"])(
    "refuse the list %s",
    async (Properties) => {
      const fake = new FakeGuest({ getProperties: async () => ({ Properties }) });
      const guest = await fake.connect();
      const container = await guest.createContainer("c", settings);
      await expect(container.processIds()).rejects.toMatchObject({
        code: "Internal",
        message: expect.stringContaining("invalid answer from the guest: "),
      });
      await guest.close();
    },
  );

  it("signal all their processes, those that end meanwhile included", async () => {
    const fake = new FakeGuest({
      getProperties: async () => ({ Properties: '{"ProcessList":[{"ProcessId":7},{"ProcessId":9}]}' }),
      signalProcess: async ({ ProcessId }) => {
        if (ProcessId === 7) throw new GuestFault("ERROR_NOT_FOUND", "ended");
        return {};
      },
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await container.signalAll(15);
    expect(fake.bodies("signalProcess")).toEqual([
      { ProcessId: 7, Options: { Signal: 15 } },
      { ProcessId: 9, Options: { Signal: 15 } },
    ]);
    await container.signalAll(9);
    expect(fake.bodies("shutdownForced")).toHaveLength(1);
    expect(fake.bodies("signalProcess")).toHaveLength(2);
    await guest.close();
  });

  it("are signalled in batches if they are many, and only while the guest answers", async () => {
    const ProcessList = Array.from({ length: 1_000 }, (_, index) => ({ ProcessId: index + 1 }));
    let inFlight = 0;
    let most = 0;
    const silent = new AbortController();
    const fake = new FakeGuest({
      getProperties: async () => ({ Properties: JSON.stringify({ ProcessList }) }),
      signalProcess: async ({ Options }) => {
        if (Options?.Signal === 1) return new Promise(() => {});
        inFlight += 1;
        most = Math.max(most, inFlight);
        await settled();
        inFlight -= 1;
        return {};
      },
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await container.signalAll(15);
    expect(fake.bodies("signalProcess").map(({ ProcessId }) => ProcessId)).toEqual(
      ProcessList.map(({ ProcessId }) => ProcessId),
    );
    expect(most).toBe(64);
    const unanswered = container.signalAll(1, silent.signal);
    await vi.waitFor(() => expect(fake.bodies("signalProcess")).toHaveLength(1_064));
    silent.abort(new Error("enough"));
    await expect(unanswered).rejects.toMatchObject({ code: "Cancelled" });
    expect(fake.bodies("signalProcess")).toHaveLength(1_064);
    await guest.close();
  });

  it("report a process that could not be signalled", async () => {
    const fake = new FakeGuest({
      getProperties: async () => ({ Properties: '{"ProcessList":[{"ProcessId":7}]}' }),
      signalProcess: async () => {
        throw new GuestFault("E_ACCESSDENIED", "no");
      },
    });
    const guest = await fake.connect();
    const container = await guest.createContainer("c", settings);
    await expect(container.signalAll(15)).rejects.toMatchObject({ hresultName: "E_ACCESSDENIED" });
    await guest.close();
  });
});
