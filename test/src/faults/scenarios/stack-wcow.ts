import { randomUUID } from "node:crypto";
import { BlockCimController, WindowsContainerController } from "@uvm-shim/controller-container-wcow";
import {
  addHostFiles,
  deviceUtil,
  FakeFiles,
  layersMount,
  specification,
} from "@uvm-shim/controller-container-wcow/testing";
import { PodController } from "@uvm-shim/controller-pod";
import { ProcessController, type StdioPaths, vmPrograms, windowsProcesses } from "@uvm-shim/controller-process";
import { FakeUpstream, pipes } from "@uvm-shim/controller-process/testing";
import {
  ScsiController,
  type WindowsDiskMount,
  type WindowsScsiGuest,
  windowsGuestDisks,
} from "@uvm-shim/controller-scsi";
import { VmController, windowsVm } from "@uvm-shim/controller-vm";
import { VpciController } from "@uvm-shim/controller-vpci";
import { PipeController, showFolder, VsmbController } from "@uvm-shim/controller-vsmb";
import { WindowsGuest } from "@uvm-shim/guest-wcow";
import { FakeComputeService } from "@uvm-shim/hcs-bindings/testing";
import { type ComputeSystemDocument, scsiControllerGuids, utcTimeZone } from "@uvm-shim/hcs-schema";
import { windowsPaths } from "@uvm-shim/lifecycle";
import type { CaseContext, Play, Scenario } from "../scenario.ts";
import { WindowsStackGuest } from "./stack-guest-wcow.ts";
import { closingLost, leavePrograms, podPlay } from "./stack-play.ts";

const vmId = "p1@vm";
const pipe = "\\\\.\\pipe\\engine";
const container = specification({
  mounts: [
    { destination: "C:\\data", source: "C:\\data", options: ["ro"] },
    { destination: "C:\\disk", source: "C:\\disks\\data.vhdx", type: "virtual-disk" },
    { destination: pipe, source: pipe },
  ],
  windows: { hyperv: {}, credentialSpec: '{"account":"a"}' },
});
const os = { Name: "os", Path: "C:\\snapshots\\1\\UtilityVM\\Files", Options: { ReadOnly: true } };
const document: ComputeSystemDocument = {
  Owner: "test",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    Chipset: { Uefi: { BootThis: { DeviceType: "VmbFs", DevicePath: "\\EFI\\Microsoft\\Boot\\bootmgfw.efi" } } },
    ComputeTopology: { Memory: { SizeInMB: 1024 }, Processor: { Count: 2 } },
    Devices: {
      Scsi: {
        [scsiControllerGuids[0]]: { Attachments: { "0": { Type: "VirtualDisk", Path: "C:\\vm\\sandbox.vhdx" } } },
      },
      VirtualSmb: { DirectFileMappingInMB: 1024, Shares: [os] },
    },
  },
};

type Disks = ScsiController<WindowsScsiGuest, WindowsDiskMount>;

interface Sharing {
  readonly shares: VsmbController;
  readonly pipes: PipeController;
}

interface ContainerRequest {
  readonly id: string;
  readonly spec: unknown;
  readonly rootfs: readonly (typeof layersMount)[];
  readonly stdio: StdioPaths;
}

