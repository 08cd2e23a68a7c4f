import { describe, expect, it } from "vitest";
import { build, host, refusal, topology, vm } from "../testing/sandbox.ts";

const withDevices = (devices: unknown, annotations = {}) => build(annotations, { specification: { devices } });
const gpu = "PCIP\\VEN_10DE&DEV_1EB8\\6&17F903&0&00400000";
const firstId = "00000000-0000-4000-8000-000000000001";
const secondId = "00000000-0000-4000-8000-000000000002";

describe("devices of the sandbox", () => {
  it.each([undefined, null, {}, { devices: null }, { devices: [] }, { windows: { devices: [{}] } }])(
    "are none in %j",
    (specification) => {
      expect(build({}, { specification }).Devices).not.toHaveProperty("VirtualPci");
    },
  );

  it.each(["vpci-instance-id", "vpci", "gpu"])("of type %s are assigned under new GUIDs", (idType) => {
    const devices = [
      { id: gpu, idType },
      { id: `${gpu}/3`, idType },
    ];
    expect(withDevices(devices).Devices?.VirtualPci).toEqual({
      [firstId]: { Functions: [{ DeviceInstancePath: gpu }] },
      [secondId]: { Functions: [{ DeviceInstancePath: gpu, VirtualFunction: 3 }] },
    });
  });

  it.each([
    ["PCIP\\VEN_1\\5", "PCIP\\VEN_1", 5],
    ["PCIP\\\\VEN_1\\5/0", "PCIP\\VEN_1\\5", undefined],
    ["PCIP\\VEN_1/65535", "PCIP\\VEN_1", 65_535],
    ["PCIP\\VEN_1\\65536", "PCIP\\VEN_1\\65536", undefined],
    ["PCIP\\VEN_1/x", "PCIP\\VEN_1/x", undefined],
  ])(
    "%s: a number after a slash or backslash is the function, and other paths are unchanged",
    (id, path, virtualFunction) => {
      const [device] = Object.values(withDevices([{ id, idType: "vpci" }]).Devices?.VirtualPci ?? {});
      expect(device?.Functions[0]?.DeviceInstancePath).toBe(path);
      expect(device?.Functions[0]?.VirtualFunction).toBe(virtualFunction);
    },
  );

  it.each([
    [{}, "devices", "a list"],
    [[{ id: gpu, idType: "class" }], "devices[0].idType", "one of vpci-instance-id, vpci, gpu"],
    [[{ id: gpu }], "devices[0].idType", "one of vpci-instance-id"],
    [[7], "devices[0].idType", "one of vpci-instance-id"],
    [[{ id: "", idType: "gpu" }], "devices[0].id", "a device instance path"],
    [[{ id: "/1", idType: "gpu" }], "devices[0].id", "a device instance path"],
    [[{ idType: "gpu" }], "devices[0].id", "a device instance path"],
    [[{ id: "a\0", idType: "gpu" }], "devices[0].id", "a device instance path"],
    [[{ id: "a/65536", idType: "gpu" }], "devices[0].id", "with /<virtual function, 0 to 65535>"],
    [
      [
        { id: gpu, idType: "gpu" },
        { id: `${gpu.toLowerCase()}/0`, idType: "vpci" },
      ],
      "devices[1].id",
      "each device and function only once: function 0 is listed already",
    ],
  ])("%j are refused", (devices, key, message) => {
    expect(() => withDevices(devices)).toThrow(expect.objectContaining(refusal(key)));
    expect(() => withDevices(devices)).toThrow(message);
  });

  it.each([
    {
      [`${topology}processor.numa.max-processors-per-node`]: "2",
      [`${topology}processor.numa.max-size-per-node`]: "512",
    },
    {
      [`${topology}numa.mapped-physical-nodes`]: "0",
      [`${topology}numa.count-of-processors`]: "2",
      [`${topology}numa.count-of-memory-blocks`]: "1024",
    },
  ])("propagate their NUMA node if the VM has nodes: %j", (nodes) => {
    const annotations = { ...nodes, [`${vm}fullyphysicallybacked`]: "true" };
    expect(withDevices([{ id: gpu, idType: "gpu" }], annotations).Devices?.VirtualPci).toEqual({
      [firstId]: { Functions: [{ DeviceInstancePath: gpu }], PropagateNumaAffinity: true },
    });
  });

  it("are reported as invisible to a guest kernel without PCI", () => {
    const devices = [{ id: gpu, idType: "gpu" }];
    expect(withDevices(devices).warnings).toEqual([expect.stringContaining(`${vm}lcow.vpcienabled is not true`)]);
    expect(withDevices(devices, { [`${vm}lcow.vpcienabled`]: "true" }).warnings).toEqual([]);
  });

  it("need a host that assigns devices", () => {
    const specification = { devices: [{ id: gpu, idType: "gpu" }] };
    expect(() => build({}, { specification, host: host({ build: 18_362 }) })).toThrow(
      "VirtualMachine.Devices.VirtualPci: host build 18362 does not support this field, " +
        "introduced in version 2.3 of the HCS schema, build 19041",
    );
  });
});
