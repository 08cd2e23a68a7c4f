import type { OciSpec } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { grantDevices } from "./container-devices.ts";
import { type DeviceNode, type GuestDevices, parseDeviceRules } from "./devices.ts";

const guid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
const node = (path: string, type: "b" | "c", major: number, minor: number): DeviceNode => ({
  ...{ path, type, major, minor, fileMode: 0o600, uid: 0, gid: 6 },
});
const disk = node("/dev/scsi/0/1", "b", 7, 3);
const zero = node("/dev/zero", "c", 1, 5);
const engine = node(`/dev/vpci/${guid}/device`, "c", 10, 229);

/** A guest with two nodes and an assigned device, kept to some devices by version 1, or to none. */
const guest = (list: string | undefined): GuestDevices => ({
  rules: () => (list === undefined ? undefined : parseDeviceRules(list)),
  nodes: () => [disk, zero],
  node: (path) => [disk, zero].find((one) => one.path === path),
  assigned: (wanted) => (wanted === guid ? { folder: `/dev/vpci/${guid}`, nodes: [engine] } : undefined),
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

describe("the devices of a container", () => {
  it("are none beyond those that every container has", () => {
    expect(grantDevices(spec(undefined), restricted)).toMatchObject({
      mounts: [],
      linux: { devices: [], resources: { devices: [denyAll] } },
    });
  });

  it("are those of its own rules, with the rest of its resources", () => {
    const rules = [denyAll, { allow: true, type: "c", major: 1, minor: 3, access: "rwm" }];
    const given = spec({ resources: { devices: rules, pids: { limit: 1 } }, sysctl: { a: "b" } });
    expect(grantDevices(given, restricted).linux).toEqual({
      devices: [],
      resources: { devices: rules, pids: { limit: 1 } },
      sysctl: { a: "b" },
    });
  });

  it("have the numbers that they have in the guest", () => {
    const named = [{ path: "/dev/scsi/0/1", type: "b", major: 8, minor: 1, fileMode: 0o666, uid: 1000 }];
    expect(grantDevices(spec({ devices: named }), restricted).linux).toMatchObject({
      devices: [{ ...disk, fileMode: 0o666, uid: 1000 }],
      resources: { devices: [denyAll, { allow: true, type: "b", major: 7, minor: 3, access: "rw" }] },
    });
  });

  it("include assigned ones, whose folder shows what they are", () => {
    const given = {
      ...spec(undefined, { devices: [{ id: guid, idType: "gpu" }] }),
      mounts: [{ destination: "/proc" }],
    };
    expect(grantDevices(given, restricted)).toMatchObject({
      mounts: [
        { destination: "/proc" },
        {
          destination: `/dev/vpci/${guid}`,
          type: "bind",
          source: `/dev/vpci/${guid}`,
          options: ["rbind", "ro", "nosuid"],
        },
      ],
      linux: { devices: [], resources: { devices: [denyAll, allowEngine] } },
    });
  });

  it("are all that the guest may use, for a container that may use all", () => {
    const host = [{ path: "/dev/of-the-host", type: "c", major: 99, minor: 1 }];
    const given = spec({ devices: host, resources: { devices: [denyAll, allowAll] } });
    expect(grantDevices(given, restricted).linux).toEqual({
      devices: [disk, zero],
      resources: {
        devices: [
          denyAll,
          { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
          { allow: true, type: "b", access: "m" },
          { allow: true, type: "b", major: 7, minor: 3, access: "rw" },
        ],
      },
    });
  });

  it.each([undefined, "a *:* rwm\n"])("are all there are where nothing restricts the guest: %j", (list) => {
    const given = spec({ resources: { devices: [allowAll] } }, { devices: [{ id: guid, idType: "vpci" }] });
    expect(grantDevices(given, guest(list)).linux).toEqual({
      devices: [disk, zero],
      resources: { devices: [allowAll, allowEngine] },
    });
  });

  it.each([
    [spec({ devices: [{ path: "/dev/fuse" }] }), "linux.devices[0].path is /dev/fuse, the guest has no such device"],
    [
      spec({ resources: { devices: [{ allow: "yes" }] } }),
      'linux.resources.devices[0].allow: expected true or false, got "yes"',
    ],
    [spec(undefined, { devices: [{ id: "x", idType: "vpci" }] }), "windows.devices[0].id is x, no such device"],
    [spec(undefined, { devices: [{ id: guid, idType: "class" }] }), "windows.devices[0].idType is class, accepted are"],
  ])("%j names what the guest does not have", (given, message) => {
    expect(() => grantDevices(given, restricted)).toThrow(`OciSpecification.${message}`);
  });
});
