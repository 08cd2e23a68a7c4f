/** Devices of the host that are assigned to a pod's VM, and containers that may use all devices. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostVariables } from "@uvm-shim/host-protocol";
import { assignedDeviceFiles, assignedDeviceFolder } from "@uvm-shim/host-protocol/guest";
import { type CommandResult, describe } from "@uvm-shim/test-support/command";
import type { Specification } from "../../shim-client/spec.ts";
import type { Case, CaseContext } from "../suite.ts";
import { runConfigured } from "./configured.ts";
import { assertStatus, exec, removeContainer, runContainer } from "./ctr.ts";

export const DEVICE = "PCIP\\VEN_1AF4&DEV_1041";
/** Without it the VM's kernel is started without PCI. */
const PCI_ANNOTATION = "io.microsoft.virtualmachine.lcow.vpcienabled";
const FIRMWARE = "firmware of the device\n";

/** Declares a device with two functions; returns the variable by which the emulated host finds it. */
export function declareDevices(directory: string): { readonly [hostVariables.devices]: string } {
  const firmware = join(directory, "firmware");
  mkdirSync(firmware);
  writeFileSync(join(firmware, "blob"), FIRMWARE);
  const declaration = join(directory, "devices.json");
  const device = { instancePath: DEVICE, functions: 2, characterDevice: "/dev/kmsg", directory: firmware };
  writeFileSync(declaration, JSON.stringify({ devices: [device] }));
  return { [hostVariables.devices]: declaration };
}

export async function runWithDevice(
  context: CaseContext,
  run: {
    readonly id: string;
    readonly device: string;
    readonly idType?: string;
    readonly pci?: boolean;
    /** Beside the usual ones. */
    readonly mounts?: readonly object[];
    readonly args: readonly string[];
  },
  flags: readonly string[],
): Promise<CommandResult> {
  const { id, device, idType = "vpci-instance-id", pci = true, mounts = [], args } = run;
  const change = (specification: Specification): object => ({
    ...specification,
    mounts: [...specification.mounts, ...mounts],
    windows: { devices: [{ id: device, idType }] },
    annotations: { [PCI_ANNOTATION]: String(pci) },
  });
  return await runConfigured(context, { id, args, change, flags });
}

const ANY = assignedDeviceFolder("*");
const { declaration, node, directory } = assignedDeviceFiles;
const LOOK = `cat ${ANY}/${declaration} ${ANY}/${directory}/blob && : >>$(echo ${ANY}/${node}) && echo open`;

function seen(virtualFunction: number): string {
  return `${JSON.stringify({ instancePath: DEVICE, virtualFunction })}\n${FIRMWARE}open\n`;
}

async function assignedDevice(context: CaseContext): Promise<void> {
  const holder = context.newId("device");
  const detached = await runWithDevice(context, { id: holder, device: DEVICE, args: ["sleep", "1000"] }, ["--detach"]);
  assertStatus(detached, 0);
  try {
    const looked = await exec(context, holder, ["sh", "-c", LOOK]);
    assertStatus(looked, 0);
    assert.equal(looked.stdout.toString(), seen(0));

    const look = ["sh", "-c", LOOK];
    const second = await runWithDevice(context, { id: context.newId("device"), device: DEVICE, args: look }, ["--rm"]);
    assert.notEqual(second.status, 0, describe(second));
    assert.match(second.stderr, /function 0 of PCIP.* is already assigned to/);

    const other = { id: context.newId("device"), device: `${DEVICE.toLowerCase()}/1`, idType: "gpu", args: look };
    const otherFunction = await runWithDevice(context, other, ["--rm"]);
    assertStatus(otherFunction, 0);
    assert.equal(otherFunction.stdout.toString(), seen(1));
  } finally {
    await removeContainer(context, holder);
  }
  const again = { id: context.newId("device"), device: DEVICE, args: ["sh", "-c", LOOK] };
  const result = await runWithDevice(context, again, ["--rm"]);
  assertStatus(result, 0);
  assert.equal(result.stdout.toString(), seen(0));
}

