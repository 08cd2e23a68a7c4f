import { describe, expect, it } from "vitest";
import { keyOf, readAnnotations } from "./annotations.ts";
import { SandboxError } from "./error.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

const read = (key: string, value: string) => readAnnotations({ [key]: value });

/** Key, name, texts that are taken and what they mean, texts that are refused. */
const wholeNumbers = (most: number) =>
  [
    { "0": 0, "1": 1, "007": 7, [String(most)]: most },
    ["", "-1", "+1", "1.5", "1e3", "0x10", " 1", "many", String(most + 1), "18446744073709551615"],
  ] as const;
const words = [
  Object.fromEntries([...trueWords.map((word) => [word, true]), ...falseWords.map((word) => [word, false])]),
  ["", "yes", "no", "tRUE", "on", "2", " true"],
] as const;
const anyText = [{ "": "", "a b": "a b" }, ["a\nb", "a\0", "\u007f"]] as const;

describe.each([
  ["bootFilesRootPath", ...anyText],
  ["kernelDirectBoot", ...words],
  ["preferredRootFs", { initrd: "initrd", vhd: "vhd" }, ["", "VHD", "ext4"]],
  ["kernelBootOptions", ...anyText],
  ["vpciEnabled", ...words],
  ["disableTimeSync", ...words],
  ["writableOverlays", ...words],
  ["extraExecArguments", ...anyText],
  ["processDumpLocation", ...anyText],
  ["noWritableFileShares", ...words],
  ["processorCount", ...wholeNumbers(2 ** 31 - 1)],
  ["processorLimit", ...wholeNumbers(100_000)],
  ["processorWeight", ...wholeNumbers(10_000)],
  ["memorySize", ...wholeNumbers(2 ** 40)],
  ["allowOvercommit", ...words],
  ["deferredCommit", ...words],
  ["coldDiscardHint", ...words],
  ["fullyPhysicallyBacked", ...words],
  ["lowMmioGap", ...wholeNumbers(2 ** 40)],
  ["highMmioBase", ...wholeNumbers(2 ** 40)],
  ["highMmioGap", ...wholeNumbers(2 ** 40)],
  ["storageBandwidth", ...wholeNumbers(2 ** 31 - 1)],
  ["storageIops", ...wholeNumbers(2 ** 31 - 1)],
  ["vpmemCount", ...wholeNumbers(2 ** 32 - 1)],
  ["disableHostProcess", ...words],
] as const)("%s", (name, taken, refused) => {
  it.each(Object.entries(taken))("takes %j", (text, value) => {
    expect(readAnnotations({ [keyOf(name)]: text })).toEqual({
      values: { [name]: value },
      serviceTable: {},
      warnings: [],
    });
  });

  it.each(refused)("refuses %j, naming key, value and what is accepted", (text) => {
    const refusal = expect.objectContaining({ code: "InvalidArgument", key: keyOf(name) });
    expect(() => read(keyOf(name), text)).toThrow(refusal);
    expect(() => read(keyOf(name), text)).toThrow(`${keyOf(name)}: got ${JSON.stringify(text)}, expected `);
  });
});

