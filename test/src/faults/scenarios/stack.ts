import { randomUUID } from "node:crypto";
import {
  EarlyMounts,
  LinuxContainerController,
  type RootfsMount,
  sandboxSpecification,
} from "@uvm-shim/controller-container";
import { FakeFiles, layersMount, noStdio, overlayMount, specification } from "@uvm-shim/controller-container/testing";
import { Plan9Controller, showFolder } from "@uvm-shim/controller-plan9";
import { PodController } from "@uvm-shim/controller-pod";
import { linuxProcesses, ProcessController, type StdioPaths, vmPrograms } from "@uvm-shim/controller-process";
import { FakeUpstream, pipes } from "@uvm-shim/controller-process/testing";
import { linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import { linuxVm, VmController } from "@uvm-shim/controller-vm";
import { document } from "@uvm-shim/controller-vm/testing";
import { VpciController } from "@uvm-shim/controller-vpci";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { FakeComputeService } from "@uvm-shim/hcs-bindings/testing";
import { posixPaths } from "@uvm-shim/lifecycle";
import { type ContainerLimits, ordinaryGuestLayout, PodSize } from "@uvm-shim/sandbox-lcow";
import type { CaseContext, Play, Scenario } from "../scenario.ts";
import { StackGuest } from "./stack-guest.ts";
import { closingLost, leavePrograms, podPlay } from "./stack-play.ts";

/** The VM's document has 1024 MB, so a container with a limit makes it grow. */
const size = new PodSize({
  ...{ processors: 2, hostProcessors: 2, areProcessorsFixed: false },
  needs: { guest: 256, withoutLimits: 1024 },
});
const temporaryDisk = "/disks/temporary.vhdx";
const mounts = [
  { destination: "/data", type: "bind", source: "/data" },
  { destination: "/disk", type: "automanage-virtual-disk", source: temporaryDisk },
];
/** More than the VM has room for. */
const linux = { ...(specification().linux as object), resources: { memory: { limit: 2 ** 30 } } };

const sandboxRoot = "/bundle/sandbox-root";
const ownContainer: ContainerRequest = {
  id: "p1",
  spec: sandboxSpecification({ rootPath: sandboxRoot, host: "posix", annotations: {} }),
  rootfs: [],
  stdio: noStdio,
};

/** A pod as the shim puts it together, on a fake host and, behind the real protocol, a fake guest. */
function podOn({ script, clock }: CaseContext, makesContainer: boolean, rootfs: readonly RootfsMount[] = []) {
  const guests: StackGuest[] = [];
  const service = new FakeComputeService({
    run: (...call) => script.run(...call),
    boot: (system) => void guests.push(new StackGuest(script, system)),
  });
  const host = service.connect();
  const vm = new VmController<LinuxGuest, ScsiController, Plan9Controller, VpciController>({
    id: "vm-1",
    host,
    connectGuest: (stream, system, signal) =>
      LinuxGuest.connect(
        stream,
        {
          listen: (port) => system.listen(port),
          newActivityId: randomUUID,
          delay: (milliseconds, abort) => clock.delay(milliseconds, abort),
          log: { log: () => {} },
        },
        signal,
      ),
    flavour: linuxVm((bytes) => new Uint8Array(bytes).fill(7)),
    clock,
    onGuestLog: () => {},
    devices: {
      scsi: (wiring) =>
        new ScsiController({
          ...wiring,
          guestDisks: linuxGuestDisks(ordinaryGuestLayout),
          paths: posixPaths,
          newId: randomUUID,
        }),
      plan9: (wiring) => new Plan9Controller({ ...wiring, paths: posixPaths, newId: randomUUID }),
      vpci: (wiring) => new VpciController({ ...wiring, newId: randomUUID, newGuid: randomUUID }),
    },
  });
  const files = new FakeFiles(script);
  for (const disk of ["/snapshots/1/layer.vhd", "/snapshots/2/layer.vhd", "/snapshots/3/sandbox.vhdx", temporaryDisk]) {
    files.kinds.set(disk, "file");
  }
  files.kinds.set("/data", "directory");
  files.kinds.set(sandboxRoot, "directory");
  const upstream = new FakeUpstream(script);
  const opener = closingLost(upstream);
  const earlyMounts = new EarlyMounts({ bundle: "/bundle", rootfs }, files);
  const newPod = () => {
    type Pod = PodController<ContainerRequest, LinuxContainerController, ContainerLimits>;
    const pod: Pod = new PodController<ContainerRequest, LinuxContainerController, ContainerLimits>({
      id: "p1",
      size,
      warn: () => {},
      ...(makesContainer ? { sandboxContainer: ownContainer } : {}),
      vm,
      clock,
      earlyWork: earlyMounts,
      pingGuest: (signal) => vm.guest.ping(signal),
      diagnosis: {
        newProgram: (execId) =>
          new ProcessController({
            ...{ containerId: "vm-1", execId, flavour: vmPrograms(linuxProcesses), upstream: opener, clock },
            guest: { execute: (command, signal) => vm.execute(command, signal) },
          }),
        shareSteps: (share) => showFolder(share, { shares: () => vm.plan9, paths: posixPaths }),
        describeDevices: () => ({}),
      },
      newContainer: ({ id }) =>
        new LinuxContainerController({
          ...(id === "p1" ? { sharesRootReadOnly: true } : { anchor: () => pod.sandboxContainer?.anchor }),
          ...{ id, podId: "p1", bundle: "/bundle", guest: vm.guest, files, clock, layout: ordinaryGuestLayout },
          ...(id === "c1" ? { begunMounts: earlyMounts } : {}),
          disks: vm.scsi,
          shares: vm.plan9,
          devices: vm.vpci,
          warn: () => {},
          createProcess: (process) =>
            new ProcessController({ ...process, flavour: linuxProcesses, upstream: opener, clock }),
        }),
    });
    return pod;
  };
  const leftovers = (): readonly string[] => [
    ...service.leftovers(),
    ...guests.flatMap((guest) => guest.leftovers()),
    ...[...files.mounted].map((path) => `mount ${path}`),
    ...upstream.opened.filter(({ isClosed }) => !isClosed).map(() => "open stdio"),
    ...(vm.state.kind === "Terminated" ? [] : [`a VM that is ${vm.state.kind}`]),
  ];
  return { vm, document, newPod, leftovers };
}

interface ContainerRequest {
  readonly id: string;
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
}

/**
 * From the VM to the last exec and back. `endsContainer`: the container is deleted before the pod is stopped.
 * `makesContainer`: the pod has a sandbox container of its own.
 */
function podLife(context: CaseContext, endsContainer: boolean, makesContainer = false, root = layersMount): Play {
  const rootfs = [root];
  return podPlay(context, podOn(context, makesContainer, rootfs), async (pod, signal) => {
    const request = { id: "c1", spec: specification({ mounts, linux }), rootfs, stdio: pipes };
    const container = await pod.createContainer(request, signal);
    await container.init.start(signal);
    const spec = { args: ["ls"], cwd: "/" };
    const exec = await container.createProcess({ execId: "e", spec, stdio: pipes }, signal);
    await exec.start(signal);
    await exec.kill(9, signal);
    await exec.wait(signal);
    await container.deleteProcess("e");
    if (!endsContainer) return;
    await container.terminate(signal);
    await pod.deleteContainer("c1", signal);
  });
}

/** A pod that is diagnosed: a folder is shared, and programs of the VM itself end, or are still there when it stops. */
function diagnosedPod(context: CaseContext, endsPrograms: boolean): Play {
  return podPlay(
    context,
    podOn(context, false),
    async (pod, signal) => {
      const share = { hostPath: "/data", kind: "directory", guestPath: "/mnt/data", readOnly: true } as const;
      await pod.share(share, signal);
      await pod.share(share, signal);
      await pod.share({ hostPath: "/data/file", kind: "file", guestPath: "/mnt/file", readOnly: false }, signal);
      await pod.dumpStacks(signal);
      if (endsPrograms) await pod.executeInVm({ args: ["true"], workingDirectory: "", stdio: pipes }, signal);
    },
    async (pod) => {
      if (!endsPrograms) await leavePrograms(pod, "sleep");
    },
  );
}

const controller = "the whole stack";

export const stackScenarios: readonly Scenario[] = [
  {
    controller,
    name: "VM, pod, create-container, exec, delete, stop",
    hasBounds: true,
    begin: (context) => podLife(context, true),
  },
  {
    controller,
    name: "VM, pod, create-container, exec, and stop with all that runs",
    hasBounds: true,
    begin: (context) => podLife(context, false),
  },
  {
    controller,
    name: "VM, pod, create-container on a root that the host mounts while the VM starts, exec, delete, stop",
    hasBounds: true,
    begin: (context) => podLife(context, true, false, overlayMount),
  },
  {
    controller,
    name: "VM, pod with a sandbox container of its own, create-container, exec, and stop with all that runs",
    begin: (context) => podLife(context, false, true),
  },
  {
    controller,
    name: "VM, pod, two shares for diagnosis, a program of the VM, stop",
    hasBounds: true,
    begin: (context) => diagnosedPod(context, true),
  },
  {
    controller,
    name: "VM, pod, two shares for diagnosis, a cancelled program of the VM and one that runs, stop",
    hasBounds: true,
    begin: (context) => diagnosedPod(context, false),
  },
];
