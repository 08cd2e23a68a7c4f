import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HcnEndpoint, type HcnNamespace, hresults, resourcePaths } from "@uvm-shim/hcs-schema";
import { createNetworkNamespace } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import { FakeKind, TestFiles } from "../testing/fake-guest.ts";
import { FakeSwitches } from "../testing/fake-switches.ts";
import { JoinedNamespace } from "./joined-namespace.ts";

const owner = { systemExited: (): void => {} };
const nicId = "00000001-0000-4000-8000-000000000000";

describeWith("root", "ip")("a network namespace of this machine", () => {
  let holder: ChildProcess;
  let path: string;

  /** A namespace as CNI plugins leave it: one interface per network, with addresses and routes, and others without. */
  beforeAll(() => {
    const namespace = createNetworkNamespace();
    namespace.run(() => {
      holder = spawn("sleep", ["1000"], { stdio: "ignore" });
      const commands = [
        "link set lo up",
        "link add eth0 type veth peer name far0 address 02:00:00:00:00:10",
        "link set eth0 address 02:00:00:00:00:01 mtu 1400 up",
        "link set far0 up",
        "addr add 198.18.0.2/24 dev eth0",
        "addr add fd00::2/64 dev eth0 nodad",
        "route add default via 198.18.0.1 dev eth0",
        "route add 198.18.9.7/32 via 198.18.0.1 dev eth0 metric 9",
        "route add ::/0 via fd00::1 dev eth0",
        "link add net1 type veth peer name far1",
        "link set net1 address 02:00:00:00:00:02 up",
        "addr add 198.18.1.2/24 dev net1",
      ];
      execFileSync("ip", ["-batch", "-"], { input: `${commands.join("\n")}\n` });
    });
    namespace.close();
    path = `/proc/${holder.pid}/ns/net`;
  });
  afterAll(() => {
    holder.kill("SIGKILL");
  });

  it("has endpoints for the interfaces that can become NICs, with their addresses and routes", async () => {
    const joined = await JoinedNamespace.open(path);
    try {
      expect(await joined.interfaces()).toMatchObject([
        {
          name: "eth0",
          settings: {
            MacAddress: "02-00-00-00-00-01",
            IpConfigurations: [
              { IpAddress: "198.18.0.2", PrefixLength: 24 },
              { IpAddress: "fd00::2", PrefixLength: 64 },
            ],
            Routes: [
              { DestinationPrefix: "0.0.0.0/0", NextHop: "198.18.0.1" },
              { DestinationPrefix: "198.18.9.7/32", NextHop: "198.18.0.1", Metric: 9 },
              { DestinationPrefix: "::/0", NextHop: "fd00::1", Metric: 1024 },
            ],
          },
        },
        { name: "net1", settings: { MacAddress: "02-00-00-00-00-02", Routes: [] } },
      ]);
    } finally {
      joined.close();
    }
  });

  describe("is recognized among other files:", () => {
    let directory: string;
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "joined-"));
    });
    afterEach(() => rmSync(directory, { recursive: true }));

    it.each<[string, (name: string) => string, keyof typeof hresults, string]>([
      ["a missing file", (name) => name, "ERROR_FILE_NOT_FOUND", "does not exist"],
      ["a path below a file", () => "/dev/null/x", "ERROR_FILE_NOT_FOUND", "does not exist"],
      ["a directory", () => "/proc", "E_INVALIDARG", "is not a namespace"],
      [
        "an ordinary file",
        (name) => {
          writeFileSync(name, "");
          return name;
        },
        "E_INVALIDARG",
        "is not a namespace",
      ],
      [
        "a FIFO, which is not waited for,",
        (name) => {
          execFileSync("mkfifo", [name]);
          return name;
        },
        "E_INVALIDARG",
        "is not a namespace",
      ],
      [
        "a namespace of another type",
        () => "/proc/self/ns/uts",
        "E_INVALIDARG",
        "of another type: expected a network namespace",
      ],
      [
        "the machine's own namespace",
        () => "/proc/self/ns/net",
        "E_INVALIDARG",
        "is the network namespace of this machine",
      ],
      ["a relative path", () => "run/netns/x", "E_INVALIDARG", "is relative"],
    ])("%s is refused", async (_, make, result, why) => {
      const name = make(join(directory, "it"));
      await expect(JoinedNamespace.open(name)).rejects.toMatchObject({
        hresult: hresults[result],
        message: expect.stringContaining(why),
      });
    });
  });

  describe("that a system joins", () => {
    let files: TestFiles;
    let host: EmulatedHost;
    const kind = new FakeKind();
    beforeEach(() => {
      files = new TestFiles();
      kind.machines.length = 0;
      host = new EmulatedHost({
        stateDirectory: join(files.directory, "state"),
        kinds: [kind],
        switches: new FakeSwitches(),
        report: (message) => expect.fail(message),
      });
    });
    afterEach(async () => {
      await host.close();
      files.remove();
    });

    const create = (id = "vm") => {
      const system = host.create(id, files.document());
      system.openHandle(owner);
      return system;
    };
    const endpointsOf = (id: string): readonly HcnEndpoint[] => {
      const { Resources = [] } = host.networks.query("namespace", id) as HcnNamespace;
      return Resources.map(({ Data }) => host.networks.query("endpoint", Data.Id) as HcnEndpoint);
    };

    it("is an HCN namespace until the system ends, and is offered to its guest", async () => {
      const id = await host.joinNetworkNamespace("vm", path);
      expect(await host.joinNetworkNamespace("vm", path)).toBe(id);
      expect(endpointsOf(id)).toMatchObject([
        { Name: "net_eth0", HostComputeNamespace: id, IpConfigurations: [{ IpAddress: "198.18.0.2" }, {}] },
        { Name: "net_net1", HostComputeNamespace: id },
      ]);
      const system = create();
      await system.start();
      expect(kind.machines[0]?.calls).toEqual(["boot", `offer network ${id}`]);
      const [first] = endpointsOf(id);
      const Settings = { EndpointId: first?.ID, MacAddress: first?.MacAddress };
      await system.modify({ ResourcePath: resourcePaths.networkAdapter(nicId), RequestType: "Add", Settings });
      expect(kind.machines[0]?.calls).toContain(`add NIC ${nicId}`);
      await system.terminate();
      expect(() => host.networks.query("namespace", id)).toThrow(/namespace .* does not exist/);
      expect(host.networks.isEmpty).toBe(true);
    });

    it("can be joined by several systems, each with its own endpoints", async () => {
      const ids = [await host.joinNetworkNamespace("one", path), await host.joinNetworkNamespace("two", path)];
      expect(new Set(ids).size).toBe(2);
      const endpoints = ids.flatMap((id) => endpointsOf(id).map(({ ID }) => ID));
      expect(new Set(endpoints).size).toBe(4);
    });

    it("is removed with its client unless the system was created", async () => {
      const [orphan, kept] = [
        await host.joinNetworkNamespace("orphan", path),
        await host.joinNetworkNamespace("vm", path),
      ];
      create();
      for (const id of ["orphan", "vm"]) host.abandonNetworks(id);
      expect(() => endpointsOf(orphan)).toThrow(/namespace .* does not exist/);
      expect(endpointsOf(kept)).toHaveLength(2);
    });

    it("can be joined by a system that runs, whose guest is offered it at once", async () => {
      const system = create();
      await system.start();
      const id = await host.joinNetworkNamespace("vm", path);
      expect(kind.machines[0]?.calls).toEqual(["boot", `offer network ${id}`]);
      expect(endpointsOf(id)).toHaveLength(2);
      await system.terminate();
      expect(host.networks.isEmpty).toBe(true);
    });

    it("cannot be joined by a system that has ended", async () => {
      const system = create();
      await system.start();
      await system.terminate();
      await expect(host.joinNetworkNamespace("vm", path)).rejects.toMatchObject({
        hresult: hresults.HCS_E_INVALID_STATE,
      });
      expect(host.networks.isEmpty).toBe(true);
    });

    it("leaves nothing in HCN if some of its objects cannot be made", async () => {
      const plug = () => expect.fail("nothing is plugged");
      const unusedSwitch = { plug, plugTap: plug };
      const settings = { IpConfigurations: [{ IpAddress: "198.18.0.2", PrefixLength: 24 }] };
      const bad = { IpConfigurations: [{ IpAddress: "nowhere", PrefixLength: 24 }] };
      const interfaces = [settings, bad].map((one, index) => ({
        name: `eth${index}`,
        settings: one,
        leadsTo: unusedSwitch,
      }));
      await expect(host.networks.adopt("broken", interfaces)).rejects.toThrow("nowhere");
      expect(host.networks.isEmpty).toBe(true);
    });
  });
});
