/** Boots the agent as the emulated host does, in its own namespaces and cgroups, and talks to it as a host. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { type ContainerNotification, GcsBridgeClient, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { type LinuxProcessParameters, linuxVsockPorts, type OciProcess, type OciSpec } from "@uvm-shim/hcs-schema";
import { hostPortPath } from "@uvm-shim/host-protocol";
import {
  assignedDeviceFiles,
  assignedDeviceFolder,
  bootEnvironment,
  diskNode,
  guestFolders,
  hvsocketBaseName,
  powerDescriptor,
} from "@uvm-shim/host-protocol/guest";
import {
  attachLoop,
  type LoopDevice,
  makeBlockNode,
  makeCharNode,
  moveMount,
  openTree,
  withMountNamespace,
} from "@uvm-shim/linux-calls";
import { makeCgroups, removeCgroups } from "./cgroups.ts";
import { type Fixtures, packages } from "./fixtures.ts";
import {
  type Finished,
  finish,
  type ProcessHost,
  type RunningProcess,
  type StartParameters,
  startProcess,
} from "./running-process.ts";
import {
  bundleOf,
  containerTypeKey,
  namespacesOf,
  sandboxIdKey,
  skipPodNetworkKey,
  specificationFor,
} from "./specifications.ts";

const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';

let machines = 0;

/** The pod of containers that name no other. */
export const podId = "pod";

type Workload = [
  pod: string,
  id: string,
  process: Partial<OciProcess>,
  linux?: OciSpec["linux"],
  more?: Partial<OciSpec>,
];

/** An agent that is booted as a host boots it, and the host's end of its bridge. */
export class Machine implements ProcessHost {
  readonly fixtures: Fixtures;
  readonly logLines: string[] = [];
  readonly notifications: ContainerNotification[] = [];
  console = "";
  /** Leaves outputs open after their end, for a test to close them. */
  keepsOutputs = false;
  /** Milliseconds from the start of the first process until the agent reports that it is up. */
  bootTime = 0;
  readonly #folder: string;
  readonly #sockets: string;
  readonly #cgroups: readonly string[];
  readonly #servers: Server[] = [];
  readonly #loops: LoopDevice[] = [];
  #child: ChildProcess | undefined;
  #client: GcsBridgeClient | undefined;
  #sandbox: Promise<RunningProcess> | undefined;
  #unusedPort: number = linuxVsockPorts.firstStdio;

