import { describe, expect, it } from "vitest";
import { runtime } from "./generated/messages.js";
import { readPodConfiguration } from "./pod-configuration.ts";

const encoded = (configuration: runtime.v1.PodSandboxConfig.Input): Uint8Array =>
  runtime.v1.PodSandboxConfig.encode(configuration).finish();

describe("the CRI pod configuration", () => {
  it("gives annotations, name, resolv.conf and settings", () => {
    const bytes = encoded({
      annotations: { a: "1" },
      hostname: "web-0",
      dnsConfig: { servers: ["10.0.0.10", "fd00::a"], searches: ["a.svc", "svc"], options: ["ndots:5"] },
      linux: { sysctls: { "net.x": "1" } },
    });
    expect(readPodConfiguration(bytes)).toEqual({
      annotations: { a: "1" },
      pod: {
        hostname: "web-0",
        resolvConf: "search a.svc svc\nnameserver 10.0.0.10\nnameserver fd00::a\noptions ndots:5\n",
        sysctls: { "net.x": "1" },
      },
    });
  });

  it("may say nothing", () => {
    expect(readPodConfiguration(encoded({ dnsConfig: {} }))).toEqual({ annotations: {}, pod: { sysctls: {} } });
  });

  it.each([
    ["servers", { servers: ["10.0.0.1\nnameserver 6.6.6.6"] }],
    ["searches", { searches: [""] }],
    ["options", { options: Array.from({ length: 65 }, () => "x") }],
  ] as const)("must not write lines of its own by dns_config.%s", (field, dnsConfig) => {
    expect(() => readPodConfiguration(encoded({ dnsConfig }))).toThrow(`create sandbox: dns_config.${field}: `);
  });

  it("is refused when it is none", () => {
    expect(() => readPodConfiguration(Uint8Array.of(0xff))).toThrow("options are no PodSandboxConfig");
  });
});
