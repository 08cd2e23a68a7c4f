import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { NetworkController } from "./controller.ts";
import { linuxNetworking } from "./lcow.ts";
import { networkNamespaceOf, PodNetwork } from "./pod-network.ts";
import { guidOf, NetworkBench, namespaceId } from "./testing/index.ts";

const other = guidOf(0x777);

describe("networkNamespaceOf", () => {
  const spec = (network: unknown): unknown => ({ windows: { network } });

  it.each([
    [undefined, "", undefined],
    [{}, "", undefined],
    [{ windows: null }, "", undefined],
    [spec({}), "", undefined],
    [spec({ networkNamespace: namespaceId.toUpperCase() }), other, namespaceId],
    [undefined, other.toUpperCase(), other],
    [undefined, "/var/run/netns/cni-1", undefined],
  ])("%j, %j is %s", (given, netnsPath, expected) => {
    expect(networkNamespaceOf(given, netnsPath)).toBe(expected);
  });

  it.each([
    [spec({ networkNamespace: "pod" }), 'networkNamespace is "pod", expected the GUID'],
    [spec({ networkNamespace: 7 }), "networkNamespace is 7, expected the GUID"],
    [spec({ endpointList: ["e"] }), "endpointList is not empty"],
  ])("refuses %j", (given, message) => {
    expect(() => networkNamespaceOf(given)).toThrow(
      expect.objectContaining({ code: "InvalidArgument", message: expect.stringContaining(message) }),
    );
  });
});

describe("PodNetwork", () => {
  async function make(
    options: {
      readonly sandbox?: string;
      readonly guestNamespaceId?: string;
      readonly faults?: ReadonlyMap<number, Fault>;
    } = {},
  ) {
    const { sandbox, guestNamespaceId, faults = new Map() } = options;
    const known = guestNamespaceId === undefined ? {} : { namespaceId: guestNamespaceId };
    const hanging = Promise.withResolvers<void>();
    const script = new ScriptedCalls(faults, hanging.resolve);
    const bench = await NetworkBench.make("lcow", { script, names: ["eth0"] });
    const made: NetworkController[] = [];
    let nics = 0x200;
    const network = new PodNetwork({
      namespaceId: sandbox,
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

  it("does without a namespace, until a container is in one", async () => {
    const { bench, network, made } = await make();
    await network.prepare(undefined);
    await network.teardown();
    expect(made).toEqual([]);
    await network.prepare(namespaceId);
    expect(bench.linux.adapters.size).toBe(1);
    await network.teardown();
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("is set up once for containers that come at once, and follows the namespace for each later one", async () => {
    const { bench, network, made } = await make({ sandbox: namespaceId });
    await Promise.all([network.prepare(undefined), network.prepare(namespaceId), network.prepare(undefined)]);
    expect(made).toHaveLength(1);
    await bench.addEndpoint({ Name: "eth1" });
    await network.prepare(namespaceId);
    expect(bench.linux.adapters.size).toBe(2);
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("says whether the VM has a NIC of it", async () => {
    const { network } = await make();
    await network.prepare(undefined);
    expect(network.hasInterfaces).toBe(false);
    await network.prepare(namespaceId);
    expect(network.hasInterfaces).toBe(true);
    await network.teardown();
    expect(network.hasInterfaces).toBe(false);
  });

  it("is known to the guest by the id that its holder was given, where that came first", async () => {
    const { bench, network } = await make({ guestNamespaceId: other });
    await network.prepare(namespaceId);
    expect([...bench.linux.adapters.values()].map(({ NamespaceID }) => NamespaceID)).toEqual([other]);
    await network.teardown();
    expect(bench.left).toEqual([]);
  });

  it("refuses a container of another namespace", async () => {
    const { network } = await make({ sandbox: namespaceId });
    await expect(network.prepare(other)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(`networkNamespace is ${other}, expected the pod's ${namespaceId}`),
    });
  });

  it("takes a failed setup back, and tries anew", async () => {
    const { bench, network, made } = await make({ sandbox: namespaceId, faults: new Map([[3, "lose"]]) });
    await expect(network.prepare(undefined)).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.left).toEqual([]);
    await network.prepare(undefined);
    expect(made.map(({ state }) => state.kind)).toEqual(["TornDown", "Configured"]);
  });

  it("takes back later what it could not take back at once", async () => {
    const faults = new Map<number, Fault>([
      [3, "fail"],
      [5, "fail"],
    ]);
    const { bench, network, made } = await make({ sandbox: namespaceId, faults });
    await expect(network.prepare(undefined)).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.left).toHaveLength(1);
    await network.prepare(undefined);
    expect(made.map(({ state }) => state.kind)).toEqual(["TornDown", "Configured"]);
    expect(bench.networks.nics.size).toBe(1);
  });

  it("lets go of a caller who gives up, and of a setup that hangs when the pod ends", async () => {
    const { bench, network, hanging } = await make({ sandbox: namespaceId, faults: new Map([[2, "hangDone"]]) });
    const preparing = network.prepare(undefined);
    const failed = expect(preparing).rejects.toMatchObject({ code: "Cancelled" });
    await hanging;
    await network.teardown();
    await failed;
    expect(bench.left).toEqual([]);
    await expect(network.prepare(undefined, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  });
});
