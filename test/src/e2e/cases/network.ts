/** Pods on the emulated host's networks, seen from inside their containers. */
import assert from "node:assert/strict";
import { describe } from "@uvm-shim/test-support/command";
import { withNetworks } from "../networks.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, withDetached } from "./ctr.ts";
import { startSandbox } from "./sandbox.ts";

/** Has a container running in a sandbox that is in the namespace, for the time of some work. */
async function withPod(
  context: CaseContext,
  namespace: string,
  work: (container: string) => Promise<void>,
): Promise<void> {
  const sandbox = context.newId("pod");
  const windows = { network: { networkNamespace: namespace } };
  await startSandbox(context, sandbox, { ociVersion: "1.1.0", annotations: {}, linux: {}, windows });
  try {
    await withDetached(context, { flags: ["--sandbox", sandbox] }, work);
  } finally {
    await context.containerd.mustCtr(["sandboxes", "remove", "--force", sandbox]);
  }
}

async function output(context: CaseContext, id: string, ...command: readonly string[]): Promise<string> {
  const result = await exec(context, id, command);
  assertStatus(result, 0);
  return result.stdout.toString();
}

async function twoEndpoints(context: CaseContext): Promise<void> {
  await withNetworks(async (plan) => {
    const front = await plan.network("front", "10.11.0.0/24", "fd11::/64");
    const back = await plan.network("back", "10.12.0.0/24");
    const namespace = await plan.namespace();
    await plan.endpoint(namespace, back, {
      Name: "pod_eth1",
      MacAddress: "00-15-5D-12-00-05",
      IpConfigurations: [{ IpAddress: "10.12.0.5", PrefixLength: 24 }],
      Routes: [{ NextHop: "10.12.0.1", DestinationPrefix: "10.99.0.0/16" }],
      Dns: { Search: ["back.test"], ServerList: ["10.12.0.1"] },
      Policies: [{ Type: "EncapOverhead", Settings: { Overhead: 50 } }],
    });
    await plan.endpoint(namespace, front, {
      Name: "pod_eth0",
      MacAddress: "00-15-5D-11-00-05",
      IpConfigurations: [
        { IpAddress: "10.11.0.5", PrefixLength: 24 },
        { IpAddress: "fd11::5", PrefixLength: 64 },
      ],
      Routes: [
        { NextHop: "10.11.0.1", DestinationPrefix: "0.0.0.0/0" },
        { NextHop: "fd11::1", DestinationPrefix: "::/0" },
      ],
      Dns: { Domain: "front.test", ServerList: ["10.11.0.1", "fd11::1"] },
    });
    await withPod(context, namespace, async (id) => {
      const [eth0, eth1] = await Promise.all(
        ["eth0", "eth1"].map((name) => output(context, id, "ip", "addr", "show", "dev", name)),
      );
      assert.ok(eth0 !== undefined && eth1 !== undefined);
      assert.match(eth0, /00:15:5d:11:00:05[\s\S]*inet 10\.11\.0\.5\/24[\s\S]*inet6 fd11::5\/64/);
      assert.match(eth1, /mtu 1450[\s\S]*00:15:5d:12:00:05[\s\S]*inet 10\.12\.0\.5\/24/);
      const routes = (await output(context, id, "ip", "route", "show")).split("\n").map((line) => line.trim());
      for (const expected of [
        /^default via 10\.11\.0\.1 dev eth0/,
        /^10\.11\.0\.0\/24 dev eth0/,
        /^10\.12\.0\.0\/24 dev eth1/,
        /^10\.99\.0\.0\/16 via 10\.12\.0\.1 dev eth1/,
      ]) {
        assert.ok(
          routes.some((line) => expected.test(line)),
          `no ${expected} in: ${routes.join("; ")}`,
        );
      }
      assert.match(await output(context, id, "ip", "-6", "route", "show"), /default via fd11::1 dev eth0/);
      const resolver = "search front.test back.test\nnameserver 10.11.0.1\nnameserver fd11::1\nnameserver 10.12.0.1\n";
      assert.equal(await output(context, id, "cat", "/etc/resolv.conf"), resolver);
      const hostname = (await output(context, id, "hostname")).trim();
      assert.equal(await output(context, id, "cat", "/etc/hostname"), `${hostname}\n`);
      assert.match(await output(context, id, "cat", "/etc/hosts"), new RegExp(`^127\\.0\\.0\\.1 ${hostname}$`, "m"));
    });
  });
}

async function reachability(context: CaseContext): Promise<void> {
  await withNetworks(async (plan) => {
    const shared = await plan.network("shared", "10.21.0.0/24", "fd21::/64");
    const other = await plan.network("other", "10.21.0.0/24", "fd21::/64");
    const namespaces: string[] = [];
    for (const [index, network] of [shared, shared, other].entries()) {
      const namespace = await plan.namespace();
      namespaces.push(namespace);
      await plan.endpoint(namespace, network, {
        Name: "eth0",
        IpConfigurations: [
          { IpAddress: `10.21.0.${index + 2}`, PrefixLength: 24 },
          { IpAddress: `fd21::${index + 2}`, PrefixLength: 64 },
        ],
      });
    }
    const [first = "", second = "", third = ""] = namespaces;
    const ping = (id: string, address: string) => exec(context, id, ["ping", "-c", "1", "-W", "2", address]);
    await withPod(context, first, (one) =>
      withPod(context, second, (two) =>
        withPod(context, third, async (three) => {
          for (const address of ["10.21.0.3", "fd21::3"]) assertStatus(await ping(one, address), 0);
          for (const address of ["10.21.0.2", "fd21::2"]) assertStatus(await ping(two, address), 0);
          const outcomes = await Promise.all([
            ping(one, "10.21.0.4"),
            ping(three, "10.21.0.2"),
            ping(three, "fd21::3"),
          ]);
          for (const outcome of outcomes) assert.notEqual(outcome.status, 0, describe(outcome));
        }),
      ),
    );
  });
}

// The runc shim does not have the Sandbox service.
const inSandboxes = ({ containerd, runtime }: CaseContext): boolean =>
  containerd.build.major >= 2 && runtime.key === "lcow";

export const networkCases: readonly Case[] = [
  {
    name: "a pod with two endpoints has eth0 and eth1 with their addresses and routes",
    applies: inSandboxes,
    run: twoEndpoints,
  },
  { name: "pods on one network reach each other, on another they do not", applies: inSandboxes, run: reachability },
];
