import type { RootfsMount } from "@uvm-shim/container-common";
import { type FakeGuestProcess, FakeProcess, type StdioCount } from "@uvm-shim/container-common/testing";
import type { StdioPaths, WindowsProcessDescription } from "@uvm-shim/controller-process";
import type { WindowsProcessParameters } from "@uvm-shim/hcs-schema";
import { windowsPaths } from "@uvm-shim/lifecycle";
import { ManualClock, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { WindowsContainerController } from "../controller.ts";
import type { WindowsContainerOptions } from "../options.ts";
import { FakeGuest, type FakeGuestContainer } from "./guest.ts";
import {
  FakeAssignedDevices,
  FakeCims,
  FakeDisks,
  FakeFiles,
  FakeHostServices,
  FakePipes,
  FakeShares,
  FakeVm,
} from "./host.ts";

export { FakeGuestProcess } from "@uvm-shim/container-common/testing";
export { FakeGuest, FakeGuestContainer } from "./guest.ts";
export {
  FakeAssignedDevices,
  FakeCimDisks,
  FakeCims,
  FakeDisks,
  FakeFiles,
  FakeHostServices,
  FakePipes,
  FakeShares,
  FakeVm,
  layerGuid,
} from "./host.ts";

/** A client that wants none of the streams. */
export const noStdio: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** A root of layers in folders, which the bench's host has. */
export const layersMount: RootfsMount = {
  type: "windows-layer",
  source: "C:\\snapshots\\3",
  options: ["rw", `parentLayerPaths=${JSON.stringify(["C:\\snapshots\\2", "C:\\snapshots\\1"])}`],
};

/** A shortened specification of a container in pod p1, as containerd writes it; `annotations` come on top. */
export function specification({
  annotations,
  ...changes
}: {
  readonly annotations?: object;
  readonly [field: string]: unknown;
} = {}): { [field: string]: unknown } {
  return {
    ociVersion: "1.2.0",
    annotations: {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-id": "p1",
      ...annotations,
    },
    process: { args: ["ping", "-t", "localhost"], cwd: "C:\\", user: { uid: 0, gid: 0, username: "ContainerUser" } },
    root: { path: "" },
    windows: { layerFolders: [], hyperv: {} },
    ...changes,
  };
}

/** Files of the host that {@link layersMount} and the tests' mounts name. */
export function addHostFiles({ kinds, texts }: FakeFiles): void {
  for (const folder of ["C:\\snapshots\\1", "C:\\snapshots\\2", "C:\\snapshots\\3", "C:\\data", "C:\\drivers"]) {
    kinds.set(folder, "directory");
  }
  for (const layer of [1, 2]) kinds.set(`C:\\snapshots\\${layer}\\Files`, "directory");
  for (const file of ["C:\\snapshots\\3\\sandbox.vhdx", "C:\\data\\one.txt", "C:\\disks\\data.vhdx", deviceUtil]) {
    kinds.set(file, "file");
  }
  texts.set("C:\\data\\one.txt", "one");
}

/** Where the bench's host has device-util.exe. */
export const deviceUtil = "C:\\shim\\device-util.exe";

/** A container controller with fakes of host, guest and processes. */
export class ContainerBench {
  readonly files = new FakeFiles();
  readonly disks: FakeDisks;
  readonly shares: FakeShares;
  readonly pipes: FakePipes;
  readonly devices: FakeAssignedDevices;
  readonly cims: FakeCims;
  readonly vm: FakeVm;
  readonly services: FakeHostServices;
  readonly guest: FakeGuest;
  readonly clock: ManualClock;
  readonly controller: WindowsContainerController;
  readonly warnings: string[] = [];
  readonly #stdio: StdioCount = { open: 0 };

  constructor(script = new ScriptedCalls(), options: BenchOptions = {}) {
    const { clock = new ManualClock(), plan = {}, ...rest } = options;
    this.clock = clock;
    this.disks = new FakeDisks(script);
    this.shares = new FakeShares(script);
    this.pipes = new FakePipes(script);
    this.devices = new FakeAssignedDevices(script);
    this.cims = new FakeCims(script);
    this.vm = new FakeVm(script);
    this.services = new FakeHostServices(script);
    this.guest = new FakeGuest(script);
    this.guest.outcomes.set("children --parentID=", { exitCode: 0, output: "PCIROOT(0)#A,PCIROOT(0)#B\r\n" });
    addHostFiles(this.files);
    const { disks, shares, pipes, devices, cims, vm, services, guest } = this;
    this.controller = new WindowsContainerController({
      ...{ id: "c1", bundle: "C:\\bundle", guest, disks, shares, pipes, devices, cims, vm, services, clock },
      plan: {
        ...{ podId: "p1", role: "workload", podAnnotations: {}, processors: 8, paths: windowsPaths, files: this.files },
        pathGrammar: "windows",
        vm: { processors: 4, isConfidential: false, supportsHostProcesses: true, noWritableFileShares: false },
        deviceUtilPath: deviceUtil,
        ...plan,
      },
      warn: (sentence) => void this.warnings.push(sentence),
      createProcess: (process) =>
        new FakeProcess<WindowsProcessDescription, WindowsProcessParameters, number | string>(
          ...([process, script, this.#stdio] as const),
          (description, pipes) => ({ CommandLine: "", ...description, ...pipes }),
        ),
      ...rest,
    });
  }

  get guestContainer(): FakeGuestContainer {
    const container = this.guest.containers.at(-1);
    if (container === undefined) throw new Error("the guest has no container");
    return container;
  }

  get initProcess(): FakeGuestProcess {
    const process = this.guestContainer.processesRun[0];
    if (process === undefined) throw new Error("the guest's container has no process");
    return process;
  }

  async created(spec: unknown = specification(), rootfs: readonly RootfsMount[] = [layersMount]): Promise<this> {
    await this.controller.create({ spec, rootfs, stdio: noStdio });
    return this;
  }

  async running(spec: unknown = specification()): Promise<this> {
    await this.created(spec);
    await this.controller.init.start();
    return this;
  }

  /** What would be left on the host after the VM's end. */
  get hostLeftovers(): readonly string[] {
    const { services } = this;
    return [
      ...[...services.guards.keys()].map((id) => `guard of ${id}`),
      ...[...services.redirections.keys()].map((id) => `redirection of ${id}`),
      ...(this.#stdio.open === 0 ? [] : [`${this.#stdio.open} open stdio`]),
    ];
  }

  /** Everything on host and in guest that is not released. */
  get leftovers(): readonly string[] {
    const { disks, shares, pipes, devices, cims, guest } = this;
    const reserved = [disks, shares, pipes, devices, cims];
    return [
      ...this.hostLeftovers,
      ...reserved.flatMap((device) => [...device.reserved].map(([id, path]) => `${id} ${path}`)),
      ...reserved.flatMap((device) => [...device.mapped].map((id) => `mapped ${id}`)),
      ...[...guest.combined].map((path) => `combined ${path}`),
      ...[...guest.volumes.keys()].map((volume) => `volume ${volume}`),
      ...[...guest.running].map((id) => `running ${id}`),
      ...[...guest.known].map((id) => `known ${id}`),
    ];
  }
}

/** How a bench differs from the usual one. */
export interface BenchOptions extends Omit<Partial<WindowsContainerOptions>, "plan" | "clock"> {
  readonly clock?: ManualClock;
  readonly plan?: Partial<WindowsContainerOptions["plan"]>;
}
