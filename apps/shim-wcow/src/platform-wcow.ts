import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import path from "node:path";
import process from "node:process";
import { BlockCimController, WindowsContainerController } from "@uvm-shim/controller-container-wcow";
import { NetworkController, PodNetwork, windowsNetworking } from "@uvm-shim/controller-network";
import { PodController } from "@uvm-shim/controller-pod";
import { ProcessController, vmPrograms, windowsProcesses } from "@uvm-shim/controller-process";
import {
  ScsiController,
  type WindowsDiskMount,
  type WindowsScsiGuest,
  windowsGuestDisks,
} from "@uvm-shim/controller-scsi";
import { VmController } from "@uvm-shim/controller-vm";
import { VpciController } from "@uvm-shim/controller-vpci";
import { PipeController, showFolder, VsmbController } from "@uvm-shim/controller-vsmb";
import { WindowsGuest } from "@uvm-shim/guest-wcow";
import type { ComputeHost, WindowsGuestServices } from "@uvm-shim/hcs-bindings";
import { utcTimeZone } from "@uvm-shim/hcs-schema";
import { ControllerError, systemClock as clock } from "@uvm-shim/lifecycle";
import {
  createSandboxLogs,
  describeDevices,
  guestConnectionOptions,
  type HostConnection,
  hostBuild,
  hostPathGrammar,
  hostPlatform,
  joinNetwork,
  joinPodsControlGroup,
  hostPaths as paths,
  securityPolicyOf,
  vmIdOf,
  withHostFacts,
} from "@uvm-shim/platform-common";
import { annotationsOf, buildWindowsSandbox, type ContainerLimits, sandboxRole } from "@uvm-shim/sandbox-wcow";
import {
  type ContainerRequest,
  type DeviceDescriptions,
  decodeRuntimeOptions,
  type Platform,
  type PlatformContext,
  type Sandbox,
  type SandboxRequest,
} from "@uvm-shim/shim";
import { cleanUp } from "./clean-up.ts";
import { configuredVm, creatingInTurn } from "./guest-set-up.ts";
import { withPreparation } from "./host-preparation.ts";
import { ownNamespaces, windowsNetworkOf } from "./own-namespaces.ts";
import { planFiles } from "./plan-files.ts";
import { vmOfPod } from "./vm-of-pod.ts";

/** Windows containers in utility VMs of this machine's compute service. */
export function createWcowPlatform(context: PlatformContext): Platform {
  return hostPlatform({ os: "windows", createSandbox, cleanUp }, context);
}

type Disks = ScsiController<WindowsScsiGuest, WindowsDiskMount>;

/** What shares files and pipes of the host with a guest. */
interface Sharing {
  readonly shares: VsmbController;
  readonly pipes: PipeController;
}

