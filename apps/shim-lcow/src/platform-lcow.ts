import { hostname } from "node:os";
import process from "node:process";
import { EarlyMounts, LinuxContainerController, type PodScratch } from "@uvm-shim/controller-container";
import { linuxNetworking, NetworkController, namedNetworkOf, PodNetwork } from "@uvm-shim/controller-network";
import { showFolder } from "@uvm-shim/controller-plan9";
import { PodController } from "@uvm-shim/controller-pod";
import { linuxProcesses, ProcessController, vmPrograms } from "@uvm-shim/controller-process";
import { systemClock as clock } from "@uvm-shim/lifecycle";
import {
  createHostFiles,
  createSandboxLogs,
  describeDevices,
  type HostConnection,
  hostPathGrammar,
  hostPlatform,
  joinNetwork,
  joinPodsControlGroup,
  hostPaths as paths,
  securityPolicyOf,
  vmIdOf,
  withBoundedLookups,
  withCopies,
  withHostFacts,
} from "@uvm-shim/platform-common";
import {
  buildLinuxSandbox,
  type ContainerLimits,
  ordinaryGuestLayout,
  policyGuestLayout,
} from "@uvm-shim/sandbox-lcow";
import {
  type ContainerRequest,
  type DeviceDescriptions,
  decodeRuntimeOptions,
  type Platform,
  type PlatformContext,
  randomUuid,
  type Sandbox,
  type SandboxRequest,
} from "@uvm-shim/shim";
import { cleanUp } from "./clean-up.ts";
import { makeLinuxVm } from "./linux-vm.ts";
import { planVm, takeReadyVm } from "./ready-vm.ts";
import { makeSandboxContainer, podSettings } from "./sandbox-container.ts";

/** Linux containers in utility VMs of this machine's compute service. */
export function createLcowPlatform(context: PlatformContext): Platform {
  return hostPlatform({ os: "linux", createSandbox, cleanUp, planVm }, context);
}

