import { describe, expect, it } from "vitest";
import { runtime } from "../generated/messages.js";
import { readPodConfiguration } from "./pod-configuration.ts";

const encoded = (configuration: runtime.v1.PodSandboxConfig.Input): Uint8Array =>
  runtime.v1.PodSandboxConfig.encode(configuration).finish();

const { POD, CONTAINER, NODE } = runtime.v1.NamespaceMode;
const unprivileged = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};
const namespacesOf = (...types: readonly string[]) => types.map((type) => ({ type }));

describe("the CRI pod configuration", () => {
  it("yields annotations, name, resolv.conf and settings", () => {
    const bytes = encoded({
      annotations: { a: "1" },
      hostname: "web-0",
      dnsConfig: { servers: ["10.0.0.10", "fd00::a"], searches: ["a.svc", "svc"], options: ["ndots:5"] },
      linux: { sysctls: { "net.x": "1" } },
    });
    expect(readPodConfiguration(bytes)).toEqual({
      annotations: { a: "1" },
      pod: {
        resolvConf: "search a.svc svc\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5\n",
        specification: {
          hostname: "web-0",
          linux: {
            sysctl: { ...unprivileged, "net.x": "1" },
            namespaces: namespacesOf("mount", "network", "uts", "ipc", "pid"),
          },
        },
      },
    });
  });

  it("yields the parent cgroup of the pod", () => {
    const { pod } = readPodConfiguration(encoded({ linux: { cgroupParent: "/kubepods/pod1" } }));
    expect(pod.controlGroupParent).toBe("/kubepods/pod1");
  });

  it("may be empty", () => {
    const linux = { sysctl: unprivileged, namespaces: namespacesOf("mount", "network", "uts", "ipc", "pid") };
    expect(readPodConfiguration(encoded({ dnsConfig: {} }))).toEqual({
      annotations: {},
      pod: { specification: { linux } },
    });
  });

  it.each([
    [{ network: NODE }, ["mount", "ipc", "pid"]],
    [{ pid: NODE }, ["mount", "network", "uts", "ipc"]],
    [{ pid: CONTAINER }, ["mount", "network", "uts", "ipc", "pid"]],
    [{ network: NODE, pid: NODE }, ["mount", "ipc"]],
    [{ usernsOptions: { mode: NODE } }, ["mount", "network", "uts", "ipc", "pid"]],
  ])("%j leaves the pod %j of its own", (namespaceOptions, types) => {
    const { pod } = readPodConfiguration(encoded({ linux: { securityContext: { namespaceOptions } } }));
    const sysctl = types.includes("network") ? unprivileged : {};
    expect(pod.specification).toEqual({ linux: { sysctl, namespaces: namespacesOf(...types) } });
  });

  it("gives the pod's own settings precedence over its network's defaults", () => {
    const sysctls = { "net.ipv4.ip_unprivileged_port_start": "1024" };
    const { pod } = readPodConfiguration(encoded({ linux: { sysctls } }));
    expect(pod.specification).toMatchObject({ linux: { sysctl: { ...unprivileged, ...sysctls } } });
  });

  it("yields the resources of its containers", () => {
    const resources = { memoryLimitInBytes: 2 ** 31, cpuQuota: -1, cpuPeriod: 100_000, cpuShares: 512 };
    const { pod } = readPodConfiguration(encoded({ linux: { resources } }));
    expect(pod.specification).toMatchObject({
      linux: { resources: { memory: { limit: 2 ** 31 }, cpu: { quota: -1, period: 100_000, shares: 512 } } },
    });
  });

  it("yields the user", () => {
    const securityContext = { runAsUser: { value: 7 }, runAsGroup: { value: 8 }, supplementalGroups: [9] };
    const { pod } = readPodConfiguration(encoded({ linux: { securityContext } }));
    expect(pod.specification).toMatchObject({ process: { user: { uid: 7, gid: 8, additionalGids: [9] } } });
  });

  it.each([
    [{ ipc: NODE }, "namespace_options.ipc is NODE, expected POD or CONTAINER: "],
    [{ usernsOptions: { mode: POD } }, "namespace_options.userns_options.mode is POD, expected NODE: "],
  ])("is refused with a reason where no VM can do it: %j", (namespaceOptions, message) => {
    expect(() => readPodConfiguration(encoded({ linux: { securityContext: { namespaceOptions } } }))).toThrow(message);
  });

  it.each([
    ["servers", { servers: ["10.0.0.1\nnameserver 6.6.6.6"] }],
    ["searches", { searches: [""] }],
    ["options", { options: Array.from({ length: 65 }, () => "x") }],
  ] as const)("must not write lines of its own by dns_config.%s", (field, dnsConfig) => {
    expect(() => readPodConfiguration(encoded({ dnsConfig }))).toThrow(`create sandbox: dns_config.${field}: `);
  });

  it("is rejected when it is malformed", () => {
    expect(() => readPodConfiguration(Uint8Array.of(0xff))).toThrow("options are not a PodSandboxConfig");
  });
});
