import type { OciSpec } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { type DeviceNode, type GuestDevices, parseDeviceRules } from "../storage/devices.ts";
import { AbsentPart } from "./absent-parts.ts";
import { grantDevices, withGrantableRules } from "./workload-devices.ts";

const guid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
const node = (path: string, type: "b" | "c", major: number, minor: number): DeviceNode => ({
  ...{ path, type, major, minor, fileMode: 0o600, uid: 0, gid: 6 },
});
const disk = node("/dev/scsi/0/1", "b", 7, 3);
const zero = node("/dev/zero", "c", 1, 5);
const engine = node(`/dev/vpci/${guid}/device`, "c", 10, 229);

/** A guest with two nodes and an assigned device, with device rules of version 1 or without any. */
const guest = (list: string | undefined): GuestDevices => ({
  rules: () => (list === undefined ? undefined : parseDeviceRules(list)),
  nodes: () => [disk, zero],
  node: (path) => [disk, zero].find((one) => one.path === path),
  assigned: (id) => (id === guid ? { folder: `/dev/vpci/${guid}`, nodes: [engine] } : undefined),
});
const restricted = guest("c 1:5 rwm\nb *:* m\nb 7:3 rw\n");
const denyAll = { allow: false, access: "rwm" };
const allowAll = { allow: true, access: "rwm" };
const allowEngine = { allow: true, type: "c", major: 10, minor: 229, access: "rw" };
const spec = (linux: OciSpec["linux"], windows?: OciSpec["windows"]): OciSpec => ({
  ociVersion: "1.0.2",
  ...(linux === undefined ? {} : { linux }),
  ...(windows === undefined ? {} : { windows }),
});

const grant = (given: OciSpec, devices: GuestDevices = restricted): OciSpec => grantDevices("box", given, devices);
const privileged = { "io.microsoft.virtualmachine.lcow.privileged": "true" };

describe("the devices of a workload", () => {
  it("are none by default, beside those of every container", () => {
    expect(grant(spec({ resources: {} }))).toMatchObject({
      mounts: [],
      linux: { devices: [], resources: { devices: [] } },
    });
  });

  it("follow its own rules, and its other resources are kept", () => {
    const rules = [denyAll, { allow: true, type: "c", major: 1, minor: 3, access: "rwm" }];
    const given = spec({ resources: { devices: rules, pids: { limit: 1 } }, sysctl: { a: "b" } });
    expect(grant(given).linux).toEqual({
      devices: [],
      resources: { devices: rules, pids: { limit: 1 } },
      sysctl: { a: "b" },
    });
  });

  it("have their numbers in the guest", () => {
    const named = [{ path: "/dev/scsi/0/1", type: "b", major: 8, minor: 1, fileMode: 0o666, uid: 1000 }];
    expect(grant(spec({ devices: named, resources: {} })).linux).toMatchObject({
      devices: [{ ...disk, fileMode: 0o666, uid: 1000 }],
      resources: { devices: [{ allow: true, type: "b", major: 7, minor: 3, access: "rw" }] },
    });
  });

  it("include assigned ones with their folder, and none of other kinds", () => {
    const devices = [
      { id: guid, idType: "gpu" },
      { id: "x", idType: "class" },
    ];
    const given = { ...spec({ resources: {} }, { devices }), mounts: [{ destination: "/proc" }] };
    expect(grant(given)).toMatchObject({
      mounts: [
        { destination: "/proc" },
        {
          destination: `/dev/vpci/${guid}`,
          type: "bind",
          source: `/dev/vpci/${guid}`,
          options: ["rbind", "ro", "nosuid"],
        },
      ],
      linux: { devices: [], resources: { devices: [allowEngine] } },
    });
  });

  it("are all of the guest's if the annotation makes it privileged", () => {
    const host = { path: "/dev/of-the-host", type: "c", major: 99, minor: 1 };
    const linux = { devices: [host, { path: zero.path }], resources: { devices: [denyAll] } };
    expect(grant({ ...spec(linux), annotations: privileged }).linux).toEqual({
      devices: [host, disk, zero],
      resources: { devices: [allowAll] },
    });
    const rulesAlone = spec({ resources: { devices: [denyAll, allowAll] } });
    expect(grant(rulesAlone).linux).toEqual({ devices: [], resources: { devices: [denyAll, allowAll] } });
  });

  it.each([
    [spec({ devices: [{ path: "/dev/fuse" }] }), "linux.devices[0].path: device /dev/fuse does not exist in the guest"],
    [
      spec({ resources: { devices: [{ allow: "yes" }] } }),
      'linux.resources.devices[0].allow: expected true or false, got "yes"',
    ],
    [spec(undefined, { devices: [{ id: "x", idType: "vpci" }] }), "windows.devices[0].id: device x is not assigned"],
  ])("are named in the error if they are invalid or missing: %j", (given, message) => {
    expect(() => grant(given)).toThrow(`OciSpecification.${message}`);
  });

  it.each([
    ["a node", spec({ devices: [{ path: zero.path }] })],
    ["an assigned device", spec({}, { devices: [{ id: guid, idType: "vpci" }] })],
    ["being privileged", { ...spec({}), annotations: privileged }],
  ])("need linux.resources for the rule of %s: its absence crashes the agent", (_, given) => {
    expect(() => grant(given)).toThrow(AbsentPart);
  });
});

describe("rules for devices", () => {
  const rulesOf = (rules: readonly object[] | undefined, devices: GuestDevices): unknown =>
    withGrantableRules(spec(rules === undefined ? {} : { resources: { devices: rules } }), devices).linux?.resources
      ?.devices;

  it("deny everything else", () => {
    expect(rulesOf(undefined, restricted)).toEqual([denyAll]);
    expect(rulesOf([allowEngine], restricted)).toEqual([denyAll, allowEngine]);
    expect(rulesOf([denyAll, allowEngine], restricted)).toEqual([denyAll, allowEngine]);
  });

  it("that allow everything allow what the guest may use", () => {
    expect(rulesOf([denyAll, allowAll, allowEngine], restricted)).toEqual([
      denyAll,
      { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
      { allow: true, type: "b", access: "m" },
      { allow: true, type: "b", major: 7, minor: 3, access: "rw" },
      allowEngine,
    ]);
  });

  it.each([undefined, "a *:* rwm\n"])("are kept if the guest is unrestricted: %j", (list) => {
    expect(rulesOf([allowAll, allowEngine], guest(list))).toEqual([allowAll, allowEngine]);
  });
});
