import { BlockCimController, WindowsContainerController } from "@uvm-shim/controller-container-wcow";
import {
  addHostFiles,
  ContainerBench,
  deviceUtil,
  FakeFiles,
  FakeGuest,
  FakeHostServices,
  FakeVm,
  layersMount,
  noStdio,
  specification,
} from "@uvm-shim/controller-container-wcow/testing";
import { ProcessController, windowsProcesses } from "@uvm-shim/controller-process";
import { FakeUpstream } from "@uvm-shim/controller-process/testing";
import { windowsScsiOn } from "@uvm-shim/controller-scsi/testing";
import { vpciOn } from "@uvm-shim/controller-vpci/testing";
import { vsmbOn } from "@uvm-shim/controller-vsmb/testing";
import { windowsPaths } from "@uvm-shim/lifecycle";
import type { CaseContext, Play, Scenario } from "../scenario.ts";

const pipe = "\\\\.\\pipe\\engine";
const guest = { device: { id: "PCIP\\GPU", idType: "gpu" }, location: "PCIROOT(0)#A\r\n" };
const everything = specification({
  mounts: [
    { destination: "C:\\data", source: "C:\\data", options: ["ro"] },
    { destination: "C:\\one.txt", source: "C:\\data\\one.txt" },
    { destination: "C:\\disk", source: "C:\\disks\\data.vhdx", type: "virtual-disk" },
    { destination: "C:\\pod", source: "sandbox:///logs" },
    { destination: pipe, source: pipe },
  ],
  windows: { hyperv: {}, credentialSpec: '{"account":"a"}' },
});
const withDevice = specification({
  annotations: { "io.microsoft.virtualmachine.kerneldrivers": "C:\\drivers" },
  windows: { hyperv: {}, devices: [guest.device] },
});

const cimsMount: typeof layersMount = {
  ...{ type: "BlockCIM", source: "C:\\snapshots\\3" },
  options: ["rw", `parentCimPaths=${JSON.stringify(["C:\\cims\\a.bcim\\layer.cim"])}`, "blockCIMType=file"],
};

type End = "terminated" | "by itself";

/** A container that is created, started, executes something, ends and is deleted. */
function containerLife(
  { callers }: CaseContext,
  container: WindowsContainerController,
  {
    spec,
    rootfs = layersMount,
    end,
  }: { readonly spec: unknown; readonly rootfs?: typeof layersMount; readonly end: End },
  leftovers: () => readonly string[],
): Play {
  return {
    async act() {
      await callers.attempt(async (signal) => {
        await container.create({ spec, rootfs: [rootfs], stdio: noStdio }, signal);
        await container.init.start(signal);
        await container.update({ memory: { limit: 2 ** 30 }, cpu: { count: 1 } }, signal);
        await container.statistics(signal);
        await container.pids(signal);
        await container.addMount({ hostPath: "C:\\data", containerPath: "C:\\more", readOnly: true }, signal);
        const process = { args: ["cmd", "/c", "dir"], cwd: "C:\\" };
        const exec = await container.createProcess({ execId: "e", spec: process, stdio: noStdio }, signal);
        await exec.start(signal);
        await exec.kill(9);
        await exec.wait();
        await container.deleteProcess("e");
        if (end === "terminated") await container.terminate(signal);
        else await container.init.kill(9, signal);
        await container.init.wait(signal);
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

function aloneLife(context: CaseContext, spec: unknown, end: End): Play {
  const { script, clock } = context;
  const bench = new ContainerBench(script, { clock });
  return containerLife(context, bench.controller, { spec, end }, () => bench.leftovers);
}

/** The container's controller with those of its processes, disks, shares, pipes and devices, as the shim puts them together. */
function togetherLife(context: CaseContext, isConfidential: boolean): Play {
  const { script, clock } = context;
  const { vm: disksVm, scsi } = windowsScsiOn(script);
  const { vsmb, pipes, leftovers: sharesLeft } = vsmbOn(script, { noDirectMap: true });
  const { vm: devicesVm, vpci } = vpciOn(script);
  const upstream = new FakeUpstream(script);
  const guestOfVm = new FakeGuest(script);
  guestOfVm.outcomes.set("children --parentID=", { exitCode: 0, output: guest.location });
  const services = new FakeHostServices(script);
  const files = new FakeFiles();
  addHostFiles(files);
  files.kinds.set("C:\\cims\\a.bcim", "file");
  const vm = new FakeVm(script);
  let numbers = 0;
  const newId = (): string => {
    numbers += 1;
    return `00000000-0000-4000-8000-${String(numbers).padStart(12, "0")}`;
  };
  const cims = new BlockCimController({
    ...{ id: "vm-1", disks: scsi, guest: () => guestOfVm, vm, paths: windowsPaths, newId, newGuid: newId },
  });
  const container = new WindowsContainerController({
    ...{ id: "c1", bundle: "C:\\bundle", guest: guestOfVm, disks: scsi, shares: vsmb, pipes, devices: vpci, clock },
    ...{ cims, vm, services, warn: () => {} },
    plan: {
      ...{ podId: "p1", role: "workload", podAnnotations: {}, processors: 8, paths: windowsPaths, files },
      ...{ pathGrammar: "windows", deviceUtilPath: deviceUtil },
      vm: { processors: 4, isConfidential, supportsHostProcesses: true, noWritableFileShares: false },
    },
    createProcess: (process) => new ProcessController({ ...process, flavour: windowsProcesses, upstream, clock }),
  });
  const { devices } = withDevice.windows as { readonly devices: unknown };
  const spec = { ...everything, windows: { ...(everything.windows as object), devices } };
  return containerLife(
    context,
    container,
    isConfidential ? { spec: specification(), rootfs: cimsMount, end: "terminated" } : { spec, end: "by itself" },
    () => [
      ...disksVm.leftovers(),
      ...sharesLeft(),
      ...[...devicesVm.assigned.keys()].map((guid) => `assigned ${guid}`),
      ...scsi.disks.map(({ hostPath }) => `tracked ${hostPath}`),
      ...vpci.devices.map(({ deviceInstancePath }) => `tracked ${deviceInstancePath}`),
      ...[...services.guards.keys()].map((id) => `guard of ${id}`),
      ...[...services.redirections.keys()].map((id) => `redirection of ${id}`),
      ...[...guestOfVm.combined].map((path) => `combined ${path}`),
      ...[...guestOfVm.volumes.keys()].map((volume) => `volume ${volume}`),
      ...cims.volumes.map(({ hostPath }) => `tracked ${hostPath}`),
      ...[...guestOfVm.running, ...guestOfVm.known].map((id) => `container ${id} in the guest`),
    ],
  );
}

const controller = "controller-container-wcow";

export const windowsContainerScenarios: readonly Scenario[] = [
  {
    controller,
    name: "create-container and exec, with layers, mounts, a pipe and an account, ended after its init process",
    begin: (context) => aloneLife(context, everything, "by itself"),
  },
  {
    controller,
    name: "the same, terminated",
    begin: (context) => aloneLife(context, everything, "terminated"),
  },
  {
    controller,
    name: "create-container and exec, with drivers and a device",
    begin: (context) => aloneLife(context, withDevice, "terminated"),
  },
  {
    controller,
    name: "create-container and exec, together with its processes, disks, shares, pipes and devices",
    begin: (context) => togetherLife(context, false),
  },
  {
    controller,
    name: "the same on layers in block CIMs, with a security policy",
    begin: (context) => togetherLife(context, true),
  },
];