async function createSandbox(
  request: SandboxRequest,
  connection: HostConnection,
  context: PlatformContext,
  signal?: AbortSignal,
): Promise<Sandbox> {
  const host = await connection.connect();
  const { guestLog, upstreamStdio: upstream, executableDirectory, env } = context;
  const { runtimeOptions, annotations, bundle, spec: specification, rootfs = [] } = request;
  const options = runtimeOptions === undefined ? {} : await decodeRuntimeOptions(runtimeOptions);
  const services = servicesOf(host, request.id);
  const vmId = vmIdOf(request);
  const { document, settings, warnings } = await withHostFacts(executableDirectory, env, (facts) =>
    buildWindowsSandbox({
      ...{ owner: "uvm-shim", vmId, bundle, annotations, specification, rootfs, options, host: facts },
    }),
  );
  const isPod = request.makesContainer || sandboxRole(annotations, request.id) === "pod";
  const logs = createSandboxLogs(request.id, context, { logLevel: settings.logLevel, warnings });
  const { warn } = logs;

  const { confidential, preparation, ioRetrySeconds } = settings;
  const policy = confidential && (await securityPolicyOf(confidential));
  const timeZone = settings.inheritsTimeZone ? await services.timeZone(signal) : utcTimeZone;
  const named = windowsNetworkOf(request.spec, request.netnsPath);
  const { namespaceId, hostPath } = await joinNetwork(named, vmId, host, signal);
  const newId = randomUUID;
  const vm = new VmController<WindowsGuest, Disks, never, VpciController, Sharing>({
    id: vmId,
    host,
    clock,
    flavour: configuredVm({ settings, policy, warn }),
    onGuestLog: ({ level, message, fields }) => guestLog.log(level, message, { guest: vmId, ...fields }),
    connectGuest: async (stream, system, abort) => {
      const parts = { ...guestConnectionOptions({ system, guestLog }), timeZone };
      const guest = await WindowsGuest.connect(stream, parts, abort);
      return confidential === undefined ? guest : creatingInTurn(guest);
    },
    devices: {
      scsi: (wiring) => new ScsiController({ ...wiring, newId, paths, guestDisks: windowsGuestDisks }),
      vsmb: ({ id, host: devices, names }) => {
        const { noWritableFileShares, noDirectMap } = settings;
        return {
          shares: new VsmbController({ id, host: devices, newId, paths, names, noWritableFileShares, noDirectMap }),
          pipes: new PipeController({ id, host: devices, newId }),
        };
      },
      vpci: ({ id, host: devices }) => new VpciController({ id, host: devices, newId, newGuid: randomUUID }),
    },
  });
  const network = new PodNetwork({
    namespaceId,
    hostPath,
    newController: (id) => {
      const { host: nics, guest } = vm.networkWiring;
      const { networks } = host;
      const inGuest = windowsNetworking({ guest, networks });
      return new NetworkController({ namespaceId: id, networks, host: nics, guest: inGuest, warn, newId });
    },
  });
  const grantVmAccess = (file: string, abort = signal): Promise<void> => host.grantVmAccess(vmId, file, abort);
  const create = (): Promise<void> => vm.create({ document }, signal);
  await withPreparation(preparation, bundle, { grantVmAccess, services }, create, signal);
  const podVm = vmOfPod(vm, { bundle, preserved: confidential?.preserved, warn });
  const pid = context.servesOnePod ? process.pid : undefined;
  await joinPodsControlGroup(request, { vmId, host, pid, endVm: () => podVm.terminate() }, signal);

  const files = planFiles({ grantVmAccess }, clock);
  const cims = new BlockCimController({
    ...{ id: vmId, disks: vm.scsi, guest: () => vm.guest, vm: { grantVmAccess }, paths },
    ...{ newId, newGuid: randomUUID },
  });
  const namespaces = ownNamespaces(host.networks, network);
  const build = hostBuild();
  const { processors, processDumpLocation, noWritableFileShares, disablesHostProcess } = settings;
  return new PodController<ContainerRequest, WindowsContainerController, ContainerLimits, DeviceDescriptions>({
    id: request.id,
    vm: podVm,
    pingGuest: (abort) => vm.guest.ping(abort),
    pingHost: host.ping?.bind(host),
    clock,
    size: settings.size,
    warn,
    network: {
      open: (abort) => network.prepare(named, abort),
      prepare: ({ spec }, abort) => network.prepare(windowsNetworkOf(spec), abort),
      teardown: (abort) => network.teardown(abort),
    },
    diagnosis: {
      newProgram: (execId) =>
        new ProcessController({
          ...{ containerId: vmId, execId, upstream, clock, flavour: vmPrograms(windowsProcesses) },
          guest: { execute: (command, abort) => vm.execute(command, abort) },
        }),
      shareSteps: (share) => showFolder(share, { shares: () => vm.vsmb.shares, guest: () => vm.guest }),
      describeDevices: () => {
        const { vsmb: sharing, ...devices } = vm.madeDevices;
        return describeDevices({ ...devices, vsmb: sharing?.shares, pipes: sharing?.pipes, network });
      },
    },
    newContainer: ({ id, bundle: own }) => {
      const { guest, vsmb } = vm;
      return new WindowsContainerController({
        ...{ id, bundle: own, guest, services, namespaces, clock },
        plan: {
          podId: request.id,
          role: isPod ? "workload" : "standalone",
          podAnnotations: { ...annotationsOf(options), ...annotations },
          vm: {
            ...{ processors, processDumpLocation, noWritableFileShares },
            isConfidential: confidential !== undefined,
            supportsHostProcesses: guest.supportsHostProcessContainers && !disablesHostProcess,
          },
          processors: availableParallelism(),
          runtimeOptions: options,
          ...(build === undefined ? {} : { build }),
          paths,
          pathGrammar: hostPathGrammar,
          files,
          deviceUtilPath: path.join(executableDirectory, "device-util.exe"),
        },
        disks: vm.scsi,
        cims,
        shares: vsmb.shares,
        pipes: vsmb.pipes,
        // A getter, so that the controller is only made for a container with devices.
        get devices() {
          return vm.vpci;
        },
        vm: {
          runtimeId: vm.runtimeId,
          grantVmAccess,
          updateHvSocketService: (service, config, abort) =>
            vm.networkWiring.host.updateHvSocketService(service, config, abort),
        },
        warn: (sentence) => logs.warnOfRequest(sentence, { container: id }),
        createProcess: (process) =>
          new ProcessController({
            ...process,
            flavour: windowsProcesses,
            upstream,
            clock,
            ...logs.noticesOf(process, ioRetrySeconds),
          }),
      });
    },
  });
}

function servicesOf({ windows }: ComputeHost, id: string): WindowsGuestServices {
  if (windows !== undefined) return windows;
  const message = "this host does not serve Windows guests";
  throw new ControllerError("Unimplemented", message, { operation: "create sandbox", id });
}