/** Key, its default, values that are known but not built yet, and values that nobody could take. */
describe.each([
  [`${vm}console.pipe`, [""], ["\\\\.\\pipe\\console"], ["/dev/ttyS0"]],
  [`${vm}lcow.dmverity-mode`, falseWords, trueWords, ["maybe"]],
  [`${vm}lcow.dmverity-create-args`, [""], ["x"], []],
  [`${vm}lcow.dmverity-rootfs-vhd`, ["rootfs.vhd"], ["other.vhd", ""], []],
  [`${vm}lcow.gueststatefile`, ["kernel.vmgs"], ["other.vmgs"], []],
  [`${vm}lcow.hcl-enabled`, ["false"], ["true"], ["maybe"]],
  [`${vm}lcow.extra-vsock-ports`, [""], ["1", "1,2"], ["x", "1,", "4294967296"]],
  [`${vm}lcow.securitypolicy`, [""], ["cG9saWN5"], []],
  [`${vm}lcow.enforcer`, ["rego"], ["standard"], []],
  [`${vm}lcow.uvm-reference-info-file`, ["reference_info.cose"], ["other.cose"], []],
  [`${vm}uvm-hash-envelope-reference-info-file`, ["reference_info_hash_envelope.cose"], ["other.cose"], []],
  [`${vm}no_security_hardware`, ["false"], ["true"], ["maybe"]],
  [`${vm}storage.scratch.encrypted`, ["false"], ["true"], ["maybe"]],
  ["io.microsoft.migration.support-enabled", ["false"], ["true"], ["maybe"]],
  [`${vm}cpugroup.id`, [""], ["group"], []],
  [`${vm}resource-partition-id`, [""], ["11111111-2222-3333-4444-555555555555"], ["{x}"]],
  [`${topology}processor.numa.max-processors-per-node`, ["0"], ["1", "4294967295"], ["-1", "4294967296"]],
  [`${topology}processor.numa.max-size-per-node`, ["0"], ["1"], ["-1", "x"]],
  [`${topology}numa.preferred-physical-nodes`, [""], ["0", "0,1"], ["0;1"]],
  [`${topology}numa.mapped-physical-nodes`, [""], ["0"], ["-1"]],
  [`${topology}numa.count-of-processors`, [""], ["2,2"], ["2,x"]],
  [`${topology}numa.count-of-memory-blocks`, [""], ["512,512"], ["512,x"]],
  ["io.microsoft.network.ncproxy", [""], ["x"], []],
  [`${vm}lcow.vpmem.nomultimapping`, [""], ["false"], []],
  [`${vm}kerneldrivers`, [""], ["x"], []],
] as const)("%s, which has no effect yet,", (key, accepted, unimplemented, invalid) => {
  it("passes with its default", () => {
    for (const text of accepted) expect(read(key, text)).toEqual({ values: {}, serviceTable: {}, warnings: [] });
  });

  it("is refused with another value rather than ignored", () => {
    for (const text of unimplemented) {
      expect(() => read(key, text)).toThrow(expect.objectContaining({ code: "Unimplemented", key }));
      expect(() => read(key, text)).toThrow(JSON.stringify(text));
    }
  });

  it("is refused as invalid where no value could be meant", () => {
    for (const text of invalid) {
      expect(() => read(key, text)).toThrow(expect.objectContaining({ code: "InvalidArgument", key }));
    }
    expect(() => read(key, "\0")).toThrow(SandboxError);
  });
});

describe("disabling unsafe operations", () => {
  const all = "io.microsoft.disable-unsafe-operations";

  it.each([
    [{ [all]: "true" }, true],
    [{ [all]: "false" }, false],
    [{ [all]: "true", [`${vm}fileshares.disablewritable`]: "True" }, true],
    [{ [all]: "1", "io.microsoft.container.wcow.gmsa.disable": "t" }, true],
  ])("%j", (annotations, noWritableFileShares) => {
    expect(readAnnotations(annotations).values).toMatchObject({
      noWritableFileShares,
      disableHostProcess: noWritableFileShares,
    });
  });

  it.each([
    `${vm}fileshares.disablewritable`,
    "io.microsoft.container.wcow.gmsa.disable",
    `${vm}wcow.virtualSMB.nodirectmap`,
    "microsoft.com/disable-hostprocess-container",
  ])("contradicts %s that says otherwise", (key) => {
    expect(() => readAnnotations({ [all]: "true", [key]: "false" })).toThrow(
      `${key}: got "false", expected true, as ${all} says`,
    );
  });

  it.each([all, "microsoft.com/disable-hostprocess-container"])("or %s contradicts a host process", (key) => {
    const annotations = { "microsoft.com/hostprocess-container": "true", [key]: "true" };
    expect(() => readAnnotations(annotations)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
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
  ])("%s are reported with the nearest known one", (key, near) => {
    expect(read(key, "1").warnings).toEqual([`annotation ${key} is not known; the nearest known one is ${near}`]);
  });

  it("of absurd length are compared with nothing", () => {
    const key = `${vm}${"x".repeat(100_000)}`;
    expect(read(key, "1").warnings).toEqual([`annotation ${key} is not known`]);
  });

  it("of Windows guests are reported as such", () => {
    expect(read(`${vm}wcow.timezone.noinherit`, "1").warnings).toEqual([
      expect.stringContaining("concerns Windows guests"),
    ]);
  });

  it.each([
    "io.kubernetes.cri.container-type",
    "io.microsoft.container.memory.sizeinmb",
    `${vm}lcow.privileged`,
    `${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`,
    "constructor",
    "__proto__",
  ])("%s is no business of ours", (key) => {
    expect(readAnnotations(Object.fromEntries([[key, "{}"]])).warnings).toEqual([]);
  });
});

describe("virtual persistent memory", () => {
  it("is read; what it means is decided with the memory", () => {
    expect(read(`${vm}devices.virtualpmem.maximumcount`, "4").values).toEqual({ vpmemCount: 4 });
  });
});
