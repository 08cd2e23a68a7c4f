import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { NetworkController } from "./controller.ts";
import { linuxNetworking } from "./lcow.ts";
import {
  FakeLinuxGuest,
  FakeNetworks,
  flavours,
  guidOf,
  NetworkBench,
  namespaceId,
  networkId,
} from "./testing/index.ts";

const two = { names: ["first_eth1", "second_eth0"] };

describe("setup", () => {
  it("adds each NIC to the host and then to a Linux guest, eth0 first", async () => {
    const { controller, networks, linux } = await NetworkBench.make("lcow", {
      names: ["a_eth2", "b_eth1", "c_eth0", "d_eth3"],
    });
    await controller.setup();
    expect(controller.state).toEqual({ kind: "Configured" });
    expect(controller.nics.map(({ name }) => name)).toEqual(["c_eth0", "a_eth2", "b_eth1", "d_eth3"]);
    expect(networks.script.names).toEqual([
      "queryNamespace",
      ...Array(4).fill("queryEndpoint"),
      ...Array(4).fill(["addNic", "guest add"]).flat(),
    ]);
    expect([...linux.adapters.keys()]).toEqual([...networks.nics.keys()]);
  });

  it("gives a Windows guest the namespace, and each NIC before and after the host", async () => {
    const { controller, networks, windows } = await NetworkBench.make("wcow", two);
    await controller.setup();
    expect(networks.script.names.slice(3)).toEqual([
      "guest add namespace",
      ...Array(2).fill(["guest pre-add", "addNic", "guest add"]).flat(),
    ]);
    expect([...windows.nics.values()]).toEqual(["complete", "complete"]);
  });

  it("sends a Windows guest the fields of namespace and endpoint that it knows, and no others", async () => {
    const bench = await NetworkBench.make("wcow");
    const IpConfigurations = [{ IpAddress: "10.0.0.9", PrefixLength: 24 }];
    await bench.addEndpoint({ Name: "eth0", IpConfigurations, SchemaVersion: { Major: 2, Minor: 16 } });
    const asked = await bench.networks.queryEndpoint(guidOf(1));
    expect(asked).toMatchObject({ Version: expect.any(Number), AdditionalParams: {}, State: 1 });
    await bench.controller.setup();
    expect(bench.windows.endpoints).toEqual([
      {
        ID: guidOf(1),
        Name: "eth0",
        HostComputeNetwork: networkId,
        HostComputeNamespace: namespaceId,
        MacAddress: asked.MacAddress,
        IpConfigurations,
        SchemaVersion: { Major: 2, Minor: 16 },
      },
    ]);
  });

  it("does only the host's part for a Linux guest that accepts no interfaces", async () => {
    const { controller, networks, linux } = await NetworkBench.make("lcow", two);
    linux.supportsNetworkNamespaces = false;
    await controller.setup();
    await controller.teardown();
    expect(networks.script.names.slice(3)).toEqual(["addNic", "addNic", "removeNic", "removeNic"]);
  });

  it("omits the namespace for a Windows guest that accepts none", async () => {
    const { controller, networks, windows } = await NetworkBench.make("wcow", two);
    windows.supportsNetworkNamespaces = false;
    await controller.setup();
    expect(networks.script.names).not.toContain("guest add namespace");
    expect(windows.nics.size).toBe(2);
  });

  it("sends a Linux guest all fields of the endpoint", async () => {
    const { controller, addEndpoint, linux } = await withEndpoint({ policyBasedRouting: true });
    await addEndpoint({
      Name: "eth0",
      MacAddress: "00-15-5D-AA-BB-CC",
      IpConfigurations: [
        { IpAddress: "10.0.0.9", PrefixLength: 24 },
        { IpAddress: "fd00::9", PrefixLength: 64 },
      ],
      Routes: [
        { NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0" },
        { NextHop: "", DestinationPrefix: "10.9.0.0/16", Metric: 7 },
      ],
      Dns: { Domain: "Pod.Test", Search: ["svc.test"], ServerList: ["10.0.0.1", "FD00::1"] },
      Policies: [{ Type: "EncapOverhead", Settings: { Overhead: 50 } }, { Type: "ACL" }],
    });
    await controller.setup();
    expect([...linux.adapters.values()]).toEqual([
      {
        NamespaceID: namespaceId,
        ID: guidOf(0x100),
        MacAddress: "00-15-5D-AA-BB-CC",
        DNSSuffix: "pod.test,svc.test",
        DNSServerList: "10.0.0.1,fd00::1",
        EncapOverhead: 50,
        IPConfigs: [
          { IPAddress: "10.0.0.9", PrefixLength: 24 },
          { IPAddress: "fd00::9", PrefixLength: 64 },
        ],
        Routes: [
          { DestinationPrefix: "0.0.0.0/0", NextHop: "10.0.0.1" },
          { DestinationPrefix: "10.9.0.0/16", Metric: 7 },
        ],
        PolicyBasedRouting: true,
      },
    ]);
  });

  it("omits default routes without a gateway for a Linux guest, which could not set them up", async () => {
    const { controller, addEndpoint, linux } = await withEndpoint({ policyBasedRouting: false });
    await addEndpoint({
      Name: "eth0",
      Routes: [
        { NextHop: "", DestinationPrefix: "0.0.0.0/0" },
        { DestinationPrefix: "::/0" },
        { NextHop: "0.0.0.0", DestinationPrefix: "0.0.0.0/0" },
        { DestinationPrefix: "10.9.0.0/16" },
      ],
    });
    await controller.setup();
    expect([...linux.adapters.values()].map(({ Routes }) => Routes)).toEqual([
      [{ DestinationPrefix: "0.0.0.0/0", NextHop: "0.0.0.0" }, { DestinationPrefix: "10.9.0.0/16" }],
    ]);
  });

  it("runs once", async () => {
    const { controller } = await NetworkBench.make("lcow", two);
    await controller.setup();
    await expect(controller.setup()).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("not possible in state Configured, only in NotConfigured"),
    });
    expect(controller.state.kind).toBe("Configured");
  });

  it("accepts a namespace without endpoints", async () => {
    const { controller } = await NetworkBench.make("lcow");
    await controller.setup();
    expect(controller.nics).toEqual([]);
  });

  it.each([
    ["no address", { IpConfigurations: [] }, "IpConfigurations is empty, expected at least one address"],
    [
      "a prefix that is too long",
      { IpConfigurations: [{ IpAddress: "10.0.0.99", PrefixLength: 33 }] },
      "IpConfigurations[0].PrefixLength: expected at most 32 for 10.0.0.99, got 33",
    ],
    [
      "an overhead that is no number",
      { Policies: [{ Type: "EncapOverhead", Settings: { Overhead: "much" } }] },
      "Policies (EncapOverhead).Settings.Overhead: expected an integer from 0 to 65535",
    ],
  ])("refuses an endpoint with %s before anything is acquired", async (_, settings, message) => {
    for (const flavour of flavours) {
      const bench = await NetworkBench.make(flavour, { names: ["good_eth0"] });
      await bench.addEndpoint({ Name: "bad", ...settings });
      await expect(bench.controller.setup()).rejects.toMatchObject({
        code: "InvalidArgument",
        message: expect.stringContaining(message),
      });
      expect(bench.left).toEqual([]);
      await bench.controller.teardown();
    }
  });

  it.each([
    ["IpAddress", { IpConfigurations: [{ IpAddress: "10.0.0.256", PrefixLength: 24 }] }],
    ["DestinationPrefix", { Routes: [{ DestinationPrefix: "10.0.0.0" }] }],
    ["ServerList", { Dns: { ServerList: ["1.1.1.1\nnameserver 6.6.6.6"] } }],
    ["MacAddress", { MacAddress: "" }],
    ["MacAddress", { MacAddress: "ff-ff-ff-ff-ff-ff" }],
  ])("does not trust the host's %s", async (field, settings) => {
    const networks = new FakeNetworks();
    const guest = new FakeLinuxGuest(networks);
    const endpoint = { ID: guidOf(1), HostComputeNetwork: guidOf(2), MacAddress: "00-15-5D-00-00-01" };
    const controller = new NetworkController({
      namespaceId,
      host: networks,
      networks: {
        queryNamespace: async () => ({ ID: namespaceId, Resources: [{ Type: "Endpoint", Data: { Id: guidOf(1) } }] }),
        queryEndpoint: async () => ({
          ...endpoint,
          IpConfigurations: [{ IpAddress: "10.0.0.2", PrefixLength: 24 }],
          ...settings,
        }),
      },
      guest: linuxNetworking({ guest: () => guest }),
      newId: () => guidOf(9),
    });
    await expect(controller.setup()).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(field),
    });
    expect(networks.nics.size).toBe(0);
  });

  it.each(["", "pod", "{12345678-1234-1234-1234-123456789012}"])("refuses the namespace %j", async (id) => {
    const networks = new FakeNetworks();
    const guest = linuxNetworking({ guest: () => new FakeLinuxGuest(networks) });
    const controller = new NetworkController({ namespaceId: id, networks, host: networks, guest, newId: () => "" });
    await expect(controller.setup()).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("networkNamespace: expected a GUID"),
    });
    expect(networks.script.calls).toEqual([]);
  });

  it("reports an unknown namespace", async () => {
    const bench = await NetworkBench.make("lcow");
    await bench.networks.deleteNamespace(namespaceId);
    await expect(bench.controller.setup()).rejects.toMatchObject({ code: "NotFound" });
    expect(bench.controller.state.kind).toBe("Invalid");
  });
});

