import { Fields } from "@uvm-shim/gcs-bridge";
import { moveCommands, setUpCommands } from "@uvm-shim/guest-agent-common";
import type { LinuxNetworkAdapter } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { readNetworkAdapter } from "./request.ts";

const id = "12345678-1234-1234-1234-123456789abc";
const base = { NamespaceID: id, ID: id };
const first = { number: 0, hostName: "nic123456781234", mtu: 1500 };
const second = { ...first, number: 1 };

function commands(adapter: Partial<LinuxNetworkAdapter>, at = first): readonly string[] {
  return setUpCommands({ ...base, ...adapter }, at).common;
}

describe("the commands for a NIC", () => {
  it("name it, set it up and give it addresses and routes", () => {
    const adapter = {
      ...base,
      MacAddress: "00-15-5d-00-00-01",
      EncapOverhead: 50,
      IPConfigs: [
        { IPAddress: "10.0.0.2", PrefixLength: 24 },
        { IPAddress: "fd00::2", PrefixLength: 64 },
      ],
      Routes: [
        { DestinationPrefix: "0.0.0.0/0", NextHop: "10.0.0.1" },
        { DestinationPrefix: "::/0", NextHop: "fe80::1" },
        { DestinationPrefix: "10.9.0.0/16", NextHop: "", Metric: 7 },
      ],
    };
    expect(setUpCommands(adapter, first)).toEqual({
      common: [
        "link set dev nic123456781234 down",
        "link set dev nic123456781234 name eth0",
        "link set dev eth0 address 00:15:5d:00:00:01",
        "link set dev eth0 mtu 1450",
        "link set dev eth0 up",
        "addr add 10.0.0.2/24 dev eth0",
        "addr add fd00::2/64 dev eth0 nodad",
        "route add default via 10.0.0.1 dev eth0",
        "route add default via fe80::1 dev eth0",
        "route add 10.9.0.0/16 dev eth0 metric 7",
      ],
      ipv6Rules: [],
    });
  });

  const addressed = { IPConfigs: [{ IPAddress: "10.0.0.2", PrefixLength: 24 }] };

  it("omit a default route without a gateway", () => {
    const gateway = (NextHop?: string) =>
      commands({ Routes: [{ DestinationPrefix: "0.0.0.0/0", ...(NextHop === undefined ? {} : { NextHop }) }] });
    expect(gateway("0.0.0.0").join()).not.toContain("route");
    for (const none of ["", undefined]) {
      expect(() => gateway(none)).toThrow("invalid route to 0.0.0.0/0: expected a gateway or a destination");
    }
  });

  it("reach a gateway outside the NIC's subnets", () => {
    expect(commands({ ...addressed, Routes: [{ DestinationPrefix: "0.0.0.0/0", NextHop: "10.0.1.1" }] })).toContain(
      "route add default via 10.0.1.1 dev eth0 onlink",
    );
  });

  it("order the default routes of several NICs", () => {
    const routes = [
      { DestinationPrefix: "0.0.0.0/0", NextHop: "10.0.0.1" },
      { DestinationPrefix: "::/0", NextHop: "fe80::1" },
    ];
    expect(commands({ ...addressed, Routes: routes }, second).slice(-2)).toEqual([
      "route add default via 10.0.0.1 dev eth1 metric 1",
      "route add default via fe80::1 dev eth1 metric 1025",
    ]);
  });

  it("route by policy, from the second NIC on", () => {
    const adapter = {
      ...base,
      PolicyBasedRouting: true,
      IPConfigs: [...addressed.IPConfigs, { IPAddress: "fd00::2", PrefixLength: 64 }],
      Routes: [{ DestinationPrefix: "0.0.0.0/0", NextHop: "10.0.0.1" }],
    };
    expect(setUpCommands(adapter, first).common.join()).not.toContain("table");
    const { common, ipv6Rules } = setUpCommands(adapter, second);
    expect(common.slice(-2)).toEqual([
      "route add default via 10.0.0.1 dev eth1 metric 500 table 101",
      "rule add from 10.0.0.2/32 table 101 priority 5",
    ]);
    expect(ipv6Rules).toEqual(["rule add from fd00::2/128 table 101 priority 5"]);
  });

  it("move it to the network of a process", () => {
    expect(moveCommands("nic123456781234", 77)).toEqual({
      common: ["link set dev nic123456781234 down", "link set dev nic123456781234 netns 77"],
      ipv6Rules: [],
    });
  });
});

describe("the request for a NIC", () => {
  const read = (more: object) => readNetworkAdapter(new Fields({ ...base, ...more }, "Settings"));

  it("may omit empty fields, as the host's encoder does", () => {
    expect(read({ Routes: [{ DestinationPrefix: "0.0.0.0/0" }] })).toEqual({
      ...base,
      DNSSuffix: "",
      DNSServerList: "",
      EncapOverhead: 0,
      IPConfigs: [],
      Routes: [{ DestinationPrefix: "0.0.0.0/0", NextHop: "", Metric: 0 }],
      PolicyBasedRouting: false,
    });
  });

  it("may name its namespace, in any case", () => {
    expect(read({ NamespaceID: "Pod-A" }).NamespaceID).toBe("pod-a");
    expect(read({ NamespaceID: undefined }).NamespaceID).toBe("");
  });

  it.each([
    ["ID", { ID: "nic" }, "a GUID, got"],
    ["MacAddress", { MacAddress: "ff-ff-ff-ff-ff-ff" }, "a MAC address"],
    ["VPCIAssigned", { VPCIAssigned: true }, "false: this guest has no assigned devices"],
    ["DNSSuffix", { DNSSuffix: "a.test\nnameserver 6.6.6.6" }, "domains separated by commas"],
    ["DNSServerList", { DNSServerList: "10.0.0.1;reboot" }, "addresses separated by commas"],
    ["EncapOverhead", { EncapOverhead: -1 }, "an integer"],
    ["IPConfigs", { IPConfigs: Array(257).fill({ IPAddress: "10.0.0.2", PrefixLength: 24 }) }, "a list of at most 256"],
  ])("is refused for an invalid %s", (field, more, accepted) => {
    expect(() => read(more)).toThrow(`Settings.${field} must be ${accepted}`);
  });

  it.each([
    ["IPConfigs[0].IPAddress", { IPConfigs: [{ IPAddress: "10.0.0.2 dev lo" }] }, "an IPv4 or IPv6 address"],
    ["IPConfigs[0].PrefixLength", { IPConfigs: [{ IPAddress: "10.0.0.2", PrefixLength: 33 }] }, "an integer"],
    ["Routes[0].DestinationPrefix", { Routes: [{ DestinationPrefix: "default" }] }, "a prefix such as 10.0.0.0/24"],
    [
      "Routes[0].NextHop",
      { Routes: [{ DestinationPrefix: "10.0.0.0/8", NextHop: "fd00::1" }] },
      "an address of the destination's kind",
    ],
    ["Routes[0].Metric", { Routes: [{ DestinationPrefix: "10.0.0.0/8", Metric: 65536 }] }, "an integer"],
  ])("is accepted with an invalid %s, which fails the set-up later", (field, more, accepted) => {
    expect(read(more).problem).toContain(`Settings.${field} must be ${accepted}`);
  });
});