/** A pod as the shim puts it together, on a fake host and, behind the real protocol, a fake Windows guest. */
function podOn({ script, clock }: CaseContext) {
  const guests: WindowsStackGuest[] = [];
  const service = new FakeComputeService({
    run: (...call) => script.run(...call),
    boot: (system) => void guests.push(new WindowsStackGuest(script, system)),
  });
  const host = service.connect();
  const { windows: services } = host;
  if (services === undefined) throw new Error("the host does not serve Windows guests");
  const newId = randomUUID;
  const vm = new VmController<WindowsGuest, Disks, never, VpciController, Sharing>({
    id: vmId,
    host,
    connectGuest: (stream, system, signal) =>
      WindowsGuest.connect(
        stream,
        {
          listen: (port) => system.listen(port),
          newActivityId: randomUUID,
          delay: (milliseconds, abort) => clock.delay(milliseconds, abort),
          timeZone: utcTimeZone,
          log: { log: () => {} },
        },
        signal,
      ),
    flavour: windowsVm,
    clock,
    onGuestLog: () => {},
    devices: {
      scsi: (wiring) => new ScsiController({ ...wiring, newId, paths: windowsPaths, guestDisks: windowsGuestDisks }),
      vsmb: ({ id, host: devices, names }) => ({
        shares: new VsmbController({ id, host: devices, newId, paths: windowsPaths, names, noDirectMap: true }),
        pipes: new PipeController({ id, host: devices, newId }),
      }),
      vpci: ({ id, host: devices }) => new VpciController({ id, host: devices, newId, newGuid: randomUUID }),
    },
  });
  const files = new FakeFiles();
  addHostFiles(files);
  const upstream = new FakeUpstream(script);
  const opener = closingLost(upstream);
  const grantVmAccess = (path: string, signal?: AbortSignal): Promise<void> => host.grantVmAccess(vmId, path, signal);
  const newPod = () =>
    new PodController<ContainerRequest, WindowsContainerController>({
      id: "p1",
      size: { limitsOf: () => undefined, updated: (limits) => limits, judge: () => ({ kind: "enough" }) },
      warn: () => {},
      vm,
      clock,
      pingGuest: (signal) => vm.guest.ping(signal),
      diagnosis: {
        newProgram: (execId) =>
          new ProcessController({
            ...{ containerId: vmId, execId, flavour: vmPrograms(windowsProcesses), upstream: opener, clock },
            guest: { execute: (command, signal) => vm.execute(command, signal) },
          }),
        shareSteps: (share) => showFolder(share, { shares: () => vm.vsmb.shares, guest: () => vm.guest }),
        describeDevices: () => ({}),
      },
      newContainer: ({ id }) =>
        new WindowsContainerController({
          ...{ id, bundle: "C:\\bundle", guest: vm.guest, services, clock, warn: () => {} },
          plan: {
            ...{ podId: "p1", role: "workload", podAnnotations: {}, processors: 8, paths: windowsPaths, files },
            ...{ pathGrammar: "windows", deviceUtilPath: deviceUtil },
            vm: { processors: 2, isConfidential: false, supportsHostProcesses: true, noWritableFileShares: false },
          },
          disks: vm.scsi,
          shares: vm.vsmb.shares,
          pipes: vm.vsmb.pipes,
          // A getter, so that the controller is only made for a container with devices.
          get devices() {
            return vm.vpci;
          },
          cims: new BlockCimController({
            ...{ id: vmId, disks: vm.scsi, guest: () => vm.guest, vm: { grantVmAccess }, paths: windowsPaths },
            ...{ newId, newGuid: randomUUID },
          }),
          vm: {
            runtimeId: vm.runtimeId,
            grantVmAccess,
            updateHvSocketService: (id, config, signal) =>
              vm.networkWiring.host.updateHvSocketService(id, config, signal),
          },
          createProcess: (process) =>
            new ProcessController({ ...process, flavour: windowsProcesses, upstream: opener, clock }),
        }),
    });
  const leftovers = (): readonly string[] => [
    ...service.leftovers(),
    ...service.guestServices.leftovers(),
    ...guests.flatMap((guest) => guest.leftovers()),
    ...upstream.opened.filter(({ isClosed }) => !isClosed).map(() => "open stdio"),
    ...(vm.state.kind === "Terminated" ? [] : [`a VM that is ${vm.state.kind}`]),
  ];
  // A redirection whose answer was lost ends with its connection to the host.
  return { vm, document, newPod, leftovers, close: () => host.close() };
}

type End = "after its init process" | "terminated" | "with the pod";

/** From the VM to the last exec and back. */
function podLife(context: CaseContext, end: End): Play {
  return podPlay(context, podOn(context), async (pod, signal) => {
    const request = { id: "c1", spec: container, rootfs: [layersMount], stdio: pipes };
    const made = await pod.createContainer(request, signal);
    const { init } = made;
    await init.start(signal);
    const spec = { args: ["cmd", "/c", "dir"], cwd: "C:\\" };
    const exec = await made.createProcess({ execId: "e", spec, stdio: pipes }, signal);
    await exec.start(signal);
    await exec.kill(9, signal);
    await exec.wait(signal);
    await made.deleteProcess("e");
    if (end === "with the pod") return;
    if (end === "terminated") await made.terminate(signal);
    else await init.kill(9, signal);
    await init.wait(signal);
    await pod.deleteContainer("c1", signal);
  });
}

/** A pod that is diagnosed: a folder is shared, and a program of the VM itself is cancelled, another runs on. */
function diagnosedPod(context: CaseContext): Play {
  const diagnose = async (pod: ReturnType<ReturnType<typeof podOn>["newPod"]>, signal: AbortSignal): Promise<void> => {
    const share = { hostPath: "C:\\data", kind: "directory", guestPath: "C:\\shown", readOnly: true } as const;
    await pod.share(share, signal);
    await pod.dumpStacks(signal);
  };
  return podPlay(context, podOn(context), diagnose, (pod) => leavePrograms(pod, "cmd"));
}

const controller = "the whole stack";
const life = "VM, pod, create-container, exec";

export const windowsStackScenarios: readonly Scenario[] = [
  {
    controller,
    name: `${life}, end after the init process, delete, stop (WCOW)`,
    hasBounds: true,
    begin: (context) => podLife(context, "after its init process"),
  },
  {
    controller,
    name: `${life}, terminate, delete, stop (WCOW)`,
    hasBounds: true,
    begin: (context) => podLife(context, "terminated"),
  },
  {
    controller,
    name: `${life}, and stop with all that runs (WCOW)`,
    hasBounds: true,
    begin: (context) => podLife(context, "with the pod"),
  },
  {
    controller,
    name: "VM, pod, a share for diagnosis, programs of the VM, stop (WCOW)",
    hasBounds: true,
    begin: (context) => diagnosedPod(context),
  },
];
