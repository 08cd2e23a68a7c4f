import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createNetworkNamespace, type NetworkNamespace } from "@uvm-shim/linux-calls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeWith } from "../../../../tools/machine-needs.ts";
import { type Fixtures, makeFixtures } from "../testing/fixtures.ts";
import { Machine } from "../testing/machine.ts";

const idOf = (number: number): string => `${String(number).padStart(8, "0")}-0000-4000-8000-000000000000`;

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
  "ip",
)("the guest's network", () => {
  let fixtures: Fixtures;
  let machine: Machine;
  let outside: NetworkNamespace;

  beforeAll(async () => {
    fixtures = await makeFixtures("crun");
    machine = await Machine.boot(fixtures);
    outside = createNetworkNamespace();
  });

  afterAll(async () => {
    outside?.close();
    await machine?.powerOff();
    await machine?.removeCgroups();
    rmSync(fixtures.folder, { recursive: true });
  });

  /** As the emulated host plugs a NIC. */
  function plug(number: number): void {
    const name = `nic${idOf(number).replaceAll("-", "").slice(0, 12)}`;
    const link = ["link", "add", `port${number}`, "type", "veth", "peer", "name", `end${number}`];
    const move = ["link", "set", `end${number}`, "netns", String(machine.init), "name", name];
    outside.run(() => {
      for (const command of [link, move, ["link", "set", `port${number}`, "up"]]) execFileSync("ip", command);
    });
  }

  const unplug = (number: number): unknown => outside.run(() => execFileSync("ip", ["link", "del", `port${number}`]));
  const modify = (type: "Add" | "Remove", number: number, more: object = {}): Promise<void> =>
    machine.modify(type, "Network", { NamespaceID: idOf(9), ID: idOf(number), ...more });
  const address = (text: string, length = 24) => ({ IPConfigs: [{ IPAddress: text, PrefixLength: length }] });
  async function ip(...words: readonly string[]): Promise<string> {
    return (await machine.inGuest(["ip", ...words])).stdout;
  }

  it("has its NICs as eth0, eth1 and so on, in the order in which they are added", async () => {
    plug(1);
    plug(2);
    await modify("Add", 2, {
      ...address("10.2.0.2"),
      MacAddress: "00-15-5D-00-00-02",
      EncapOverhead: 50,
      DNSSuffix: "two.test",
      DNSServerList: "10.2.0.1",
      Routes: [{ DestinationPrefix: "0.0.0.0/0", NextHop: "10.2.0.1" }],
    });
    await modify("Add", 1, {
      ...address("fd01::2", 64),
      PolicyBasedRouting: true,
      DNSSuffix: "one.test",
      Routes: [{ DestinationPrefix: "::/0", NextHop: "fd01::1" }],
    });
    const eth0 = await ip("addr", "show", "dev", "eth0");
    expect(eth0).toMatch(/mtu 1450 .*state UP[\s\S]*00:15:5d:00:00:02[\s\S]*inet 10\.2\.0\.2\/24/);
    expect(await ip("addr", "show", "dev", "eth1")).toMatch(/inet6 fd01::2\/64/);
    expect(await ip("route")).toMatch(/^default via 10\.2\.0\.1 dev eth0/);
    expect(await ip("-6", "rule")).toMatch(/5:\s+from fd01::2 lookup 101/);
    expect(await ip("-6", "route", "show", "table", "101")).toMatch(/default via fd01::1 dev eth1 metric 500/);
    const { stdout } = await machine.run("resolver", ["/bin/cat", "/etc/resolv.conf", "/etc/hostname"]);
    expect(stdout).toBe("search two.test one.test\nnameserver 10.2.0.1\nbox\n");
  });

  it("takes a NIC back, and gives its name to the next", async () => {
    await modify("Remove", 2);
    await modify("Remove", 2);
    await modify("Remove", 1);
    expect(await ip("-6", "rule")).not.toContain("101");
    expect(await ip("link")).not.toMatch(/eth\d|mtu 1450/);
    const { stdout } = await machine.inGuest(["cat", "/etc/resolv.conf"]);
    expect(stdout).toBe("");
    await modify("Add", 1, address("10.1.0.2"));
    expect(await ip("addr", "show", "dev", "eth0")).toContain("10.1.0.2/24");
    unplug(1);
    await modify("Remove", 1);
    unplug(2);
    expect(await ip("link")).not.toMatch(/eth\d|nic/);
  });

  it("takes back what it could not set up, and says which command failed", async () => {
    plug(3);
    const routes = [1, 2].map(() => ({ DestinationPrefix: "10.9.0.0/16", NextHop: "10.3.0.1" }));
    await expect(modify("Add", 3, { ...address("10.3.0.2"), Routes: routes })).rejects.toThrow(
      /File exists \(route add 10\.9\.0\.0\/16 via 10\.3\.0\.1 dev eth0\)/,
    );
    expect(await ip("addr")).not.toMatch(/eth0|10\.3\.0\.2/);
    await modify("Add", 3, { ...address("10.3.0.2"), Routes: routes.slice(1) });
    await expect(modify("Add", 3, address("10.3.0.3"))).rejects.toMatchObject({ code: "AlreadyExists" });
    await modify("Remove", 3);
    await expect(modify("Add", 3, { ...address("10.3.0.2"), EncapOverhead: 400 })).rejects.toThrow(
      "EncapOverhead is 400, accepted are 0 to 220",
    );
    unplug(3);
  });
});
