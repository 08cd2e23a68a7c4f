/** Block devices of the host that containers name by their numbers, as kubelets do for volumes of mode Block. */
import assert from "node:assert/strict";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attachedBelow, withBlockDevice } from "@uvm-shim/test-support/disk";
import type { CriPod } from "../../cri/pod.ts";
import { Pod } from "../../shim-client/pod.ts";
import type { Specification } from "../../shim-client/spec.ts";
import { WAIT_MS } from "../../support/guest-kind.ts";
import { poll } from "../../support/wait.ts";
import { output, withPod as withCriPod } from "../cri-case.ts";
import type { Case, CaseContext, CriCaseContext } from "../suite.ts";
import { assertStatus, runContainer } from "./ctr.ts";
import { assertRefused, directoryRootfs, type ProtocolCase, type ProtocolCaseContext, withPod } from "./protocol.ts";
import { withScripts } from "./protocol-containers.ts";

const SIZE = 4 * 1024 * 1024;
const SIGKILL = 9;

const PATH = "/dev/xvda";
const denyAll = { allow: false, access: "rwm" };

/** A device of the host with a word at its beginning. */
async function withDevice(
  directory: string,
  name: string,
  work: (device: string, file: string) => Promise<void>,
): Promise<void> {
  const file = join(directory, name);
  writeFileSync(file, "of the host\n");
  truncateSync(file, SIZE);
  await withBlockDevice(file, (device) => work(device, file));
}

/** How often it is attached to VMs; other devices may be those of other runs on the machine. */
const attachments = (device: string): number => attachedBelow("/dev").filter((path) => path === device).length;

const numbersOf = (device: string): { readonly major: number; readonly minor: number } => {
  const { rdev } = statSync(device);
  return { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) };
};

const withDisk =
  (device: string, access: string, path = PATH) =>
  (specification: Specification): object => {
    const numbers = { type: "b", ...numbersOf(device) };
    const devices = [{ path, ...numbers, fileMode: 0o660, uid: 0, gid: 6 }];
    const rules = [denyAll, ...(access === "" ? [] : [{ allow: true, ...numbers, access }])];
    return { ...specification, linux: { ...specification.linux, devices, resources: { devices: rules } } };
  };

const firstWord = (file: string): string => readFileSync(file).subarray(0, 12).toString();
const WRITE = "of the guest";
const script = (path: string): string =>
  `head -c 12 ${path}; printf '${WRITE}' | dd of=${path} conv=notrunc,fsync 2>/dev/null || echo kept`;

async function byCtr(context: CaseContext): Promise<void> {
  await withDevice(context.scratch, context.newId("volume"), async (device, file) => {
    const command = ["sh", "-c", `test -b ${device} && ${script(device)}`];
    const flags = ["--device", device];
    const run = await runContainer(context, { id: context.newId("block"), flags, command });
    assertStatus(run, 0);
    assert.equal(run.stdout.toString(), "of the host\n");
    assert.equal(firstWord(file), WRITE);
    assert.equal(attachments(device), 0);
  });
}

async function access(context: ProtocolCaseContext): Promise<void> {
  await withDevice(context.directory, "volume", async (device, file) => {
    await withScripts(context, async (outputOf, pod) => {
      const shown = await outputOf(script(PATH), { change: withDisk(device, "r") });
      assert.equal(shown, "of the host\nkept\n");
      assert.equal(
        await outputOf(script("/mnt/deep/er"), { change: withDisk(device, "rwm", "/mnt/deep/er") }),
        "of the host\n",
      );
      assert.equal(firstWord(file), WRITE);
      const create = (change: (specification: Specification) => object) =>
        pod.createContainer({ id: "refused", args: ["true"], rootfs: directoryRootfs(context), change });
      const { major, minor } = numbersOf(device);
      const nothing = `linux.devices[0]: linux.resources.devices allow nothing of b ${major}:${minor}`;
      await assertRefused(create(withDisk(device, "")), "InvalidArgument", nothing);
      const none = { path: PATH, type: "b", major: 4000, minor: 1 };
      await assertRefused(
        create((specification) => ({ ...specification, linux: { ...specification.linux, devices: [none] } })),
        "NotFound",
        `linux.devices[0].path: device ${PATH} does not exist in the guest`,
      );
      assert.equal(attachments(device), 0);
    });
  });
}