describe("teardown", () => {
  it.each([
    ["lcow", ["guest remove", "removeNic", "guest remove", "removeNic"]],
    ["wcow", ["guest remove", "removeNic", "guest remove", "removeNic", "queryNamespace", "guest remove namespace"]],
  ] as const)("releases everything in reverse order, %s", async (flavour, calls) => {
    const bench = await NetworkBench.make(flavour, two);
    await bench.controller.setup();
    const before = bench.networks.script.calls.length;
    const ids = bench.controller.nics.map(({ id }) => id).toReversed();
    await bench.controller.teardown();
    const after = bench.networks.script.calls.slice(before);
    expect(after.map(({ name }) => name)).toEqual(calls);
    expect(after.filter(({ name }) => name === "removeNic").map(({ detail }) => detail)).toEqual(ids);
    expect(bench.left).toEqual([]);
    await bench.controller.teardown();
    expect(bench.networks.script.calls).toHaveLength(before + calls.length);
  });

  it("sends a Windows guest the namespace as it is by then, or as it was if it is gone", async () => {
    const bench = await NetworkBench.make("wcow", two);
    await bench.controller.setup();
    await bench.removeEndpoint(guidOf(1));
    await bench.controller.teardown();
    const left = [{ Type: "Endpoint", Data: { Id: guidOf(2) } }];
    expect(bench.windows.removedNamespaces).toEqual([{ ID: namespaceId, Type: "Guest", Resources: left }]);

    const other = await NetworkBench.make("wcow", { names: ["eth0"] });
    await other.controller.setup();
    await other.networks.deleteNamespace(namespaceId);
    await other.controller.teardown();
    expect(other.windows.removedNamespaces).toEqual([
      { ID: namespaceId, Type: "Guest", Resources: [{ Type: "Endpoint", Data: { Id: guidOf(1) } }] },
    ]);
    expect([...bench.left, ...other.left]).toEqual([]);
  });

  it("leaves a Windows guest its namespace until the host can describe it", async () => {
    // The query of the namespace and its addition, then the query that fails.
    const script = new ScriptedCalls(new Map([[2, "fail"]]));
    const bench = await NetworkBench.make("wcow", { script });
    await bench.controller.setup();
    await expect(bench.controller.teardown()).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.left).toEqual([namespaceId]);
    await bench.controller.teardown();
    expect(script.names.slice(2)).toEqual(["queryNamespace", "queryNamespace", "guest remove namespace"]);
    expect(bench.left).toEqual([]);
  });

  it("also ends a network before its setup", async () => {
    const { controller } = await NetworkBench.make("lcow", two);
    await controller.teardown();
    await expect(controller.setup()).rejects.toMatchObject({ code: "FailedPrecondition" });
    await expect(controller.sync()).rejects.toMatchObject({ code: "FailedPrecondition" });
  });

  it("attempts everything, reports all errors together, and resumes where it stopped", async () => {
    const script = new ScriptedCalls(
      new Map([
        [7, "fail"],
        [10, "fail"],
      ]),
    );
    const bench = await NetworkBench.make("lcow", { ...two, script });
    await bench.controller.setup();
    const error = await bench.controller.teardown().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "Unavailable", operation: "tear down network", id: namespaceId });
    expect(String(error)).toMatch(/guest remove .* failed as scripted.*removeNic .* failed as scripted/);
    expect(bench.controller.state.kind).toBe("Invalid");
    expect(bench.controller.nics).toHaveLength(2);
    await bench.controller.teardown();
    expect(bench.controller.state.kind).toBe("TornDown");
    expect(bench.left).toEqual([]);
  });

  it("succeeds when endpoints and namespace are gone", async () => {
    for (const flavour of flavours) {
      const bench = await NetworkBench.make(flavour, two);
      await bench.controller.setup();
      for (const { endpointId } of bench.controller.nics) await bench.removeEndpoint(endpointId);
      await bench.networks.deleteNamespace(namespaceId);
      await bench.controller.teardown();
      expect(bench.left).toEqual([]);
    }
  });

  it("counts an ended VM and a closed bridge as released", async () => {
    const networks = new FakeNetworks();
    const gone = Object.assign(scriptedError("Unavailable", "it ended"), { gone: true });
    const guest = new FakeLinuxGuest(networks);
    let hasEnded = false;
    const bench = await NetworkBench.make("lcow", two);
    const controller = new NetworkController({
      namespaceId,
      networks: bench.networks,
      host: {
        addNic: async () => {},
        removeNic: () => Promise.reject(gone),
      },
      guest: linuxNetworking({
        guest: () => {
          if (hasEnded) throw gone;
          return guest;
        },
      }),
      newId: () => guidOf(7),
    });
    guest.addNetworkInterface = async () => {};
    await controller.setup();
    hasEnded = true;
    await controller.teardown();
    expect(controller.state.kind).toBe("TornDown");
  });

  it("interrupts a setup that hangs", async () => {
    for (const flavour of flavours) {
      const hanging = Promise.withResolvers<void>();
      const script = new ScriptedCalls(new Map([[4, "hangDone"]]), hanging.resolve);
      const bench = await NetworkBench.make(flavour, { ...two, script });
      const setup = bench.controller.setup();
      const failed = expect(setup).rejects.toMatchObject({ code: "Cancelled" });
      await hanging.promise;
      await bench.controller.teardown();
      await failed;
      expect(bench.left).toEqual([]);
      expect(bench.controller.state.kind).toBe("TornDown");
    }
  });
});

