import { describe, expect, it } from "vitest";
import { containerAnnotationKeys, readAnnotations } from "./annotations.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;

function readAll(annotations: { readonly [key: string]: string }) {
  const warnings: string[] = [];
  return { ...readAnnotations(annotations, (sentence) => warnings.push(sentence)), warnings };
}

const read = (key: string, value: string) => readAll({ [key]: value });

describe("disabling unsafe operations", () => {
  const all = "io.microsoft.disable-unsafe-operations";

  it.each([
    [{ [all]: "true" }, true],
    [{ [all]: "false" }, false],
    [{ [all]: "true", [`${vm}fileshares.disablewritable`]: "True" }, true],
    [{ [all]: "1", "io.microsoft.container.wcow.gmsa.disable": "t" }, true],
  ])("%j", (annotations, noWritableFileShares) => {
    expect(readAll(annotations).values).toMatchObject({
      noWritableFileShares,
      disableHostProcess: noWritableFileShares,
    });
  });

  it.each([
    `${vm}fileshares.disablewritable`,
    "io.microsoft.container.wcow.gmsa.disable",
    `${vm}wcow.virtualSMB.nodirectmap`,
    "microsoft.com/disable-hostprocess-container",
  ])("contradicts %s set to false", (key) => {
    expect(() => readAll({ [all]: "true", [key]: "false" })).toThrow(
      `${key}: got "false", expected true, as ${all} says`,
    );
  });

  it.each([all, "microsoft.com/disable-hostprocess-container"])("by %s contradicts a host process", (key) => {
    const annotations = { "microsoft.com/hostprocess-container": "true", [key]: "true" };
    expect(() => readAll(annotations)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });

  it("leaves host processes to Windows", () => {
    expect(() => read("microsoft.com/hostprocess-container", "true")).toThrow(
      expect.objectContaining({ code: "Unimplemented" }),
    );
    expect(read("microsoft.com/hostprocess-container", "false").warnings).toEqual([]);
  });
});

describe("unknown keys", () => {
  it.each([
    [`${topology}processor.cuont`, `${topology}processor.count`],
    [`${vm}storageqos.iops`, `${vm}storageqos.iopsmaximum`],
    ["io.microsoft.migration.support-enable", "io.microsoft.migration.support-enabled"],
    ["io.microsoft.container.processdumplocatoin", "io.microsoft.container.processdumplocation"],
    ["io.microsoft.lcow.shm.size", "io.microsoft.lcow.shm.size-kb"],
  ])("like %s are reported with the nearest known key", (key, near) => {
    expect(read(key, "1").warnings).toEqual([`unknown annotation ${key}: did you mean ${near}?`]);
  });

  it("of absurd length are not compared, and are shown cut short", () => {
    const key = `${vm}${"x".repeat(100_000)}`;
    expect(read(key, "1").warnings).toEqual([`unknown annotation ${key.slice(0, 200)}… (100028 characters)`]);
  });

  it("are named up to a limit, and counted beyond it", () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`${vm}key${index}`, "1"]));
    const { warnings } = readAll(many);
    expect(warnings).toHaveLength(33);
    expect(warnings.slice(31)).toEqual([
      expect.stringContaining(`unknown annotation ${vm}key31`),
      "9968 more unknown annotations",
    ]);
  });

  it("without effect on Linux guests are reported as such", () => {
    const key = `${vm}forwardlogs.enable`;
    expect(read(key, "1").warnings).toEqual([`annotation ${key} has no effect on Linux sandboxes`]);
  });

  it("for Windows guests are reported as such", () => {
    const keys = [`${vm}wcow.timezone.noinherit`, "io.microsoft.container.wcow.deviceextensions"];
    for (const key of [...keys, "io.microsoft.wcow.debug"]) {
      expect(read(key, "1").warnings).toEqual([`annotation ${key} concerns Windows guests and has no effect`]);
    }
  });

  it.each([
    ...containerAnnotationKeys,
    "io.kubernetes.cri.container-type",
    `${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`,
    "constructor",
    "__proto__",
  ])("do not include %s", (key) => {
    expect(readAll(Object.fromEntries([[key, "{}"]])).warnings).toEqual([]);
  });
});
