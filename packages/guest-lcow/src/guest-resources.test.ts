import { uvmContainerId } from "@uvm-shim/gcs-bridge";
import { capabilities } from "@uvm-shim/gcs-bridge/testing";
import { describe, expect, it } from "vitest";
import { FakeGuest } from "./testing/fake-guest.ts";

const settings = {
  SchemaVersion: { Major: 2, Minor: 1 },
  OciBundlePath: "/run/gcs/pods/p/c",
  OciSpecification: { ociVersion: "1.0.2" },
  ScratchDirPath: "/run/scratch",
};

describe("the guest itself", () => {
  it("adjusts its limits to the VM's memory, and accepts policy fragments", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    await guest.updateMemoryLimits();
    await guest.injectPolicyFragment({ Fragment: "AAAA", MediaType: "x/y" });
    expect(fake.seen).toEqual([
      {
        procedure: "modifySettings",
        containerId: uvmContainerId,
        body: { Request: { ResourceType: "PodCgroupMemoryLimit", RequestType: "Update", Settings: undefined } },
      },
      {
        procedure: "modifySettings",
        containerId: uvmContainerId,
        body: {
          Request: {
            ResourceType: "SecurityPolicyFragment",
            RequestType: "Add",
            Settings: { Fragment: "AAAA", MediaType: "x/y" },
          },
        },
      },
    ]);
    await guest.close();
  });

  it("is given its policy", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    const policy = { EnforcerType: "rego", EncodedSecurityPolicy: "e30=" };
    await guest.setSecurityPolicy(policy);
    const Request = { ResourceType: "SecurityPolicy", RequestType: "Add", Settings: policy };
    expect(fake.seen).toEqual([{ procedure: "modifySettings", containerId: uvmContainerId, body: { Request } }]);
    await guest.close();
  });

  it("runs programs outside any container", async () => {
    const fake = new FakeGuest();
    const guest = await fake.connect();
    const parameters = {
      CommandArgs: ["uname"],
      EmulateConsole: false,
      CreateStdInPipe: false,
      CreateStdOutPipe: false,
      CreateStdErrPipe: false,
    };
    const process = await guest.execute(parameters);
    expect(process.pid).toBe(100);
    expect(fake.seen[0]).toMatchObject({ procedure: "executeProcess", containerId: uvmContainerId });
    expect(JSON.parse(fake.bodies("executeProcess")[0]?.Settings.ProcessParameters ?? "")).toEqual(parameters);
    await guest.close();
  });

  it.each([true, false])("reports whether it can dump stacks: %s", async (can) => {
    const fake = new FakeGuest(
      { dumpStacks: async () => ({ GuestStacks: "agent: …" }) },
      { GuestDefinedCapabilities: { ...capabilities.GuestDefinedCapabilities, DumpStacksSupported: can } },
    );
    const guest = await fake.connect();
    expect(guest.canDumpStacks).toBe(can);
    expect(await guest.dumpStacks()).toBe("agent: …");
    await guest.close();
  });
});

describe("a container's statistics and limits", () => {
  const answering = async (Properties: string) => {
    const fake = new FakeGuest({ getProperties: async () => ({ Properties }) });
    const guest = await fake.connect();
    return { fake, guest, container: await guest.createContainer("c", settings) };
  };

  it("are queried by type, and read", async () => {
    const metrics = { pids: { current: 3 }, cpu: { usage: { total: 7 } } };
    const { fake, guest, container } = await answering(JSON.stringify({ LCOWMetrics: { ...metrics, blkio: {} } }));
    expect(await container.metrics()).toEqual({ version: 1, metrics });
    expect(fake.bodies("getProperties")).toEqual([{ Query: '{"PropertyTypes":["Statistics"]}' }]);
    await guest.close();
  });

  it.each([
    ["{", "Properties: expected JSON"],
    ["{}", "Properties: expected LCOWMetrics or LCOWMetricsV2, got neither"],
    ['{"LCOWMetrics":{"pids":{"current":-1}}}', "Properties.LCOWMetrics.pids.current: expected a 64-bit counter"],
    ['{"LCOWMetricsV2":{"cpu":[]}}', "Properties.LCOWMetricsV2.cpu: expected an object, got a list"],
  ])("are refused as %s", async (properties, message) => {
    const { guest, container } = await answering(properties);
    await expect(container.metrics()).rejects.toMatchObject({
      code: "Internal",
      message: expect.stringContaining(message),
    });
    await guest.close();
  });

  it("are changed", async () => {
    const { fake, guest, container } = await answering("{}");
    await container.update({ memory: { limit: 4096 } });
    expect(fake.seen.at(-1)).toEqual({
      procedure: "modifySettings",
      containerId: "c",
      body: {
        Request: {
          ResourceType: "ContainerConstraints",
          RequestType: "Update",
          Settings: { Linux: { memory: { limit: 4096 } } },
        },
      },
    });
    await guest.close();
  });
});
