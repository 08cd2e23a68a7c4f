/** Annotations about the guest's boot and configuration. */
import { onOff, refused } from "@uvm-shim/sandbox-common/testing";
import type { AnnotationName } from "../annotations/annotations.ts";
import { bootFolder, host, vm } from "./sandbox.ts";
import { type Built, kernelLineOf, kinds, type SettingRows } from "./setting-rows.ts";

const { fileName, flag, text } = kinds;

const rootFs = ["rootfs.vhd", "initrd.img", "kernel"];
const onDisk = { host: host({}, rootFs) };
const direct = `${bootFolder}/kernel`;
const policy = { [`${vm}lcow.securitypolicy`]: "e30=" };
const ordinary = { ...policy, [`${vm}no_security_hardware`]: "true" };
const isolated = { host: host({}, [...rootFs, "kernel.vmgs", "other.vmgs", "other.vhd"]) };
const names = { given: policy, more: isolated };
const confidential = ({ settings }: Built) => settings.confidential;
const inLine = (part: string) => (built: Built) => kernelLineOf(built).includes(part);
const behindAgent = (built: Built): string => kernelLineOf(built).split("-loglevel info")[1] ?? "";
const services = ({ Devices }: Built): number =>
  Object.keys(Devices?.HvSocket?.HvSocketConfig?.ServiceTable ?? {}).length;

/** Rows of the annotations about a Linux guest. */
export const guestRows = {
  bootFilesRootPath: {
    ...text(({ boot }) => boot?.KernelFilePath, { valid: ["/opt", "/opt/kernel"], byDefault: direct }),
    more: { host: host({}, ["kernel", "initrd.img", "/opt/kernel", "/opt/initrd.img", "/kernel", "/initrd.img"]) },
    boundary: [
      ["", direct],
      ["/", "/kernel"],
      ["/opt//", "/opt/kernel"],
      ["/none/.././opt/.", "/opt/kernel"],
    ],
    invalid: [
      ["opt", refused("expected an absolute path")],
      ["/none", refused("there is no file /none/vmlinux or /none/kernel")],
      ["/\n", refused("expected text without control characters")],
    ],
  },
  kernelDirectBoot: flag(({ boot }) => boot !== undefined, { ...onOff, byDefault: true }),
  preferredRootFs: {
    more: onDisk,
    effect: ({ boot }) => (boot?.InitRdPath === undefined ? "vhd" : "initrd"),
    default: "vhd",
    valid: [
      ["vhd", "vhd"],
      ["initrd", "initrd"],
    ],
    boundary: [
      ["", "vhd"],
      ["VHD", refused("expected one of initrd, vhd")],
    ],
    invalid: [["ext4", refused("expected one of initrd, vhd")]],
  },
  kernelBootOptions: text((built) => /quiet (.*)pci=off/.exec(kernelLineOf(built))?.[1], {
    valid: ["a=1 b", "a=1 b "],
    byDefault: "",
  }),
  vpciEnabled: flag((built) => !kernelLineOf(built).includes("pci=off")),
  disableTimeSync: flag(inLine("-disable-time-sync")),
  writableOverlays: flag(inLine(" -w "), { ...onOff, more: onDisk }),
  extraExecArguments: text(behindAgent, { valid: ["-x 1", " -x 1"], byDefault: "" }),
  processDumpLocation: text(behindAgent, { valid: ["/dumps", " -core-dump-location /dumps"], byDefault: "" }),
  consolePipe: {
    effect: ({ Devices }) => Devices?.ComPorts?.["0"]?.NamedPipe,
    default: undefined,
    valid: [["\\\\.\\pipe\\console", "\\\\.\\pipe\\console"]],
    boundary: [["", undefined]],
    invalid: ["/dev/ttyS0", "\\\\.\\PIPE\\x", "pipe"].map((name) => [
      name,
      refused("expected a name that starts with \\\\.\\pipe\\"),
    ]),
  },
  dmVerityMode: flag(inLine("root=/dev/dm-0"), {
    ...onOff,
    given: { [`${vm}lcow.dmverity-create-args`]: "table" },
    more: onDisk,
  }),
  dmVerityCreateArgs: {
    given: { [`${vm}lcow.dmverity-mode`]: "true" },
    more: onDisk,
    effect: (built) => /dm-mod\.create="([^"]*)"/.exec(kernelLineOf(built))?.[1],
    default: refused("expected a device-mapper table without quotes"),
    valid: [["a table", "a table"]],
    boundary: [["", refused("expected a device-mapper table without quotes")]],
    invalid: [
      ['a"b', refused("expected a device-mapper table without quotes")],
      ["a\n", refused("expected text without control characters")],
    ],
  },
  dmVerityRootFsVhd: fileName((built) => confidential(built)?.copies[1]?.from, {
    ...names,
    valid: ["other.vhd", `${bootFolder}/other.vhd`],
    byDefault: `${bootFolder}/rootfs.vhd`,
  }),
  guestStateFile: fileName((built) => confidential(built)?.copies[0]?.from, {
    ...names,
    valid: ["other.vmgs", `${bootFolder}/other.vmgs`],
    byDefault: `${bootFolder}/kernel.vmgs`,
  }),
  hclEnabled: {
    ...flag(({ document }) => document.VirtualMachine.SecuritySettings?.Isolation?.HclEnabled, { ...names, ...onOff }),
    default: undefined,
  },
  extraVsockPorts: {
    ...names,
    effect: services,
    default: 4,
    valid: [["5,6", 6]],
    // Port 1 is there already.
    boundary: [
      ["", 4],
      ["1,5", 5],
      ["0,4294967295", 6],
      ["4294967296", refused("expected whole numbers from 0 to 4294967295")],
    ],
    invalid: ["5,", "5;6", "-1"].map((list) => [list, refused("expected whole numbers from 0 to 4294967295")]),
  },
  securityPolicy: {
    given: { [`${vm}no_security_hardware`]: "true" },
    effect: (built) => confidential(built)?.policy,
    default: undefined,
    valid: [["e30=", "e30="]],
    boundary: [
      ["", undefined],
      ["YQ", refused("got 2 characters, expected base64")],
    ],
    invalid: [
      ["not base64!", refused("got 11 characters, expected base64")],
      ["a\nb=", refused("expected text without control characters")],
    ],
  },
  securityPolicyEnforcer: text((built) => confidential(built)?.enforcer, {
    given: ordinary,
    valid: ["open_door", "open_door"],
    byDefault: "rego",
    empty: "",
  }),
  referenceInfoFile: fileName((built) => confidential(built)?.referenceInfoFile, {
    given: ordinary,
    valid: ["own.cose", `${bootFolder}/own.cose`],
    byDefault: `${bootFolder}/reference_info.cose`,
    empty: "",
  }),
  hashEnvelopeReferenceInfoFile: fileName((built) => confidential(built)?.hashEnvelopeReferenceInfoFile, {
    given: ordinary,
    valid: ["own.cose", `${bootFolder}/own.cose`],
    byDefault: `${bootFolder}/reference_info_hash_envelope.cose`,
    empty: "",
  }),
  noSecurityHardware: flag((built) => confidential(built)?.isolated, { ...names, on: false, off: true }),
} satisfies { readonly [Name in AnnotationName]?: SettingRows };
