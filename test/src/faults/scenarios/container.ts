import { hash } from "node:crypto";
import { LinuxContainerController } from "@uvm-shim/controller-container";
import {
  ContainerBench,
  FakeFiles,
  FakeGuest,
  imageMount,
  layersMount,
  noStdio,
  overlayMount,
  specification,
} from "@uvm-shim/controller-container/testing";
import { plan9On } from "@uvm-shim/controller-plan9/testing";
import { linuxProcesses, ProcessController } from "@uvm-shim/controller-process";
import { FakeUpstream } from "@uvm-shim/controller-process/testing";
import { scsiOn } from "@uvm-shim/controller-scsi/testing";
import { vpciOn } from "@uvm-shim/controller-vpci/testing";
import { type LinuxGuestLayout, ordinaryGuestLayout, policyGuestLayout } from "@uvm-shim/sandbox-lcow";
import type { CaseContext, Play, Scenario } from "../scenario.ts";

/** A container that is created, started, executes something, ends and is deleted. */
function containerLife(
  { callers }: CaseContext,
  container: LinuxContainerController,
  rootfs: typeof layersMount,
  spec: unknown,
  leftovers: () => readonly string[],
): Play {
  return {
    async act() {
      await callers.attempt(async (signal) => {
        await container.create({ spec, rootfs: [rootfs], stdio: noStdio }, signal);
        await container.init.start(signal);
        await container.update({ memory: { limit: 4096 } }, signal);
        await container.statistics(signal);
        await container.pause(signal);
        await container.resume(signal);
        const process = { args: ["ls"], cwd: "/" };
        const exec = await container.createProcess({ execId: "e", spec: process, stdio: noStdio }, signal);
        await exec.start(signal);
        await exec.kill(9);
        await exec.wait();
        await container.deleteProcess("e");
        await container.terminate(signal);
        await container.delete(signal);
      });
    },
    async cleanUp() {
      await container.terminate();
      await container.delete();
      await Promise.all(container.processes().map((process) => process.wait()));
    },
    leftovers,
  };
}

function aloneLife(
  context: CaseContext,
  rootfs: typeof layersMount,
  spec: unknown,
  layout: LinuxGuestLayout = ordinaryGuestLayout,
): Play {
  const bench = new ContainerBench(context.script, { layout });
  bench.files.kinds.set(temporaryDisk, "file").set(hostDevice, "block");
  bench.files.blockDevices.set("7:3", hostDevice);
  return containerLife(context, bench.controller, rootfs, spec, () => bench.leftovers);
}

/** The container's controller with those of its processes, disks, shares and devices, as the shim puts them together. */
function togetherLife(context: CaseContext): Play {
  const { script, clock } = context;
  const { vm: disksVm, scsi } = scsiOn(script);
  const { vm: sharesVm, plan9 } = plan9On(script);
  const { vm: devicesVm, vpci } = vpciOn(script);
  const upstream = new FakeUpstream(script);
  const guest = new FakeGuest(script);
  const files = new FakeFiles(script);
  for (const disk of ["/snapshots/1/layer.vhd", "/snapshots/2/layer.vhd", "/snapshots/3/sandbox.vhdx"]) {
    files.kinds.set(disk, "file");
  }
  files.kinds.set("/data", "directory");
  files.kinds.set(driverDisk, "file").set(hostDevice, "block");
  files.blockDevices.set("7:3", hostDevice);
  const container = new LinuxContainerController({
    gpuVhdPath: driverDisk,
    warn: () => {},
    ...{ id: "c1", podId: "p1", bundle: "/bundle", guest, disks: scsi, shares: plan9, devices: vpci, files, clock },
    layout: ordinaryGuestLayout,
    createProcess: (process) => new ProcessController({ ...process, flavour: linuxProcesses, upstream, clock }),
  });
  return containerLife(
    context,
    container,
    layersMount,
    specification({ mounts: [dataMount], ...oneDevice, ...withDevice }),
    () => [
      ...disksVm.leftovers(),
      ...sharesVm.leftovers(),
      ...[...devicesVm.assigned.keys()].map((guid) => `assigned ${guid}`),
      ...scsi.disks.map(({ hostPath }) => `tracked ${hostPath}`),
      ...plan9.shares.map(({ hostPath }) => `tracked ${hostPath}`),
      ...vpci.devices.map(({ deviceInstancePath }) => `tracked ${deviceInstancePath}`),
      ...[...files.mounted].map((path) => `mount ${path}`),
      ...[...guest.combined].map((path) => `combined ${path}`),
      ...[...guest.bound].map((path) => `bound ${path}`),
      ...[...guest.emptied].map((path) => `emptied ${path}`),
      ...[...guest.running, ...guest.known].map((id) => `container ${id} in the guest`),
    ],
  );
}

const oneDevice = { windows: { devices: [{ id: "PCIP\\A", idType: "gpu" }] } };
const driverDisk = "/disks/gpu.vhd";
const temporaryDisk = "/disks/temporary.vhdx";
const diskMount = { destination: "/disk", type: "automanage-virtual-disk", source: temporaryDisk };
const dataMount = { destination: "/data", type: "bind", source: "/data" };
const hostDevice = "/dev/loop3";
/** Of a pod, in which alone guests show disks. */
const withDevice = {
  annotations: { "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "p1" },
  linux: {
    devices: [{ path: "/dev/xvda", type: "b", major: 7, minor: 3 }],
    resources: { devices: [{ allow: true, type: "b", major: 7, minor: 3, access: "rwm" }] },
  },
};
const controller = "controller-container";
const sha256 = (text: string): string => hash("sha256", text, "hex");

export const containerScenarios: readonly Scenario[] = [
  {
    controller,
    name: "create-container and exec, on layers with a bind mount and a disk of the container's own",
    begin: (context) => aloneLife(context, layersMount, specification({ mounts: [dataMount, diskMount] })),
  },
  {
    controller,
    name: "create-container and exec, on layers with a bind mount and a disk, with a security policy",
    begin: (context) =>
      aloneLife(context, layersMount, specification({ mounts: [dataMount, diskMount] }), policyGuestLayout(sha256)),
  },
  {
    controller,
    name: "create-container and exec, on layers with a block device of the host",
    begin: (context) => aloneLife(context, layersMount, specification({ mounts: [], ...withDevice })),
  },
  {
    controller,
    name: "create-container and exec, on a root that the host mounts",
    begin: (context) => aloneLife(context, overlayMount, specification()),
  },
  {
    controller,
    name: "create-container and exec, on an image for reading",
    begin: (context) => aloneLife(context, { ...imageMount, options: ["ro"] }, specification()),
  },
  {
    controller,
    name: "create-container and exec, together with its processes, disks, shares and devices",
    begin: togetherLife,
  },
];
