import { buildLinuxSandbox, type RuntimeOptions } from "@uvm-shim/sandbox-lcow";
import { describe, expect, it } from "vitest";
import { applyLogLevel } from "./log-level.ts";
import { refuseUnusedSettings } from "./unused-settings.ts";

const vm = "io.microsoft.virtualmachine.";

function settings(annotations: { readonly [key: string]: string }, options: RuntimeOptions = {}) {
  const host = {
    processors: 2,
    pathGrammar: "posix",
    hasFile: (path: string) => !path.endsWith("rootfs.vhd"),
    hasFolder: () => true,
    executableFolder: "/opt",
    newId: () => "",
    sha256: (data: Uint8Array) => data,
  } as const;
  return buildLinuxSandbox({ owner: "test", bundle: "/b", annotations, options, host }).settings;
}

describe("settings that no controller uses", () => {
  it.each([
    [{ [`${vm}lcow.securitypolicy`]: "e30=", [`${vm}no_security_hardware`]: "true" }, {}, `${vm}lcow.securitypolicy`],
    [{}, { GPUVHDPath: "/gpu.vhd" }, "GPUVHDPath"],
    [{}, { scaleCpuLimitsToSandbox: true }, "scale_cpu_limits_to_sandbox"],
  ])("%j with options %j are refused by name", (annotations, options, key) => {
    const refusing = () => refuseUnusedSettings(settings(annotations, options));
    expect(refusing).toThrow(expect.objectContaining({ code: "Unimplemented" }));
    expect(refusing).toThrow(`${key}: this shim cannot do that yet`);
  });

  it("are none by default", () => {
    const defaults = {
      shareScratch: true,
      ioRetryTimeoutInSec: 1,
      defaultContainerScratchSizeInGb: 30,
      GPUVHDPath: "",
    };
    expect(() =>
      refuseUnusedSettings(settings({ [`${vm}storage.scratch.encrypted`]: "true" }, defaults)),
    ).not.toThrow();
  });
});

describe("the log's level", () => {
  it.each([
    [undefined, []],
    ["trace", ["trace"]],
    ["warning", ["warn"]],
    ["panic", ["error"]],
  ])("for %s is set to %j", (name, expected) => {
    const levels: string[] = [];
    applyLogLevel(name, { setLogLevel: (level) => levels.push(level) });
    expect(levels).toEqual(expected);
    expect(() => applyLogLevel(name, {})).not.toThrow();
  });
});
