import { describe, expect, it } from "vitest";
import { keyOf, readAnnotations } from "./annotations.ts";

const vm = "io.microsoft.virtualmachine.";
const topology = `${vm}computetopology.`;
const trueWords = ["1", "t", "T", "TRUE", "true", "True"];
const falseWords = ["0", "f", "F", "FALSE", "false", "False"];

function readAll(annotations: { readonly [key: string]: string }) {
  const warnings: string[] = [];
  return { ...readAnnotations(annotations, (sentence) => warnings.push(sentence)), warnings };
}

const read = (key: string, value: string) => readAll({ [key]: value });

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
const fileNames = [
  { "": "", "other.vhd": "other.vhd", "a b.vmgs": "a b.vmgs" },
  ["..", ".", "a/b", "a\\b", "C:a", "/a", "a\0"],
] as const;
const numberLists = (most: number) =>
  [
    { "": [], "0": [0], "1,2,1": [1, 2, 1], [`0,${most}`]: [0, most] },
    ["1,", ",", "1;2", "1, 2", "-1", "1,x", `1,${most + 1}`],
  ] as const;

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
  ["consolePipe", { "": "", "\\\\.\\pipe\\console": "\\\\.\\pipe\\console" }, ["/dev/ttyS0", "\\\\.\\PIPE\\x", "pipe"]],
  ["dmVerityMode", ...words],
  ["dmVerityCreateArgs", ...anyText],
  ["dmVerityRootFsVhd", ...fileNames],
  ["guestStateFile", ...fileNames],
  ["hclEnabled", ...words],
  ["extraVsockPorts", ...numberLists(2 ** 32 - 1)],
  ["securityPolicy", ...anyText],
  ["securityPolicyEnforcer", ...anyText],
  ["referenceInfoFile", ...fileNames],
  ["hashEnvelopeReferenceInfoFile", ...fileNames],
  ["noSecurityHardware", ...words],
  ["encryptScratch", ...words],
  ["policyBasedRouting", ...words],
  ["liveMigration", ...words],
  ["cpuGroup", ...anyText],
  [
    "resourcePartition",
    { "": "", "11111111-2222-3333-4444-55555555555A": "11111111-2222-3333-4444-55555555555a" },
    ["{11111111-2222-3333-4444-555555555555}", "not-a-guid", "11111111222233334444555555555555"],
  ],
  ["numaProcessorsPerNode", ...wholeNumbers(2 ** 32 - 1)],
  ["numaMemoryPerNode", ...wholeNumbers(2 ** 40)],
  ["numaPreferredNodes", ...numberLists(2 ** 32 - 1)],
  ["numaMappedNodes", ...numberLists(2 ** 32 - 1)],
  ["numaProcessors", ...numberLists(2 ** 32 - 1)],
  ["numaMemoryBlocks", ...numberLists(2 ** 40)],
] as const)("%s", (name, taken, refused) => {
  it.each(Object.entries(taken))("takes %j", (text, value) => {
    expect(read(keyOf(name), text)).toEqual({
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

describe.each(["io.microsoft.network.ncproxy", `${vm}lcow.vpmem.nomultimapping`, `${vm}kerneldrivers`])(
  "%s, which is not supported,",
  (key) => {
    it("may be empty", () => {
      expect(read(key, "")).toEqual({ values: {}, serviceTable: {}, warnings: [] });
    });

    it.each(["false", "0", "x"])("is refused with %j", (text) => {
      expect(() => read(key, text)).toThrow(expect.objectContaining({ code: "Unimplemented", key }));
      expect(() => read(key, text)).toThrow(`${key}: got ${JSON.stringify(text)}, which is not supported`);
    });
  },
);

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
  ])("contradicts %s that says otherwise", (key) => {
    expect(() => readAll({ [all]: "true", [key]: "false" })).toThrow(
      `${key}: got "false", expected true, as ${all} says`,
    );
  });

  it.each([all, "microsoft.com/disable-hostprocess-container"])("or %s contradicts a host process", (key) => {
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
  ])("%s are reported with the nearest known one", (key, near) => {
    expect(read(key, "1").warnings).toEqual([`annotation ${key} is not known; the nearest known one is ${near}`]);
  });

  it("of absurd length are compared with nothing", () => {
    const key = `${vm}${"x".repeat(100_000)}`;
    expect(read(key, "1").warnings).toEqual([`annotation ${key} is not known`]);
  });

  it("without effect are reported as such", () => {
    const key = `${vm}forwardlogs.enable`;
    expect(read(key, "1").warnings).toEqual([`annotation ${key} has no effect on Linux sandboxes`]);
  });

  it("of Windows guests are reported as such", () => {
    for (const key of [`${vm}wcow.timezone.noinherit`, "io.microsoft.container.wcow.deviceextensions"]) {
      expect(read(key, "1").warnings).toEqual([`annotation ${key} concerns Windows guests and has no effect`]);
    }
  });

  it.each([
    "io.kubernetes.cri.container-type",
    `${vm}lcow.securitypolicy.env`,
    "io.microsoft.container.memory.sizeinmb",
    `${vm}lcow.privileged`,
    `${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`,
    "constructor",
    "__proto__",
  ])("%s is no business of ours", (key) => {
    expect(readAll(Object.fromEntries([[key, "{}"]])).warnings).toEqual([]);
  });
});

describe("virtual persistent memory", () => {
  it("is read; what it means is decided with the memory", () => {
    expect(read(`${vm}devices.virtualpmem.maximumcount`, "4").values).toEqual({ vpmemCount: 4 });
  });
});
