import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { type DeviceConfig, VpciController } from "./index.ts";
import { FakeVpciVm, testGuid, vpciOn } from "./testing/index.ts";

const gpu: DeviceConfig = { deviceInstancePath: "PCIP\\VEN_10DE&DEV_1EB8", virtualFunction: 0 };

describe("assigning one device", () => {
  it("assigns it, waits for the guest, and removes it again", async () => {
    const { vm, vpci } = vpciOn();
    const reservation = await vpci.reserve(gpu);
    expect(vpci.devices).toEqual([{ ...gpu, vmBusGuid: testGuid(1), holders: 1, state: "Reserved" }]);
    expect(await vpci.mapToGuest(reservation)).toBe(testGuid(1));
    expect(vpci.devices).toMatchObject([{ holders: 1, state: "Ready" }]);
    await vpci.unmapFromGuest(reservation);
    expect(vm.script.calls).toEqual(
      ["assignDevice", "waitForDevice", "unassignDevice"].map((name) => ({ name, detail: testGuid(1) })),
    );
    expect(vpci.devices).toEqual([]);
  });

  it.each([
    [gpu, { Functions: [{ DeviceInstancePath: gpu.deviceInstancePath }] }],
    [
      { ...gpu, virtualFunction: 7, propagateNumaAffinity: true },
      {
        Functions: [{ DeviceInstancePath: gpu.deviceInstancePath, VirtualFunction: 7 }],
        PropagateNumaAffinity: true,
      },
    ],
    [
      { ...gpu, propagateNumaAffinity: false },
      {
        Functions: [{ DeviceInstancePath: gpu.deviceInstancePath }],
        PropagateNumaAffinity: false,
      },
    ],
  ])("sends the host %j", async (config, settings) => {
    const { vm, vpci } = vpciOn();
    await vpci.mapToGuest(await vpci.reserve(config));
    expect(vm.assigned).toEqual(new Map([[testGuid(1), settings]]));
  });

  it("makes no request to a guest that finds its devices by itself", async () => {
    const vm = new FakeVpciVm();
    const vpci = new VpciController({ id: "vm-1", host: vm, newId: () => "r1", newGuid: () => testGuid(1) });
    const reservation = await vpci.reserve(gpu);
    await vpci.mapToGuest(reservation);
    expect(vpci.devices).toMatchObject([{ state: "Ready" }]);
    await vpci.unmapFromGuest(reservation);
    expect(vm.script.names).toEqual(["assignDevice", "unassignDevice"]);
  });

  it("can be repeated in both directions", async () => {
    const { vm, vpci } = vpciOn();
    const reservation = await vpci.reserve(gpu);
    expect(await vpci.mapToGuest(reservation)).toBe(await vpci.mapToGuest(reservation));
    await Promise.all([vpci.unmapFromGuest(reservation), vpci.unmapFromGuest(reservation)]);
    await vpci.unmapFromGuest(reservation);
    await vpci.unmapFromGuest("never reserved");
    expect(vm.script.calls).toHaveLength(3);
  });

  it("makes no request to the host when an unused reservation is released", async () => {
    const { vm, vpci } = vpciOn();
    await vpci.unmapFromGuest(await vpci.reserve(gpu));
    expect(vm.script.calls).toEqual([]);
    expect(vpci.devices).toEqual([]);
  });

  it("refuses to map a device that is not reserved, or no longer", async () => {
    const { vpci } = vpciOn();
    await expect(vpci.mapToGuest("r9")).rejects.toMatchObject({ code: "NotFound" });
    const reservation = await vpci.reserve(gpu);
    const unmapping = vpci.unmapFromGuest(reservation);
    await expect(vpci.mapToGuest(reservation)).rejects.toMatchObject({ code: "NotFound" });
    await unmapping;
  });
});

