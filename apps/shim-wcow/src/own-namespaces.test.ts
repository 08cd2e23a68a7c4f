import { type NamedNetwork, NetworkController, PodNetwork, windowsNetworking } from "@uvm-shim/controller-network";
import { guidOf, NetworkBench, namespaceId, networkId } from "@uvm-shim/controller-network/testing";
import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ownNamespaces, windowsNetworkOf } from "./own-namespaces.ts";

const { signal } = new AbortController();
const none: NamedNetwork = { kind: "none" };

/** A pod's network on fakes, with a namespace that has an endpoint; `pod` says whether it is the pod's. */
async function make(pod: { readonly namespaceId?: string } = {}, faults: readonly [number, Fault][] = []) {
  const bench = await NetworkBench.make("wcow", { script: new ScriptedCalls(new Map(faults)), names: ["eth0"] });
  const { networks, windows } = bench;
  const made = new Set<string>();
  const host = {
    createNamespace: async () => {
      const namespace = await networks.createNamespace({ Type: "Host" });
      made.add(namespace.ID);
      return namespace;
    },
    addNamespaceEndpoint: networks.addNamespaceEndpoint.bind(networks),
    deleteNamespace: async (id: string) => {
      await networks.deleteNamespace(id);
      made.delete(id);
    },
  };
  let nics = 0x200;
  const podNetwork = new PodNetwork({
    ...pod,
    newController: (id) =>
      new NetworkController({
        ...{ namespaceId: id, networks, host: networks, newId: () => guidOf(nics++) },
        guest: windowsNetworking({ guest: () => windows, networks }),
      }),
  });
  let addresses = 0x50;
  const endpoint = async (): Promise<string> => {
    const IpConfigurations = [{ IpAddress: `10.0.0.${addresses++}`, PrefixLength: 24 }];
    return (await networks.createEndpoint(networkId, { IpConfigurations })).ID;
  };
  return { bench, made, podNetwork, endpoint, namespaces: ownNamespaces(host, podNetwork) };
}

describe("the namespace of a container that names none", () => {
  it("is the pod's, which stays when the container ends", async () => {
    const { bench, made, podNetwork, namespaces } = await make({ namespaceId });
    await podNetwork.prepare(none);
    const both = await Promise.all([namespaces.acquire([], signal), namespaces.acquire([], signal)]);
    expect(both).toEqual([namespaceId, namespaceId]);
    for (const id of both) await namespaces.release(id, signal);
    expect([made.size, [...bench.windows.namespaces], bench.windows.nics.size]).toEqual([0, [namespaceId], 1]);
    await podNetwork.teardown();
    expect(bench.left).toEqual([]);
  });

  it("is that of an earlier container that named one", async () => {
    const { made, podNetwork, namespaces } = await make();
    await podNetwork.prepare({ kind: "hcn", id: namespaceId });
    expect(await namespaces.acquire([], signal)).toBe(namespaceId);
    await namespaces.release(namespaceId, signal);
    expect([made.size, podNetwork.namespaceId]).toEqual([0, namespaceId]);
    await podNetwork.teardown();
  });

  it("is made of its endpoints, shared with those that come while it is there, and goes with the last", async () => {
    const { bench, made, podNetwork, endpoint, namespaces } = await make();
    const endpoints = [await endpoint(), await endpoint()];
    const [one, other] = await Promise.all([namespaces.acquire(endpoints, signal), namespaces.acquire([], signal)]);
    expect([[one, other], bench.windows.nics.size]).toEqual([[...made, ...made], 2]);
    await namespaces.release(one, signal);
    expect([made.size, bench.windows.nics.size]).toEqual([1, 2]);
    await namespaces.release(other, signal);
    expect([made.size, bench.left]).toEqual([0, []]);
    // The next one decides anew.
    expect(await namespaces.acquire([], signal)).not.toBe(one);
    await namespaces.release(podNetwork.namespaceId ?? "none", signal);
    await podNetwork.prepare({ kind: "hcn", id: namespaceId });
    await podNetwork.teardown();
    expect([made.size, bench.left]).toEqual([0, []]);
  });

  it("is not made of endpoints where the pod has one", async () => {
    const { made, endpoint, namespaces } = await make({ namespaceId });
    const id = await endpoint();
    await expect(namespaces.acquire([id], signal)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(
        `windows.network.endpointList is ["${id}"], expected none: the pod's network is the namespace ${namespaceId}`,
      ),
    });
    expect(made.size).toBe(0);
  });

  it("is deleted when its setup fails, and does not bind the pod", async () => {
    const { bench, made, podNetwork, endpoint, namespaces } = await make({}, [[1, "lose"]]);
    await expect(namespaces.acquire([await endpoint()], signal)).rejects.toMatchObject({ code: "Unavailable" });
    expect([made.size, podNetwork.namespaceId, bench.left]).toEqual([0, undefined, []]);
    expect([await namespaces.acquire([await endpoint()], signal)]).toEqual([...made]);
    await namespaces.release(podNetwork.namespaceId ?? "none", signal);
    expect([made.size, bench.left]).toEqual([0, []]);
  });

  it("is deleted when an endpoint is not there", async () => {
    const { made, namespaces } = await make();
    await expect(namespaces.acquire([guidOf(0x999)], signal)).rejects.toMatchObject({ code: "NotFound" });
    expect(made.size).toBe(0);
  });

  it("is deleted after the pod's network is gone with the VM", async () => {
    const { bench, made, podNetwork, endpoint, namespaces } = await make();
    const id = await namespaces.acquire([await endpoint()], signal);
    await podNetwork.teardown();
    await namespaces.release(id, signal);
    await namespaces.release(id, signal);
    expect([made.size, bench.left]).toEqual([0, []]);
  });
});

