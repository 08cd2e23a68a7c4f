import { isGone } from "@uvm-shim/lifecycle";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LinuxVpciGuest, VpciHost } from "../types.ts";
import { testGuid } from "./index.ts";

/** A running VM, real or fake, that is held to the contract. */
export interface VpciContractVm {
  readonly host: VpciHost;
  readonly guest: LinuxVpciGuest;
  dispose(): Promise<void>;
}

/** A device with two functions that every host of the contract must declare. */
export const contractDevice = "PCIP\\VEN_1234&DEV_5678";

/** Contract of host and Linux guest, for fakes and the emulated host. */
export function describeVpciContract(
  name: string,
  setup: () => Promise<VpciContractVm>,
  suite: typeof describe | typeof describe.skip = describe,
): void {
  suite(`assigned devices: ${name}`, () => {
    let vm: VpciContractVm;
    beforeAll(async () => {
      vm = await setup();
    });
    afterAll(() => vm.dispose());

    const device = (path: string, VirtualFunction = 0) => ({
      Functions: [{ DeviceInstancePath: path, VirtualFunction }],
      PropagateNumaAffinity: true,
    });

    it("are assigned, waited for and removed, each function by itself", async () => {
      await vm.host.assignDevice(testGuid(1), device(contractDevice));
      await vm.guest.waitForDevice({ VMBusGUID: testGuid(1) });
      await vm.host.assignDevice(testGuid(2), device(contractDevice, 1));
      await vm.guest.waitForDevice({ VMBusGUID: testGuid(2) });
      for (const number of [1, 2]) await vm.host.unassignDevice(testGuid(number));
      await vm.host.assignDevice(testGuid(3), device(contractDevice));
      await vm.host.unassignDevice(testGuid(3));
    });

    it("are refused with a taken GUID or function", async () => {
      await vm.host.assignDevice(testGuid(4), device(contractDevice));
      await expect(vm.host.assignDevice(testGuid(4), device(contractDevice, 1))).rejects.toMatchObject({
        code: "AlreadyExists",
      });
      await expect(vm.host.assignDevice(testGuid(5), device(contractDevice.toLowerCase()))).rejects.toMatchObject({
        code: "FailedPrecondition",
      });
      await vm.host.unassignDevice(testGuid(4));
    });

    it("are reported as gone if they do not exist", async () => {
      const failure: unknown = await vm.host.unassignDevice(testGuid(6)).catch((error: unknown) => error);
      expect(isGone(failure)).toBe(true);
    });

    it.each([
      [device("PCIP\\UNKNOWN"), "NotFound"],
      [device(contractDevice, 2), "InvalidArgument"],
      [device(""), "InvalidArgument"],
      [{ Functions: [] }, "InvalidArgument"],
    ])("are refused if they are invalid: %j", async (settings, code) => {
      await expect(vm.host.assignDevice(testGuid(7), settings)).rejects.toMatchObject({ code });
    });
  });
}
