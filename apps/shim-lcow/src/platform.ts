/** Wires the host's driver, the controllers and the Linux guest into the platform of the LCOW shim. */
import { randomBytes, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ContainerHostFiles, LinuxContainerController } from "@uvm-shim/controller-container";
import { Plan9Controller } from "@uvm-shim/controller-plan9";
import { PodController } from "@uvm-shim/controller-pod";
import { ProcessController } from "@uvm-shim/controller-process";
import { ScsiController } from "@uvm-shim/controller-scsi";
import { type DeviceWiring, type ScsiWiring, type VmComputeSystem, VmController } from "@uvm-shim/controller-vm";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import { type ComputeHost, connectEmulatedHost, createPosixHostFiles, resolveHost } from "@uvm-shim/hcs-bindings";
import { unlessGone } from "@uvm-shim/lifecycle";
import { buildLinuxSandbox } from "@uvm-shim/sandbox-lcow";
import type { ContainerRequest, Platform, PlatformContext, Sandbox, SandboxRequest } from "@uvm-shim/shim";

const owner = "containerd-shim-lcow-v2";

const clock = {
  now: () => new Date(),
  delay: async (milliseconds: number, signal: AbortSignal): Promise<void> => {
    await delay(milliseconds, undefined, { signal });
  },
};

/** The VM's id follows from the sandbox's, so that `delete` finds it after a crash. */
function vmId(namespace: string, sandboxId: string): string {
  return `${namespace}-${sandboxId}@vm`;
}

function connectHost(context: PlatformContext, startOnDemand: boolean): Promise<ComputeHost> {
  const { socketPath, mayStart } = resolveHost(context.env);
  const start = {
    command: join(context.executableDirectory, "..", "hcs-emulator"),
    env: emulatorEnvironment(context.env),
  };
  return connectEmulatedHost({ socketPath, startOnDemand, start: mayStart ? start : undefined });
}

/** The host is shared and outlives the shim: of the shim's environment it gets the path and its own settings. */
function emulatorEnvironment(env: NodeJS.ProcessEnv): { [name: string]: string } {
  const own = Object.entries(env).filter(([name]) => name === "PATH" || name.startsWith("UVM_SHIM_"));
  return Object.fromEntries(own.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

export function createLinuxPlatform(context: PlatformContext): Platform {
  let host: Promise<ComputeHost> | undefined;

  const connectedHost = (): Promise<ComputeHost> => {
    host ??= connectHost(context, true).catch((error: unknown) => {
      host = undefined;
      throw error;
    });
    return host;
  };

  async function createSandbox(request: SandboxRequest, signal?: AbortSignal): Promise<Sandbox> {
    const { document, settings, warnings } = buildLinuxSandbox({
      owner,
      annotations: request.annotations,
      host: {
        processors: availableParallelism(),
        hasFile: existsSync,
        joinPath: join,
        bootFiles: join(context.executableDirectory, "..", "LinuxBootFiles"),
      },
    });
    for (const warning of warnings) context.log.log("warn", warning);
    const computeHost = await connectedHost();
    const id = vmId(request.namespace, request.id);
    const vm = new VmController({
      id,
      host: computeHost,
      connectGuest,
      entropy: randomBytes,
      clock,
      onGuestLog: ({ level, message, fields }) => context.log.log(level, message, { source: "guest", ...fields }),
      devices: {
        scsi: (wiring: ScsiWiring<LinuxGuest>) => new ScsiController({ ...wiring, newId: randomUUID }),
        plan9: (wiring: DeviceWiring<LinuxGuest>) =>
          new Plan9Controller({
            ...wiring,
            newId: randomUUID,
            noWritableFileShares: settings.noWritableFileShares,
          }),
      },
    });
    await vm.create({ document }, signal);
    const files = createPosixHostFiles({ grantVmAccess: (path, abort) => computeHost.grantVmAccess(id, path, abort) });
    return new PodController({
      id: request.id,
      vm,
      clock,
      newContainer: (container: ContainerRequest) => newContainer(request.id, vm, files, container),
    });
  }

  function connectGuest(
    stream: Parameters<typeof LinuxGuest.connect>[0],
    system: VmComputeSystem,
    signal: AbortSignal,
  ): Promise<LinuxGuest> {
    const options = {
      listen: (port: number) => system.listen(port),
      newActivityId: randomUUID,
      delay: clock.delay,
      log: context.log,
    };
    return LinuxGuest.connect(stream, options, signal);
  }

  function newContainer(
    podId: string,
    vm: VmController<LinuxGuest, ScsiController, Plan9Controller>,
    files: ContainerHostFiles,
    { id, bundle }: ContainerRequest,
  ): LinuxContainerController {
    return new LinuxContainerController({
      id,
      podId,
      bundle,
      guest: vm.guest,
      disks: vm.scsi,
      shares: vm.plan9,
      files,
      clock,
      createProcess: (options) => new ProcessController({ ...options, upstream: context.upstreamStdio, clock }),
    });
  }

  async function cleanUp(request: { namespace: string; id: string; bundle: string }): Promise<void> {
    const files = createPosixHostFiles({ grantVmAccess: async () => {} });
    const outcomes = await Promise.allSettled([
      unlessGone(() => endVm(vmId(request.namespace, request.id))),
      files.unmountAll(join(request.bundle, "rootfs")),
    ]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  async function endVm(id: string): Promise<void> {
    const found = await connectHost(context, false);
    try {
      const system = await found.openComputeSystem(id);
      await unlessGone(() => system.terminate());
      await unlessGone(async () => void (await system.exited));
      await system.close();
    } finally {
      await found.close();
    }
  }

  return {
    os: "linux",
    createSandbox,
    cleanUp,
    close: async () => {
      const connected = await host?.catch(() => undefined);
      await connected?.close();
    },
  };
}
