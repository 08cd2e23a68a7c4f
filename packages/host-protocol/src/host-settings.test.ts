import { expect, it } from "vitest";
import { hostVariables } from "./host-process.ts";
import { readHostSettings } from "./host-settings.ts";

const group = "5A3B9C64-1f0e-4c86-8f0b-6a6e9d8f7c21";
const another = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c22";

it("reads what is set, and takes an empty variable as not set", () => {
  const nothing = { cpuGroups: new Map() };
  expect(readHostSettings({})).toEqual(nothing);
  expect(readHostSettings(Object.fromEntries(Object.values(hostVariables).map((name) => [name, ""])))).toEqual(nothing);
  expect(
    readHostSettings({
      UVM_SHIM_HOST_IDLE_MS: "0",
      UVM_SHIM_HOST_DEVICES: "/devices.json",
      UVM_SHIM_HOST_WINE: "/srv/wine",
      UVM_SHIM_HOST_QEMU: "/srv/qemu",
      UVM_SHIM_HOST_CPU_GROUPS: `${group}=0-1; ${another}=3 ;`,
    }),
  ).toEqual({
    idleMs: 0,
    devicesFile: "/devices.json",
    wine: "/srv/wine",
    qemu: "/srv/qemu",
    cpuGroups: new Map([
      [group.toLowerCase(), "0-1"],
      [another, "3"],
    ]),
  });
});

it.each([
  [hostVariables.idleMs, "5s", 'expected milliseconds, got "5s"'],
  [hostVariables.devices, "devices.json", 'expected an absolute path, got "devices.json"'],
  [hostVariables.wine, "wine", 'expected an absolute path, got "wine"'],
  [hostVariables.qemu, "qemu", 'expected an absolute path, got "qemu"'],
  [hostVariables.cpuGroups, "first=0", "expected <GUID>=<processors>"],
  [hostVariables.cpuGroups, group, "expected <GUID>=<processors>"],
  [hostVariables.cpuGroups, `${group}=all`, "expected <GUID>=<processors>"],
])("refuses %s=%s", (name, value, sentence) => {
  expect(() => readHostSettings({ [name]: value })).toThrow(`${name}: ${sentence}`);
});
