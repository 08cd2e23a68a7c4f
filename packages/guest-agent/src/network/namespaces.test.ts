import { rmSync } from "node:fs";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fixtures, makeFixtures } from "../testing/fixtures.ts";
import { Machine } from "../testing/machine.ts";
import { makePlugs, nicId, type Plugs } from "../testing/nics.ts";
import { specificationFor } from "../testing/specifications.ts";

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
  "ip",
)("NICs in the guest", () => {
  let fixtures: Fixtures;
  let machine: Machine;
  let plugs: Plugs;
  let namespaces = 0;

  beforeAll(async () => {
    fixtures = await makeFixtures("crun");
    machine = await Machine.boot(fixtures);
    plugs = makePlugs();
  });

  afterAll(async () => {
    plugs?.close();
    await machine?.powerOff();
    await machine?.removeCgroups();
    rmSync(fixtures.folder, { recursive: true });
  });

  /** A new namespace id. */
  const newNamespace = (): string => `namespace-${++namespaces}`;
  const modify = (type: "Add" | "Remove", namespace: string, number: number, more: object = {}): Promise<void> =>
    machine.modify(type, "Network", { NamespaceID: namespace, ID: nicId(number), ...more });
  const address = (text: string, length = 24) => ({ IPConfigs: [{ IPAddress: text, PrefixLength: length }] });

  /** Makes the sandbox container of a pod in the namespace, and returns its pid. */
  async function makePod(id: string, namespace: string, annotations = {}): Promise<number> {
    const windows = { network: { networkNamespace: namespace.toUpperCase() } };
    const skip = { "io.microsoft.cri.skip-pod-networking": "false" };
    const { linux } = specificationFor("/", {});
    const more = { windows, annotations: { ...skip, ...annotations }, linux: { ...linux, sysctl: {} } };
    return (await machine.createPod(id, more)).pid;
  }

  /** Output of ip in the VM's own network. */
  async function ip(...words: readonly string[]): Promise<string> {
    return (await machine.inGuest(["ip", ...words])).stdout;
  }

  /** Output of ip in the network of a process. */
  async function ipIn(pid: number, ...words: readonly string[]): Promise<string> {
    return (await machine.inGuest(["busybox", "nsenter", `--net=/proc/${pid}/ns/net`, "/bin/ip", ...words])).stdout;
  }

  it("stay as they are until a container takes their namespace, and become its eth0 and eth1", async () => {
    const namespace = newNamespace();
    plugs.plug(machine, 1);
    plugs.plug(machine, 2);
    await modify("Add", namespace, 2, {
      ...address("10.2.0.2"),
      MacAddress: "00-15-5D-00-00-02",
      EncapOverhead: 50,
      DNSSuffix: "two.test,One.test",
      DNSServerList: "10.2.0.1",
      Routes: [{ DestinationPrefix: "0.0.0.0/0", NextHop: "10.2.0.1" }],
    });
    await modify("Add", namespace, 1, {
      ...address("fd01::2", 64),
      PolicyBasedRouting: true,
      DNSSuffix: "one.test",
      Routes: [{ DestinationPrefix: "::/0", NextHop: "fd01::1" }],
    });
    expect(await ip("addr")).not.toMatch(/eth\d|10\.2\.0\.2/);
    const pid = await makePod("addressed", namespace);
    expect(await ip("link")).not.toMatch(/eth\d|nic/);
    const eth0 = await ipIn(pid, "addr", "show", "dev", "eth0");
    expect(eth0).toMatch(/mtu 1450 .*state UP[\s\S]*00:15:5d:00:00:02[\s\S]*inet 10\.2\.0\.2\/24/);
    expect(await ipIn(pid, "addr", "show", "dev", "eth1")).toMatch(/inet6 fd01::2\/64/);
    expect(await ipIn(pid, "route")).toMatch(/^default via 10\.2\.0\.1 dev eth0/);
    expect(await ipIn(pid, "-6", "rule")).toMatch(/5:\s+from fd01::2 lookup 101/);
    expect(await ipIn(pid, "-6", "route", "show", "table", "101")).toMatch(/default via fd01::1 dev eth1 metric 500/);
    const { stdout } = await machine.inGuest(["cat", "/run/gcs/pods/pod/addressed/resolv.conf"]);
    expect(stdout).toBe("search two.test one.test\nnameserver 10.2.0.1\n");
    for (const number of [1, 2]) {
      await modify("Remove", namespace, number);
      await modify("Remove", namespace, number);
      plugs.unplug(number);
    }
    expect(await ipIn(pid, "link")).not.toMatch(/eth\d/);
  });

  it("can be added to a running pod, but only one", async () => {
    const namespace = newNamespace();
    const pid = await makePod("late", namespace, { "io.microsoft.cri.skip-pod-networking": "True" });
    plugs.plug(machine, 3);
    await modify("Add", namespace, 3, address("10.3.0.2"));
    expect(await ipIn(pid, "addr", "show", "dev", "eth0")).toContain("10.3.0.2/24");
    plugs.plug(machine, 4);
    await expect(modify("Add", namespace, 4, address("10.4.0.2"))).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining(`cannot move NIC ${nicId(3)} to the network`),
    });
    for (const number of [3, 4]) {
      await modify("Remove", namespace, number);
      plugs.unplug(number);
    }
    plugs.plug(machine, 5);
    await modify("Add", namespace, 5, address("10.5.0.2"));
    expect(await ipIn(pid, "addr", "show", "dev", "eth0")).toContain("10.5.0.2/24");
    plugs.unplug(5);
  });

  it("stay in the VM's network for a pod that requests it, as do its containers", async () => {
    const namespace = newNamespace();
    plugs.plug(machine, 6);
    await modify("Add", namespace, 6, address("10.6.0.2"));
    const hostNetwork = { "io.microsoft.virtualmachine.lcow.hostnetwork": "true" };
    const pid = await makePod("hosted", namespace, hostNetwork);
    expect(await ip("addr", "show", "dev", "eth0")).toContain("10.6.0.2/24");
    // The sandbox container alone decides, whatever a workload says.
    const own = { namespaces: ["pid", "mount", "network"].map((type) => ({ type })), resources: {}, sysctl: {} };
    await machine.createWorkload("hosted", "guest-of-the-host", { args: ["ls", "/sys/class/net"] }, own);
    const { stdout, exit } = await machine.execute("guest-of-the-host");
    expect((await stdout.all).toString()).toContain("eth0");
    await exit;
    const { stdout: networks } = await machine.inGuest(["ls", "-l", "/proc/1/ns/net", `/proc/${pid}/ns/net`]);
    expect(new Set(networks.match(/net:\[\d+\]/g)).size).toBe(1);
    // A later NIC belongs to a namespace that no container has.
    plugs.plug(machine, 7);
    await modify("Add", namespace, 7, address("10.7.0.2"));
    expect(await ip("addr")).not.toContain("10.7.0.2");
    plugs.unplug(6);
    plugs.unplug(7);
  });

  it("are refused if they are known already, or do not appear", async () => {
    const namespace = newNamespace();
    plugs.plug(machine, 8);
    await modify("Add", namespace, 8, address("10.8.0.2"));
    await expect(modify("Add", namespace, 8)).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining("already"),
    });
    await modify("Remove", "unknown", 8);
    await modify("Remove", namespace, 8);
    plugs.unplug(8);
    await expect(modify("Add", namespace, 9)).rejects.toThrow(`NIC ${nicId(9)} did not appear within 5000 ms`);
  });

  it.each([
    [11, "no address", { IPConfigs: [] }, "IPConfigs is empty, and no DHCP server answers"],
    [
      12,
      "a bad address",
      { IPConfigs: [{ IPAddress: "10.1.2", PrefixLength: 24 }] },
      "must be an IPv4 or IPv6 address",
    ],
    [13, "a default route to nowhere", { Routes: [{ DestinationPrefix: "0.0.0.0/0" }] }, "expected a gateway or"],
    [14, "too much encapsulation", { EncapOverhead: 400 }, "invalid EncapOverhead 400: expected 0 to 220"],
  ])("are accepted as NIC %i with %s, stay listed, and fail their container", async (number, _, more, words) => {
    const namespace = newNamespace();
    plugs.plug(machine, number);
    const given = { ...address(`10.${number}.0.2`), ...more };
    await modify("Add", namespace, number, given);
    await expect(makePod(`unset-${number}`, namespace)).rejects.toMatchObject({
      hresultName: "E_FAIL",
      message: expect.stringContaining(words),
    });
    // The NIC itself was removed with the network that it had been moved to.
    await expect(modify("Add", namespace, number, given)).rejects.toThrow("already");
    await modify("Remove", namespace, number);
  });

  it("stay listed if they cannot be moved to a container, and fail all later ones until they are removed", async () => {
    const namespace = newNamespace();
    const pid = await makePod("listed", namespace, { "io.microsoft.cri.skip-pod-networking": "True" });
    plugs.plug(machine, 15);
    const bad = { ...address("10.15.0.2"), Routes: [{ DestinationPrefix: "::/0" }] };
    await expect(modify("Add", namespace, 15, bad)).rejects.toThrow("expected a gateway or a destination");
    await expect(modify("Add", namespace, 15, address("10.15.0.2"))).rejects.toThrow("already");
    plugs.plug(machine, 16);
    await expect(modify("Add", namespace, 16, address("10.16.0.2"))).rejects.toThrow();
    for (const number of [15, 16]) {
      await modify("Remove", namespace, number);
      plugs.unplug(number);
    }
    plugs.plug(machine, 17);
    await modify("Add", namespace, 17, address("10.17.0.2"));
    expect(await ipIn(pid, "addr", "show", "dev", "eth0")).toContain("10.17.0.2/24");
    plugs.unplug(17);
  });

  describe("in a network namespace that the emulated host offers", () => {
    const joined = (number: number): string => `0000000${number}-aaaa-4000-8000-000000000000`;
    const hostNetwork = { "io.microsoft.virtualmachine.lcow.hostnetwork": "true" };

    it("stay as they are, and the container joins the namespace", async () => {
      plugs.offer(machine, joined(1), 21);
      // The address stays that of the namespace, whatever the host sends for the NIC.
      await modify("Add", joined(1), 21, { ...address("10.99.0.2"), DNSServerList: "10.21.0.1" });
      const pid = await makePod("joined", joined(1));
      const shown = await ipIn(pid, "addr");
      expect(shown).toMatch(/net1@.*mtu 1400[\s\S]*inet 10\.21\.0\.2\/24/);
      expect(shown).not.toMatch(/10\.99|eth0/);
      const { stdout } = await machine.inGuest(["cat", "/run/gcs/pods/pod/joined/resolv.conf"]);
      expect(stdout).toBe("nameserver 10.21.0.1\n");
      await modify("Remove", joined(1), 21);
      expect(await ipIn(pid, "addr")).toContain("10.21.0.2/24");
    });

    it("need no request for the container to join the namespace", async () => {
      plugs.offer(machine, joined(2), 22);
      const pid = await makePod("joined-bare", joined(2), { "io.microsoft.cri.skip-pod-networking": "true" });
      expect(await ipIn(pid, "addr")).toContain("10.22.0.2/24");
    });

    it("are used by a pod that requests the VM's network, too: it has no other NICs", async () => {
      plugs.offer(machine, joined(3), 23);
      await modify("Add", joined(3), 23, address("10.23.0.2"));
      const pid = await makePod("joined-host", joined(3), hostNetwork);
      expect(await ipIn(pid, "addr")).toContain("10.23.0.2/24");
      expect(await ip("addr")).not.toContain("10.23.0.2");
    });
  });

  it("are reported with the failed command if a container cannot be connected, and nothing is left of it", async () => {
    const namespace = newNamespace();
    plugs.plug(machine, 10);
    const routes = [1, 2].map(() => ({ DestinationPrefix: "10.9.0.0/16", NextHop: "10.10.0.1" }));
    await modify("Add", namespace, 10, { ...address("10.10.0.2"), Routes: routes });
    await expect(makePod("unconnected", namespace)).rejects.toThrow(
      /File exists \(route add 10\.9\.0\.0\/16 via 10\.10\.0\.1 dev eth0\)/,
    );
    await expect(machine.client.request("deleteContainerState", "unconnected", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });
    const { stdout } = await machine.inGuest(["ls", "/run/oci"]);
    // The NIC was removed with the network that it had been moved to.
    expect(stdout).not.toContain("unconnected");
  });
});