describe("sync", () => {
  it.each(flavours)("adds and removes endpoints that the namespace has gained and lost, %s", async (flavour) => {
    const bench = await NetworkBench.make(flavour, two);
    await bench.controller.setup();
    const [first, second] = bench.controller.nics;
    await bench.removeEndpoint(first?.endpointId ?? "");
    const third = await bench.addEndpoint({ Name: "third_eth0" });
    await bench.controller.sync();
    expect(bench.controller.nics.map(({ endpointId }) => endpointId)).toEqual([second?.endpointId, third]);
    expect([...bench.networks.nics.values()].sort()).toEqual([second?.endpointId, third].sort());
    const calls = bench.networks.script.calls.length;
    await bench.controller.sync();
    expect(bench.networks.script.names.slice(calls)).toEqual(["queryNamespace", "queryEndpoint", "queryEndpoint"]);
    await bench.controller.teardown();
    expect(bench.left).toEqual([]);
  });

  it("skips NICs that a Linux guest no longer accepts once a container has its network, with one warning", async () => {
    const bench = await NetworkBench.make("lcow", { names: ["a_eth0"] });
    const { controller, linux } = bench;
    await controller.setup();
    linux.isHeld = true;
    const late = await bench.addEndpoint({ Name: "b_eth1" });
    for (let time = 0; time < 2; time++) await controller.sync();
    expect(controller.nics.map(({ name }) => name)).toEqual(["a_eth0"]);
    const why = "a Linux guest accepts no further NIC once a container holds the network";
    expect(bench.warnings).toEqual([`endpoint ${late} (b_eth1) has no NIC in the VM: ${why}`]);
    // It accepts one in the place of those that are gone.
    const [{ endpointId = "" } = {}] = controller.nics;
    await bench.removeEndpoint(endpointId);
    await controller.sync();
    expect(controller.nics.map(({ name }) => name)).toEqual(["b_eth1"]);
    await controller.teardown();
    expect(bench.left).toEqual([]);
  });

  it("accepts the first NIC if a container has the network before there is one", async () => {
    const bench = await NetworkBench.make("lcow", { names: ["a_eth1", "b_eth0"] });
    bench.linux.isHeld = true;
    await bench.controller.setup();
    expect(bench.controller.nics.map(({ name }) => name)).toEqual(["b_eth0"]);
    expect(bench.warnings).toHaveLength(1);
    await bench.controller.teardown();
    expect(bench.left).toEqual([]);
  });

  it("removes all NICs when the namespace is gone", async () => {
    const bench = await NetworkBench.make("lcow", two);
    await bench.controller.setup();
    await bench.networks.deleteNamespace(namespaceId);
    await bench.controller.sync();
    expect(bench.left).toEqual([]);
    expect(bench.controller.state.kind).toBe("Configured");
  });

  it("retries a failed addition with a new NIC", async () => {
    const script = new ScriptedCalls(new Map([[8, "lose"]]));
    const bench = await NetworkBench.make("lcow", { names: ["eth0"], script });
    await bench.controller.setup();
    const second = await bench.addEndpoint({ Name: "eth1" });
    const third = await bench.addEndpoint({ Name: "eth2" });
    await expect(bench.controller.sync()).rejects.toMatchObject({
      code: "Unavailable",
      operation: "sync network",
      message: expect.stringContaining(second),
    });
    expect(bench.controller.state.kind).toBe("Configured");
    expect(bench.controller.nics.map(({ isComplete }) => isComplete)).toEqual([true, false, true]);
    await bench.controller.sync();
    expect(bench.controller.nics.every(({ isComplete }) => isComplete)).toBe(true);
    expect(bench.controller.nics.map(({ endpointId }) => endpointId)).toContain(third);
    expect(bench.linux.adapters.size).toBe(3);
    await bench.controller.teardown();
    expect(bench.left).toEqual([]);
  });
});

async function withEndpoint(options: { readonly policyBasedRouting: boolean }) {
  const bench = await NetworkBench.make("lcow", options);
  return {
    controller: bench.controller,
    linux: bench.linux,
    addEndpoint: (settings: Parameters<NetworkBench["addEndpoint"]>[0]) => bench.addEndpoint(settings),
  };
}