describe("the network of a specification", () => {
  const spec = (network: unknown): unknown => ({ windows: { network } });
  const field = "config.json: windows.network.networkNamespace";

  it.each<[unknown, string, "windows" | "posix", NamedNetwork]>([
    [undefined, "", "posix", none],
    [spec({}), "", "windows", none],
    [spec({}), namespaceId, "windows", { kind: "hcn", id: namespaceId }],
    [spec({ endpointList: ["e"] }), "", "windows", none],
    [spec({ networkSharedContainerName: "c" }), "", "windows", none],
    [spec({ networkNamespace: namespaceId.toUpperCase() }), "", "posix", { kind: "hcn", id: namespaceId }],
    [spec({ networkNamespace: "/run/netns/x" }), "", "posix", { kind: "path", field, path: "/run/netns/x" }],
    [spec({}), "/run/netns/x", "posix", { kind: "path", field: "netns_path", path: "/run/netns/x" }],
  ])("%j, %j on %s is %j", (given, netnsPath, grammar, expected) => {
    expect(windowsNetworkOf(given, netnsPath, grammar)).toEqual(expected);
  });

  it.each<[unknown, string, "windows" | "posix", string]>([
    [
      spec({ networkNamespace: "/run/netns/x" }),
      "",
      "windows",
      'networkNamespace is "/run/netns/x", expected the GUID',
    ],
    [spec({ networkNamespace: "pod" }), "", "posix", 'networkNamespace is "pod", expected the GUID'],
    [spec({ endpointList: ["e"] }), namespaceId, "windows", "endpointList is not empty"],
    [spec({ endpointList: ["e"], networkNamespace: namespaceId }), "", "windows", "endpointList is not empty"],
    [spec({ endpointList: ["e"], networkNamespace: "/run/netns/x" }), "", "posix", "endpointList is not empty"],
  ])("%j, %j on %s is refused", (given, netnsPath, grammar, message) => {
    expect(() => windowsNetworkOf(given, netnsPath, grammar)).toThrow(
      expect.objectContaining({ code: "InvalidArgument", message: expect.stringContaining(message) }),
    );
  });
});