/** Who uses it and who ends, in whatever way: it is the host's again. */
async function released(context: ProtocolCaseContext): Promise<void> {
  await withDevice(context.directory, "volume", async (device) => {
    const create = { rootfs: directoryRootfs(context), change: withDisk(device, "rwm"), args: ["sleep", "1000"] };
    await withPod(context, async (pod) => {
      const [first, second] = [
        await pod.createContainer({ id: "first", ...create }),
        await pod.createContainer({ id: "second", ...create }),
      ];
      assert.equal(attachments(device), 1);
      await first.start();
      await first.kill(SIGKILL);
      await first.wait();
      await first.delete();
      assert.equal(attachments(device), 1);
      await second.delete();
      assert.equal(attachments(device), 0);
    });
  });
}

async function killedShim(context: ProtocolCaseContext): Promise<void> {
  const { executable, environment, directory, signal } = context;
  await withDevice(directory, "volume", async (device) => {
    const pod = await Pod.run({ executable, environment, directory, signal, id: "pod" });
    try {
      const rootfs = directoryRootfs(context);
      const change = withDisk(device, "rwm");
      const container = await pod.createContainer({ id: "c1", args: ["sleep", "1000"], rootfs, change });
      await container.start();
      container.stdio.close();
      assert.equal(attachments(device), 1);
      process.kill(await pod.shimPid(), "SIGKILL");
      await pod.shim.closed;
    } finally {
      await pod.abandon();
    }
    // What `delete` has ended gives its disks back.
    await poll("the device to be the host's", () => attachments(device) === 0 || undefined, {
      timeoutMs: WAIT_MS,
      signal,
    });
  });
}

async function byCri(context: CriCaseContext): Promise<void> {
  await withDevice(context.scratch, context.newId("volume"), async (device, file) => {
    const named = (permissions: string) => ({ devices: [{ containerPath: PATH, hostPath: device, permissions }] });
    const work = async (pod: CriPod): Promise<void> => {
      const writer = await pod.run("writer", ["sleep", "1000"], named("mrw"));
      assert.equal(await output(context, writer, "sh", "-c", script(PATH)), "of the host\n");
      assert.equal(firstWord(file), WRITE);
      const privileged = await pod.run("privileged", ["sleep", "1000"], {
        ...named("mrw"),
        linux: { securityContext: { privileged: true } },
      });
      assert.equal(await output(context, privileged, "head", "-c", "12", PATH), WRITE);
      // Of all devices that the node has the pod has this one alone.
      assert.equal(attachments(device), 1);
      for (const containerId of [writer, privileged]) {
        await context.cri.call("StopContainer", { containerId, timeout: 0 });
        await context.cri.call("RemoveContainer", { containerId });
      }
      assert.equal(attachments(device), 0);
      const reader = await pod.run("reader", ["sleep", "1000"], named("r"));
      assert.equal(await output(context, reader, "sh", "-c", script(PATH)), `${WRITE}kept\n`);
    };
    await withCriPod(context, work, { linux: { securityContext: { privileged: true } } });
    assert.equal(attachments(device), 0);
  });
}

export const blockDeviceCases: readonly Case[] = [{ name: "a block device of the host", run: byCtr }];

export const protocolBlockDeviceCases: readonly ProtocolCase[] = [
  { name: "block devices: at the requested path, with the access that the rules allow", run: access },
  { name: "block devices: given back to the host when the last container with one is deleted", run: released },
  { name: "block devices: given back to the host when the shim is killed", run: killedShim },
];

export const criBlockDeviceCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: a block device of the host, written, read and beside all others", run: byCri },
];