async function createSandbox(
  request: SandboxRequest,
  connection: HostConnection,
  context: PlatformContext,
  signal?: AbortSignal,
): Promise<Sandbox> {
  const { guestLog, upstreamStdio: upstream, executableDirectory, env } = context;
  const { runtimeOptions, annotations, bundle, spec: specification } = request;
  const options = runtimeOptions === undefined ? {} : await decodeRuntimeOptions(runtimeOptions);
  const { document, settings, warnings } = await withHostFacts(executableDirectory, env, (facts) =>
    buildLinuxSandbox({
      ...{ owner: "uvm-shim", bundle, annotations, specification, options, host: facts },
      pod: request.pod?.specification,
    }),
  );
  const logs = createSandboxLogs(request.id, context, { logLevel: settings.logLevel, warnings });
  const { warn } = logs;

  const { confidential, ioRetrySeconds } = settings;
  // Before the VM is created, since nothing would end it after an error.
  const pod = await podSettings(request, confidential !== undefined);
  const sandboxContainer = await makeSandboxContainer(request, {
    document,
    architecture: process.arch === "arm64" ? "arm64" : "x64",
    host: hostPathGrammar,
    hasPolicy: confidential !== undefined,
    defaultAnnotations: settings.defaultContainerAnnotations,
  });
  const layout =
    confidential === undefined
      ? ordinaryGuestLayout
      : policyGuestLayout(
          (text) => process.getBuiltinModule("node:crypto").hash("sha256", text, "hex"),
          atob(confidential.policy),
        );
  const { noWritableFileShares } = settings;
  // A VM with secrets has seen nobody before its pod.
  const taken =
    confidential === undefined
      ? await takeReadyVm({ document, noWritableFileShares, bundle }, context, signal)
      : undefined;
  const vmId = taken?.id ?? vmIdOf(request);
  const host = taken === undefined ? await connection.connect() : connection.takeOver(taken.host);
  const named = namedNetworkOf(request.spec, request.netnsPath);
  const policy = confidential && (await securityPolicyOf(confidential));
  const joining = joinNetwork(named, vmId, host, signal);
  const { namespaceId, hostPath } = await joining.catch(async (error: unknown) => {
    await taken?.vm.terminate();
    throw error;
  });
  const newId = randomUuid;
  const vm =
    taken?.vm ??
    makeLinuxVm({ id: vmId, host, layout, policy, guestLog, noWritableFileShares: () => noWritableFileShares });
  // A container may bring another namespace only after the container that holds the pod's network exists.
  const guestNamespaceId = namespaceId ?? vmId;
  const network = new PodNetwork({
    namespaceId,
    hostPath,
    newController: (id) => {
      const { host: nics, guest } = vm.networkWiring;
      const { policyBasedRouting } = settings;
      return new NetworkController({
        namespaceId: id,
        networks: host.networks,
        host: nics,
        guest: linuxNetworking({
          guest,
          namespaceId: guestNamespaceId,
          isHeld: () => holder() !== undefined,
          policyBasedRouting,
        }),
        warn,
        newId,
      });
    },
  });
  const grantVmAccess = (file: string, abort = signal): Promise<void> => host.grantVmAccess(vmId, file, abort);
  if (taken === undefined) {
    await withCopies(confidential?.copies ?? [], grantVmAccess, () => vm.create({ document }, signal));
  }
  const pid = context.servesOnePod ? process.pid : undefined;
  await joinPodsControlGroup(request, { vmId, host, pid, endVm: () => vm.terminate() }, signal);

  /** The container that holds the pod's namespaces. */
  const holderId = sandboxContainer?.id ?? request.id;
  const holder = () => sandbox.sandboxContainer ?? sandbox.container(holderId);
  const files = withBoundedLookups(createHostFiles({ grantVmAccess }), clock);
  const earlyMounts = new EarlyMounts(request, files);
  const podScratch: PodScratch | undefined = settings.shareScratch ? {} : undefined;
  type Pod = PodController<ContainerRequest, LinuxContainerController, ContainerLimits, DeviceDescriptions>;
  const sandbox: Pod = new PodController<
    ContainerRequest,
    LinuxContainerController,
    ContainerLimits,
    DeviceDescriptions
  >({
    id: request.id,
    vm,
    pingGuest: (abort) => vm.guest.ping(abort),
    pingHost: host.ping?.bind(host),
    clock,
    size: settings.size,
    warn,
    network: {
      prepare: ({ spec }, abort) => network.prepare(namedNetworkOf(spec), abort),
      teardown: (abort) => network.teardown(abort),
    },
    ...(sandboxContainer === undefined ? {} : { sandboxContainer }),
    earlyWork: earlyMounts,
    diagnosis: {
      newProgram: (execId) =>
        new ProcessController({
          ...{ containerId: vmId, execId, upstream, clock, flavour: vmPrograms(linuxProcesses) },
          guest: { execute: (command, abort) => vm.execute(command, abort) },
        }),
      shareSteps: (share) => showFolder(share, { shares: () => vm.plan9, paths }),
      describeDevices: () => describeDevices({ ...vm.madeDevices, network }),
    },
    newContainer: ({ id, bundle }) =>
      new LinuxContainerController({
        id,
        podId: request.id,
        sandboxId: holderId,
        ...(id === holderId ? { sharesRootReadOnly: id === sandboxContainer?.id } : { anchor: () => holder()?.anchor }),
        network: {
          namespaceId: id === holderId ? guestNamespaceId : newId(),
          hasInterfaces: () => network.hasInterfaces,
        },
        ...(pod === undefined ? {} : { pod }),
        // A security policy decides the host name itself.
        ...(confidential === undefined ? { hostName: hostname() } : {}),
        bundle,
        guest: vm.guest,
        disks: vm.scsi,
        shares: vm.plan9,
        // A getter, so that the controller is only made for a container with devices.
        get devices() {
          return vm.vpci;
        },
        files,
        ...(id === request.id ? { begunMounts: earlyMounts } : {}),
        layout,
        clock,
        encryptScratch: settings.encryptScratch,
        ...(podScratch === undefined ? {} : { podScratch }),
        defaultAnnotations: settings.defaultContainerAnnotations,
        gpuVhdPath: settings.gpuVhdPath,
        propagateNumaAffinity: settings.propagateNumaAffinity,
        warn: (sentence) => logs.warnOfRequest(sentence, { container: id }),
        createProcess: (options) =>
          new ProcessController({
            ...options,
            flavour: linuxProcesses,
            upstream,
            clock,
            ...logs.noticesOf(options, ioRetrySeconds),
          }),
      }),
  });
  return sandbox;
}