describe("sharing", () => {
  it("gives users of the same function one assignment, however its path is spelled", async () => {
    const { vm, vpci } = vpciOn();
    const paths = [gpu.deviceInstancePath, gpu.deviceInstancePath.toLowerCase(), gpu.deviceInstancePath];
    const users = await Promise.all(paths.map((deviceInstancePath) => vpci.reserve({ ...gpu, deviceInstancePath })));
    const guids = await Promise.all(users.map((user) => vpci.mapToGuest(user)));
    expect(guids).toEqual([testGuid(1), testGuid(1), testGuid(1)]);
    expect(vpci.devices).toMatchObject([{ holders: 3 }]);
    await Promise.all(users.slice(1).map((user) => vpci.unmapFromGuest(user)));
    expect(vm.script.names).toEqual(["assignDevice", "waitForDevice"]);
    await vpci.unmapFromGuest(users[0] ?? "");
    expect(vm.assigned.size).toBe(0);
  });

  it.each([
    { ...gpu, virtualFunction: 1 },
    { ...gpu, deviceInstancePath: "PCIP\\OTHER" },
  ])("assigns another device for %j", async (other) => {
    const { vpci } = vpciOn();
    const guids = [await vpci.mapToGuest(await vpci.reserve(gpu)), await vpci.mapToGuest(await vpci.reserve(other))];
    expect(guids).toEqual([testGuid(1), testGuid(2)]);
  });

  it("never uses a VMBus GUID twice", async () => {
    const { vpci } = vpciOn();
    const first = await vpci.reserve(gpu);
    await vpci.mapToGuest(first);
    await vpci.unmapFromGuest(first);
    expect(await vpci.mapToGuest(await vpci.reserve(gpu))).toBe(testGuid(2));
  });

  it("assigns different devices at the same time", async () => {
    const abort = new AbortController();
    const hung = Promise.withResolvers<void>();
    const { vpci } = vpciOn(new ScriptedCalls(new Map([[0, "hang"]]), hung.resolve));
    const [first, second] = [await vpci.reserve(gpu), await vpci.reserve({ ...gpu, virtualFunction: 1 })];
    const stuck = vpci.mapToGuest(first, abort.signal);
    await hung.promise;
    expect(await vpci.mapToGuest(second)).toBe(testGuid(2));
    abort.abort();
    await expect(stuck).rejects.toMatchObject({ code: "Cancelled" });
  });

  it("serves the next user under another GUID when the first one's attempt was aborted", async () => {
    const abort = new AbortController();
    const { vm, vpci } = vpciOn(new ScriptedCalls(new Map([[0, "hangDone"]]), () => abort.abort()));
    const [first, second] = [await vpci.reserve(gpu), await vpci.reserve(gpu)];
    const results = await Promise.allSettled([vpci.mapToGuest(first, abort.signal), vpci.mapToGuest(second)]);
    expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "Cancelled" } });
    expect(results[1]).toEqual({ status: "fulfilled", value: testGuid(2) });
    expect(vm.script.names).toEqual(["assignDevice", "unassignDevice", "assignDevice", "waitForDevice"]);
  });

  it("keeps the device for a user that reserved it just before the last one released it", async () => {
    const { vm, vpci } = vpciOn();
    const first = await vpci.reserve(gpu);
    await vpci.mapToGuest(first);
    const unmapping = vpci.unmapFromGuest(first);
    const second = await vpci.reserve(gpu);
    await unmapping;
    expect(await vpci.mapToGuest(second)).toBe(testGuid(1));
    expect(vm.script.names).toEqual(["assignDevice", "waitForDevice"]);
  });

  it("assigns again for a user that reserved it while the host removed it", async () => {
    const { vm } = vpciOn();
    let second: Promise<string> | undefined;
    const { vpci } = vpciOn(undefined, {
      guest: () => vm,
      host: {
        assignDevice: (...call) => vm.assignDevice(...call),
        unassignDevice: (...call) => {
          second ??= vpci.reserve(gpu);
          return vm.unassignDevice(...call);
        },
      },
    });
    const first = await vpci.reserve(gpu);
    await vpci.mapToGuest(first);
    await vpci.unmapFromGuest(first);
    const reservation = (await second) ?? "";
    expect(await vpci.mapToGuest(reservation)).toBe(testGuid(2));
    await vpci.unmapFromGuest(reservation);
    expect(vm.assigned.size).toBe(0);
  });
});

describe("failures", () => {
  it("keep track of a device that never appeared in the guest, until it is removed", async () => {
    const { vm, vpci } = vpciOn(new ScriptedCalls(new Map([[1, "fail"]])));
    const reservation = await vpci.reserve(gpu);
    await expect(vpci.mapToGuest(reservation)).rejects.toMatchObject({
      code: "Unavailable",
      message: expect.stringContaining(`vm-1 ${gpu.deviceInstancePath} function 0 as ${testGuid(1)}`),
    });
    expect(vpci.devices).toMatchObject([{ state: "AssignedInvalid", holders: 1 }]);
    expect(vm.assigned.size).toBe(1);
    await vpci.unmapFromGuest(reservation);
    expect(vm.assigned.size).toBe(0);
    expect(vpci.devices).toEqual([]);
  });

  it("keep track of a device that the host could not remove", async () => {
    const { vm, vpci } = vpciOn(new ScriptedCalls(new Map([[2, "fail"]])));
    const reservation = await vpci.reserve(gpu);
    await vpci.mapToGuest(reservation);
    await expect(vpci.unmapFromGuest(reservation)).rejects.toMatchObject({ code: "Unavailable" });
    expect(vpci.devices).toMatchObject([{ state: "AssignedInvalid", holders: 1 }]);
    expect(await vpci.mapToGuest(reservation)).toBe(testGuid(2));
    await vpci.unmapFromGuest(reservation);
    expect(vm.assigned.size).toBe(0);
  });

  it("count an ended VM as released", async () => {
    const { vm } = vpciOn();
    const gone = Object.assign(scriptedError("FailedPrecondition", "it has ended"), { gone: true });
    const { vpci } = vpciOn(undefined, {
      guest: () => vm,
      host: { assignDevice: (...call) => vm.assignDevice(...call), unassignDevice: () => Promise.reject(gone) },
    });
    const reservation = await vpci.reserve(gpu);
    await vpci.mapToGuest(reservation);
    await vpci.unmapFromGuest(reservation);
    expect(vpci.devices).toEqual([]);
  });
});

describe("bad input", () => {
  it.each<[Partial<DeviceConfig>, string]>([
    [{ deviceInstancePath: "" }, 'deviceInstancePath is "", expected the instance path of a device'],
    [{ deviceInstancePath: "a\0b" }, 'deviceInstancePath is "a\\u0000b"'],
    [{ virtualFunction: -1 }, "virtualFunction is -1, expected an integer from 0 to 65535"],
    [{ virtualFunction: 65536 }, "virtualFunction is 65536"],
    [{ virtualFunction: 1.5 }, "virtualFunction is 1.5"],
    [{ virtualFunction: Number.NaN }, "virtualFunction is NaN"],
  ])("%j acquires nothing", async (wrong, message) => {
    const { vpci } = vpciOn();
    await expect(vpci.reserve({ ...gpu, ...wrong })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
    expect(vpci.devices).toEqual([]);
  });

  it("refuses a device that is already reserved differently", async () => {
    const { vpci } = vpciOn();
    await vpci.reserve({ ...gpu, propagateNumaAffinity: true });
    await expect(vpci.reserve(gpu)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("propagateNumaAffinity is absent, expected true, with which it is reserved"),
    });
    expect(vpci.devices).toMatchObject([{ holders: 1 }]);
  });
});
