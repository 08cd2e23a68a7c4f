import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { NetworkController } from "./controller.ts";
import { linuxNetworking } from "./lcow.ts";
import { type NamedNetwork, namedNetworkOf, PodNetwork } from "./pod-network.ts";
import { guidOf, NetworkBench, namespaceId } from "./testing/index.ts";

const other = guidOf(0x777);

const none: NamedNetwork = { kind: "none" };
const hcn = (id: string): NamedNetwork => ({ kind: "hcn", id });
const at = (path: string, field = "config.json: linux.namespaces[0].path"): NamedNetwork => ({
  kind: "path",
  field,
  path,
});

describe("namedNetworkOf", () => {
  const spec = (network: unknown): unknown => ({ windows: { network } });
  const ofLinux = (...namespaces: readonly object[]): unknown => ({ linux: { namespaces } });

  it.each<[unknown, string, NamedNetwork]>([
    [undefined, "", none],
    [{}, "", none],
    [{ windows: null, linux: null }, "", none],
    [{ linux: { namespaces: 7 } }, "", none],
    [spec({}), "", none],
    [spec({ networkNamespace: namespaceId.toUpperCase() }), other, hcn(namespaceId)],
    [undefined, other.toUpperCase(), hcn(other)],
    [undefined, "/var/run/netns/cni-1", at("/var/run/netns/cni-1", "netns_path")],
    [ofLinux({ type: "pid" }, { type: "network" }), "", none],
    [
      ofLinux({ type: "pid" }, { type: "network", path: "/run/netns/x" }),
      "",
      at("/run/netns/x", "config.json: linux.namespaces[1].path"),
    ],
    [ofLinux({ type: "network", path: other.toUpperCase() }), "", hcn(other)],
  ])("%j, %j is %j", (given, netnsPath, expected) => {
    expect(namedNetworkOf(given, netnsPath)).toEqual(expected);
  });

  it.each([
    [spec({ networkNamespace: "pod" }), 'networkNamespace is "pod", expected the GUID'],
    [spec({ networkNamespace: 7 }), "networkNamespace is 7, expected the GUID"],
    [spec({ endpointList: ["e"] }), "endpointList is not empty"],
    [
      {
        windows: { network: { networkNamespace: namespaceId } },
        linux: { namespaces: [{ type: "network", path: "/x" }] },
      },
      'linux.namespaces names the network "/x", and windows.network.networkNamespace names',
    ],
  ])("refuses %j", (given, message) => {
    expect(() => namedNetworkOf(given)).toThrow(
      expect.objectContaining({ code: "InvalidArgument", message: expect.stringContaining(message) }),
    );
  });
});