  private constructor(fixtures: Fixtures) {
    this.fixtures = fixtures;
    this.#folder = mkdtempSync(join(fixtures.folder, "machine-"));
    this.#sockets = join(this.#folder, "vsock");
    mkdirSync(this.#sockets);
    this.#cgroups = makeCgroups(`guest-agent-test-${process.pid}-${++machines}`);
  }

  static async boot(fixtures: Fixtures): Promise<Machine> {
    const machine = new Machine(fixtures);
    try {
      await machine.#listen(linuxVsockPorts.entropy, (socket) => socket.end(Buffer.alloc(512, 7)));
      await machine.#listen(linuxVsockPorts.log, (socket) => {
        let rest = "";
        socket.setEncoding("utf8").on("data", (text: string) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop() ?? "";
          machine.logLines.push(...lines);
        });
      });
      const bridge = machine.accept(linuxVsockPorts.gcs);
      await machine.#powerOn();
      machine.useBridge(await bridge);
      await machine.client.negotiate();
      return machine;
    } catch (error) {
      await machine.powerOff();
      await machine.removeCgroups();
      throw error;
    }
  }

  get client(): GcsBridgeClient {
    if (this.#client === undefined) throw new Error("the machine has no bridge");
    return this.#client;
  }

  useBridge(stream: Duplex): void {
    this.#client = new GcsBridgeClient(stream, {
      newActivityId: () => "11111111-1111-1111-1111-111111111111",
      onNotification: (notification) => this.notifications.push(notification),
    });
  }

  /** Restricts the machine to some devices, as the emulated host does with version 1 of control groups. */
  restrictDevices(rules: readonly string[]): void {
    const group = this.#cgroups.find((folder) => existsSync(join(folder, "devices.deny")));
    if (group === undefined) return;
    writeFileSync(join(group, "devices.deny"), "a");
    for (const rule of rules) writeFileSync(join(group, "devices.allow"), rule);
  }

  /** Makes the folder of an assigned device, as the emulated host does. */
  assignDevice(vmBusGuid: string, major: number, minor: number): void {
    withMountNamespace(this.init, () => {
      const folder = assignedDeviceFolder(vmBusGuid);
      mkdirSync(folder, { recursive: true });
      makeCharNode(join(folder, assignedDeviceFiles.node), major, minor, 0o600);
      writeFileSync(join(folder, assignedDeviceFiles.declaration), "declared\n");
    });
  }

  /** Pid of the agent on this machine. */
  get init(): number {
    const pid = this.#child?.pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
  }

  /** Limits the machine's memory, as the emulated host does. */
  limitMemory(bytes: number): void {
    for (const group of this.#cgroups) {
      for (const file of ["memory.limit_in_bytes", "memory.max"]) {
        if (existsSync(join(group, file))) writeFileSync(join(group, file), String(bytes));
      }
    }
  }

  /** Resolves when the machine has no process left. */
  readonly #off = Promise.withResolvers<number | null>();
  get off(): Promise<number | null> {
    return this.#off.promise;
  }

  async #powerOn(): Promise<void> {
    const parameters = {
      vsockDirectory: this.#sockets,
      image: this.fixtures.image,
      hostname: "uvm-test",
      kernelCommandLine: "console=none",
      memoryMb: 256,
      processors: 1,
    };
    const namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
    const command = [
      "unshare",
      "--fork",
      "--kill-child=KILL",
      ...namespaces,
      "--",
      process.execPath,
      "--disable-sigusr1",
      this.fixtures.agent,
    ];
    const entrances = this.#cgroups.map((group) => join(group, "cgroup.procs"));
    const started = performance.now();
    const child = spawn("/bin/sh", ["-c", enterAndRun, "sh", ...entrances, "--", ...command], {
      cwd: "/",
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        NODE_PATH: join(packages, "linux-calls/node_modules"),
        ...bootEnvironment(parameters),
      },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    this.#child = child;
    child.once("close", (code) => this.#off.resolve(code));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.console += text;
    });
    const power = child.stdio[powerDescriptor] as Duplex;
    power.on("error", () => {});
    await Promise.race([
      new Promise<void>((resolve) => power.once("data", () => resolve())),
      this.off.then(() => Promise.reject(new Error(`the agent did not boot: ${this.console}`))),
    ]);
    this.bootTime = performance.now() - started;
  }

  /** Cuts the power, as the emulated host does by closing its end. */
  async powerOff(): Promise<void> {
    if (this.#child === undefined) return;
    (this.#child.stdio[powerDescriptor] as Duplex).destroy();
    await this.off;
    for (const loop of this.#loops) loop.close();
    for (const server of this.#servers) server.close();
  }

  /** Removes the cgroups, which must be empty or become so within a second. */
  async removeCgroups(): Promise<void> {
    await removeCgroups(this.#cgroups);
  }

  async #listen(port: number, onConnection: (socket: Socket) => void): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      onConnection(socket);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(hostPortPath(this.hostSocket, port), resolve));
    return server;
  }

  /** The guest's next connection to a port. */
  async accept(port: number): Promise<Socket> {
    const { promise, resolve } = Promise.withResolvers<Socket>();
    const server = await this.#listen(port, (socket) => {
      server.close();
      rmSync(hostPortPath(this.hostSocket, port), { force: true });
      resolve(socket);
    });
    return promise;
  }

  /** A port for a stream of a process. */
  newPort(): number {
    return this.#unusedPort++;
  }

  get hostSocket(): string {
    return join(this.#sockets, hvsocketBaseName);
  }

  /** Attaches a folder as the emulated host attaches a Plan9 share, and mounts it in the guest. */
  async share(name: string, folder: string, mountPath: string, readOnly = false): Promise<void> {
    const tree = openTree(folder, { recursive: true });
    withMountNamespace(this.init, () => {
      const place = join(guestFolders.plan9Shares, name);
      mkdirSync(place);
      moveMount(tree, place);
    });
    closeSync(tree);
    await this.modify("Add", "MappedDirectory", {
      MountPath: mountPath,
      Port: 564,
      ShareName: name,
      ReadOnly: readOnly,
    });
  }

  attachDisk(path: string, lun: number): void {
    const loop = attachLoop({ path, readOnly: false });
    this.#loops.push(loop);
    withMountNamespace(this.init, () => {
      const node = diskNode(0, lun);
      mkdirSync(dirname(node), { recursive: true });
      makeBlockNode(node, loop.major, loop.minor, 0o600);
    });
  }

  async modify(RequestType: "Add" | "Remove", ResourceType: string, Settings: object): Promise<void> {
    await this.client.request("modifySettings", uvmContainerId, { Request: { RequestType, ResourceType, Settings } });
  }

  /** Shares a fresh copy of the root file system and makes a workload on it, in the machine's pod. */
  async createContainer(
    id: string,
    process: Partial<OciProcess>,
    linux: OciSpec["linux"] = {},
    more: Partial<OciSpec> = {},
  ): Promise<void> {
    this.#sandbox ??= this.createPod(podId);
    const { pid } = await this.#sandbox;
    await this.createWorkload(podId, id, process, { namespaces: namespacesOf(pid), ...linux }, more);
  }

  /** Makes and starts a sandbox container without NICs. */
  async createPod(id: string, more: Partial<OciSpec> = {}, bundle = bundleOf(id)): Promise<RunningProcess> {
    const rootfs = await this.shareRoot(id, bundle);
    const annotations = { [containerTypeKey]: "sandbox", [skipPodNetworkKey]: "true", ...more.annotations };
    const spec = specificationFor(rootfs, { args: ["sleep", "1000000"] });
    // A namespace of its own, since a namespace belongs to one sandbox for ever.
    const windows = { network: { networkNamespace: id } };
    await this.create(id, { ...spec, windows, ...more, annotations }, { bundle });
    return await this.execute(id);
  }

  async createWorkload(...workload: Workload): Promise<void> {
    const [, id] = workload;
    await this.createWorkloadOf(await this.shareRoot(id), ...workload);
  }

  /** Makes a workload on a root file system that is shared already. */
  async createWorkloadOf(rootfs: string, ...[pod, id, process, linux = {}, more = {}]: Workload): Promise<void> {
    const annotations = { [containerTypeKey]: "container", [sandboxIdKey]: pod, ...more.annotations };
    await this.create(id, { ...specificationFor(rootfs, process, linux), hostname: "", ...more, annotations });
  }

  /** Shares a fresh copy of the root file system; returns its path in the guest. */
  async shareRoot(id: string, bundle = bundleOf(id), readOnly = false): Promise<string> {
    const rootfs = join(this.#folder, id);
    execFileSync("cp", ["-a", this.fixtures.rootfs, rootfs]);
    await this.share(`root-${id}`, rootfs, `${bundle}/rootfs`, readOnly);
    return `${bundle}/rootfs`;
  }

  /** Removes the root, as the host does before it deletes the container's state. */
  async unshareRoot(id: string, bundle = bundleOf(id)): Promise<void> {
    await this.modify("Remove", "MappedDirectory", { MountPath: `${bundle}/rootfs`, ShareName: `root-${id}` });
  }

  /** Deletes a container's root and state, in the order of a host. */
  async deleteContainer(id: string): Promise<void> {
    await this.unshareRoot(id);
    await this.client.request("deleteContainerState", id, {});
  }

  /** Sends the two messages with which a host creates a container. */
  async create(id: string, spec: OciSpec, { bundle = bundleOf(id), scratch = "" } = {}): Promise<void> {
    const settings = {
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: bundle,
      ScratchDirPath: scratch,
      OciSpecification: spec,
    };
    await this.client.request("create", id, { ContainerConfig: JSON.stringify(settings) });
    await this.client.request("start", id, {});
  }

  /** Starts a process with the pipes that the parameters request. */
  async execute(id: string, parameters: StartParameters = {}): Promise<RunningProcess> {
    return await startProcess(this, id, parameters);
  }

  /** Runs a process of the VM to its end. */
  async inGuest(args: readonly string[], parameters: Partial<LinuxProcessParameters> = {}): Promise<Finished> {
    return await finish(await this.execute(uvmContainerId, { CommandArgs: args, ...parameters }));
  }

  /** Runs a container to its end and removes it. */
  async run(
    id: string,
    args: readonly string[],
    linux: OciSpec["linux"] = {},
    more: Partial<OciSpec> = {},
  ): Promise<Finished> {
    await this.createContainer(id, { args }, linux, more);
    const finished = await finish(await this.execute(id));
    await this.deleteContainer(id);
    return finished;
  }
}