async function refusedDevices(context: CaseContext): Promise<void> {
  for (const [device, idType, message] of [
    [`${DEVICE}/2`, "vpci", /VirtualFunction: invalid function 2 of .*: expected 0 to 1/],
    ["PCIP\\NONE", "vpci", /device PCIP\\+NONE is not declared/],
    [DEVICE, "class", /windows\.devices\[0\]\.idType of device .* is \\?"class\\?", expected one of/],
  ] as const) {
    const id = context.newId("device");
    const result = await runWithDevice(context, { id, device, idType, args: ["true"] }, ["--rm"]);
    assert.notEqual(result.status, 0, describe(result));
    assert.match(result.stderr, message);
  }
  const id = context.newId("device");
  const withoutPci = await runWithDevice(context, { id, device: DEVICE, pci: false, args: ["true"] }, ["--rm"]);
  assert.notEqual(withoutPci.status, 0, describe(withoutPci));
  assert.match(withoutPci.stderr, /the kernel command line has pci=off/);
}

/** It can do what needs the capabilities and the devices of the VM, and sees nothing of the host's devices. */
async function privileged(context: CaseContext): Promise<void> {
  const script = [
    "mkdir /mnt && mount -t tmpfs tmpfs /mnt && echo mounted",
    "head -c 3 /dev/zero | wc -c",
    "echo x >/dev/null && test -c /dev/full && echo nodes",
    "test -e /dev/kmsg || echo none of the host",
    "mknod /tmp/kmsg c 1 11; sh -c ': >>/tmp/kmsg' || echo kept to those of the VM",
  ].join("; ");
  const id = context.newId("privileged");
  const result = await runContainer(context, { id, flags: ["--privileged"], command: ["sh", "-c", script] });
  assert.equal(result.stdout.toString(), `mounted\n3\nnodes\nnone of the host\n${keptToTheVm()}`, describe(result));
}

/** Only version 1 of control groups keeps a process guest to its own devices, and what runs in it. */
function keptToTheVm(): string {
  return existsSync("/sys/fs/cgroup/devices") ? "kept to those of the VM\n" : "";
}

/** With all that a runtime knows to give: it has what its namespaces have, and no more of this machine's kernel. */
async function privilegedIsKept(context: CaseContext): Promise<void> {
  const attempts = [
    "echo 1 >/proc/sys/net/ipv4/ip_forward && echo its own settings",
    "mkdir /mnt && mount -t tmpfs tmpfs /mnt && mount -o remount,bind,ro /mnt && echo its own mounts",
    "mkdir /tmp/proc && mount -t proc proc /tmp/proc && echo core >/tmp/proc/sys/kernel/core_pattern || echo no setting",
    "mount -o remount,rw / || echo no options",
    // It ends with 0 all the same.
    "date -s @$(date +%s) 2>&1 | grep -q 'not permitted' && echo no clock",
    "dmesg || echo no log",
    ...(existsSync("/sys/fs/cgroup/devices")
      ? [
          "mkdir /tmp/group && mount -t cgroup -o devices cgroup /tmp/group",
          "echo 'c 10:229 rwm' >/tmp/group/devices.allow || echo no device",
        ]
      : ["echo no device"]),
  ];
  const id = context.newId("privileged");
  const command = ["sh", "-c", attempts.join("; ")];
  const result = await runContainer(context, { id, flags: ["--privileged"], command });
  const outcomes = result.stdout
    .toString()
    .split("\n")
    .filter((line) => /^(its own|no) [a-z]+$/.test(line));
  const kept = ["no setting", "no options", "no clock", "no log", "no device"];
  assert.deepEqual(outcomes, ["its own settings", "its own mounts", ...kept], describe(result));
}

const onUtilityVms = (context: CaseContext): boolean => context.runtime.key === "lcow";

export const deviceCases: readonly Case[] = [
  {
    name: "a declared device: seen by its container alone, freed with it, assigned again",
    applies: onUtilityVms,
    run: assignedDevice,
  },
  { name: "devices that cannot be assigned are named", applies: onUtilityVms, run: refusedDevices },
  { name: "a privileged container has the devices of its VM", applies: onUtilityVms, run: privileged },
  {
    name: "a privileged container has no more of the machine's kernel than its namespaces have",
    applies: onUtilityVms,
    run: privilegedIsKept,
  },
];