describe("PodNetwork", () => {
  async function make(
    options: {
      readonly sandbox?: string;
      readonly hostPath?: string;
      readonly guestNamespaceId?: string;
      readonly faults?: ReadonlyMap<number, Fault>;
    } = {},
  ) {
    const { sandbox, hostPath, guestNamespaceId, faults = new Map() } = options;
    const known = guestNamespaceId === undefined ? {} : { namespaceId: guestNamespaceId };
    const hanging = Promise.withResolvers<void>();
    const script = new ScriptedCalls(faults, hanging.resolve);
    const bench = await NetworkBench.make("lcow", { script, names: ["eth0"] });
    const made: NetworkController[] = [];
    let nics = 0x200;
    const network = new PodNetwork({
      namespaceId: sandbox,
      hostPath,
      newController: (id) => {
        const controller = new NetworkController({
          namespaceId: id,
          networks: bench.networks,
          host: bench.networks,
          guest: linuxNetworking({ guest: () => bench.linux, ...known }),
          newId: () => guidOf(nics++),
        });
        made.push(controller);
        return controller;
      },
    });
    return { bench, network, made, hanging: hanging.promise };
  }

  it("needs no namespace until a container is in one", async () => {
    const { bench, network, made } = await make();
    await network.prepare(none);
    await network.teardown();
    expect(made).toEqual([]);
    await network.prepare(hcn(namespaceId));
    expect(bench.linux.adapters.size).toBe(1);
    await network.teardown();
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("is set up once for concurrent containers, and updated for each later one", async () => {
    const { bench, network, made } = await make({ sandbox: namespaceId });
    await Promise.all([network.prepare(none), network.prepare(hcn(namespaceId)), network.prepare(none)]);
    expect(made).toHaveLength(1);
    await bench.addEndpoint({ Name: "eth1" });
    await network.prepare(hcn(namespaceId));
    expect(bench.linux.adapters.size).toBe(2);
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("reports whether the VM has a NIC in it", async () => {
    const { network } = await make();
    await network.prepare(none);
    expect(network.hasInterfaces).toBe(false);
    await network.prepare(hcn(namespaceId));
    expect(network.hasInterfaces).toBe(true);
    await network.teardown();
    expect(network.hasInterfaces).toBe(false);
  });

  it("keeps the id under which the guest already knows it", async () => {
    const { bench, network } = await make({ guestNamespaceId: other });
    await network.prepare(hcn(namespaceId));
    expect([...bench.linux.adapters.values()].map(({ NamespaceID }) => NamespaceID)).toEqual([other]);
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("refuses a container of another namespace", async () => {
    const { network } = await make({ sandbox: namespaceId });
    await expect(network.prepare(hcn(other))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`networkNamespace is ${other}, expected the pod's ${namespaceId}`),
    });
  });

  it("is the one that a container names by the sandbox's path or by a process of the guest", async () => {
    const { bench, network, made } = await make({ sandbox: namespaceId, hostPath: "/var/run/netns/cni-1" });
    for (const path of ["/var/run/netns/cni-1", "/run/netns/cni-1", "/proc/42/ns/net"]) await network.prepare(at(path));
    expect(made).toHaveLength(1);
    await expect(network.prepare(at("/run/netns/cni-2"))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(
        'linux.namespaces[0].path is "/run/netns/cni-2", expected the pod\'s /var/run/netns/cni-1',
      ),
    });
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("refuses a container in a network of the host if the pod has none", async () => {
    const { network, made } = await make();
    await network.prepare(at("/proc/42/ns/net"));
    await expect(network.prepare(at("/run/netns/cni-2"))).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("expected no path: the pod has no network namespace of the host"),
    });
    expect(made).toEqual([]);
  });

  it("is not bound to a namespace that could not be set up, nor to one that was torn down", async () => {
    const { bench, network } = await make();
    await expect(network.prepare(hcn(other))).rejects.toMatchObject({ code: "NotFound" });
    expect(network.namespaceId).toBeUndefined();
    await network.prepare(hcn(namespaceId));
    expect([network.namespaceId, bench.linux.adapters.size]).toEqual([namespaceId, 1]);
    await network.teardown();
    expect([network.namespaceId, bench.left]).toEqual([undefined, []]);
    const { network: ofSandbox } = await make({ sandbox: other });
    await expect(ofSandbox.prepare(none)).rejects.toMatchObject({ code: "NotFound" });
    expect(ofSandbox.namespaceId).toBe(other);
  });

  it("undoes a failed setup, and tries again", async () => {
    const { bench, network, made } = await make({ sandbox: namespaceId, faults: new Map([[3, "lose"]]) });
    await expect(network.prepare(none)).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.left).toEqual([]);
    await network.prepare(none);
    expect(made.map(({ state }) => state.kind)).toEqual(["TornDown", "Configured"]);
  });

  it("undoes later what it could not undo at once", async () => {
    const faults = new Map<number, Fault>([
      [3, "fail"],
      [5, "fail"],
    ]);
    const { bench, network, made } = await make({ sandbox: namespaceId, faults });
    await expect(network.prepare(none)).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.left).toHaveLength(1);
    await network.prepare(none);
    expect(made.map(({ state }) => state.kind)).toEqual(["TornDown", "Configured"]);
    expect(bench.networks.nics.size).toBe(1);
  });

  it("releases a caller that gives up, and abandons a setup that hangs when the pod ends", async () => {
    const { bench, network, hanging } = await make({ sandbox: namespaceId, faults: new Map([[2, "hangDone"]]) });
    const preparing = network.prepare(none);
    const failed = expect(preparing).rejects.toMatchObject({ code: "Cancelled" });
    await hanging;
    await network.teardown();
    await failed;
    expect(bench.left).toEqual([]);
    await expect(network.prepare(none, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});
