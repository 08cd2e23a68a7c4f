/** Boots the agent as the emulated host does, in namespaces and cgroups of its own, and talks to it as a host. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { type ContainerNotification, GcsBridgeClient } from "@uvm-shim/gcs-bridge";
import { WindowsGuest } from "@uvm-shim/guest-wcow";
import { type TimeZoneInformation, utcTimeZone, vsockServiceGuid, windowsHvsocketServices } from "@uvm-shim/hcs-schema";
import { hostServicePath } from "@uvm-shim/host-protocol";
import {
  bootEnvironment,
  diskNode,
  guestFolders,
  hvsocketBaseName,
  pipeSocket,
  powerDescriptor,
} from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import {
  attachLoop,
  type LoopDevice,
  makeBlockNode,
  moveMount,
  openTree,
  setMountReadOnly,
  withMountNamespace,
} from "@uvm-shim/linux-calls";
import { baseLayer, makeTemplate } from "../base-layer/base-layer.ts";
import { wineRoot } from "../wine.ts";

const enterAndRun = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 125; shift; done; shift; exec "$@"';
const programs = "sh unshare nsenter setpriv mount umount chroot hostname sed cat mkdir rm ln ip mkfs.ext4".split(" ");
const cgroupRoot = "/sys/fs/cgroup";
const bootFile = "UtilityVM/Files/EFI/Microsoft/Boot/bootmgfw.efi";
const scratchBytes = 256 * 1024 * 1024;

export const vsmbPath = (name: string): string => `\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\${name}`;

export interface MachineOptions {
  readonly memoryMb?: number;
  readonly processors?: number;
}

let machines = 0;

export class TestMachine {
  /** Of this machine, for layers and shares. */
  readonly folder = mkdtempSync(join(tmpdir(), "windows-machine-"));
  readonly logLines: string[] = [];
  readonly warnings: string[] = [];
  readonly notifications: ContainerNotification[] = [];
  console = "";
  readonly #options: MachineOptions;
  readonly #groups: readonly string[];
  readonly #servers: Server[] = [];
  readonly #loops: LoopDevice[] = [];
  #child: ChildProcess | undefined;
  #ended: Promise<number | null> = Promise.resolve(null);
  #guest: WindowsGuest | undefined;
  #client: GcsBridgeClient | undefined;

  private constructor(options: MachineOptions) {
    this.#options = options;
    mkdirSync(join(this.folder, "vsock"));
    this.#groups = makeGroups(`guest-agent-windows-test-${process.pid}-${++machines}`);
  }

  static async boot(options: MachineOptions = {}): Promise<TestMachine> {
    const machine = new TestMachine(options);
    try {
      await machine.#powerOn();
      const scratch = join(machine.folder, "vm.vhdx");
      await makeTemplate(scratch, scratchBytes);
      machine.attachDisk(scratch, 0);
      return machine;
    } catch (error) {
      await machine.powerOff();
      throw error;
    }
  }

  get guest(): WindowsGuest {
    if (this.#guest === undefined) throw new Error("the machine has no bridge");
    return this.#guest;
  }

  /** A client that says what no guest of the shim says. */
  async connectPlainly(): Promise<GcsBridgeClient> {
    const client = new GcsBridgeClient(await this.accept(windowsHvsocketServices.gcs), {
      newActivityId: () => "11111111-2222-3333-4444-555555555555",
      onNotification: (notification) => this.notifications.push(notification),
    });
    this.#client = client;
    return client;
  }

  /** The plain client. */
  get client(): GcsBridgeClient {
    if (this.#client === undefined) throw new Error("the machine has no plain client");
    return this.#client;
  }

  async connect(timeZone: TimeZoneInformation = utcTimeZone): Promise<WindowsGuest> {
    const stream = await this.accept(windowsHvsocketServices.gcs);
    this.#guest = await WindowsGuest.connect(stream, {
      newActivityId: () => "11111111-2222-3333-4444-555555555555",
      listen: async (port) => this.#listener(vsockServiceGuid(port)),
      log: { log: (_, message, fields) => this.warnings.push(`${message} ${JSON.stringify(fields)}`) },
      delay: (milliseconds, signal) => delay(milliseconds, signal),
      timeZone,
    });
    return this.#guest;
  }

  /** Resolves with the agent's exit code. */
  get off(): Promise<number | null> {
    return this.#ended;
  }

  /** Pid of the agent on this machine. */
  get init(): number {
    const pid = this.#child?.pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
  }

  /** The guest's next connection to a service. */
  async accept(service: string): Promise<Socket> {
    const listener = await this.#listener(service);
    return (await listener.accept()) as Socket;
  }

  attachDisk(path: string, lun: number): void {
    const loop = attachLoop({ path, readOnly: false });
    this.#loops.push(loop);
    withMountNamespace(this.init, () => {
      mkdirSync(dirname(diskNode(0, lun)), { recursive: true });
      makeBlockNode(diskNode(0, lun), loop.major, loop.minor, 0o600);
    });
  }

  /** Makes a folder of this machine a VSMB share. */
  share(name: string, path: string, isReadOnly = true): void {
    this.#attach(path, join(guestFolders.vsmbShares, name), true, isReadOnly);
  }

  mapPipe(name: string, socket: string): void {
    this.#attach(socket, pipeSocket(name), false, false);
  }

  /** Shares the base layer, and makes an empty scratch disk the root of a container on it. */
  async makeRoot(lun: number, layers: readonly string[] = []): Promise<string> {
    const disk = join(this.folder, `scratch-${lun}.vhdx`);
    await makeTemplate(disk, scratchBytes);
    this.attachDisk(disk, lun);
    const place = `C:\\mounts\\scsi\\0_${lun}_0`;
    await this.guest.mountDisk({ ContainerPath: place, Lun: lun });
    const all = [...layers, await baseLayer()];
    const Layers = all.map((path, index) => {
      const name = `s${lun}${index}`;
      this.share(name, path);
      return { Id: `00000000-0000-4000-8000-0000000000${String(index).padStart(2, "0")}`, Path: vsmbPath(name) };
    });
    await this.guest.addCombinedLayers({ ContainerRootPath: place, Layers });
    return place;
  }

  /** Cuts the power, and removes everything of the machine. */
  async powerOff(): Promise<void> {
    await this.#guest?.close();
    await this.#client?.close();
    const child = this.#child;
    if (child !== undefined) {
      (child.stdio[powerDescriptor] as Duplex).destroy();
      await this.#ended;
    }
    for (const loop of this.#loops) loop.close();
    for (const server of this.#servers) server.close();
    await removeGroups(this.#groups);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #powerOn(): Promise<void> {
    const layer = await baseLayer();
    const parameters = {
      vsockDirectory: join(this.folder, "vsock"),
      image: makeImage(join(this.folder, "image")),
      hostname: "uvm-test",
      kernelCommandLine: "",
      memoryMb: this.#options.memoryMb ?? 1024,
      processors: this.#options.processors ?? 2,
      windows: { os: join(layer, "UtilityVM/Files"), wine: wineRoot() },
    };
    const namespaces = ["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup"];
    const unshare = ["unshare", "--fork", "--kill-child=KILL", ...namespaces, "--"];
    const command = [...unshare, process.execPath, "--disable-sigusr1", join(layer, bootFile)];
    const entrances = this.#groups.map((group) => join(group, "cgroup.procs"));
    const child = await startProgram("/bin/sh", ["-c", enterAndRun, "sh", ...entrances, "--", ...command], {
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...bootEnvironment(parameters) },
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#ended = once(child, "close").then(([code]) => code as number | null);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.console += text;
    });
    const power = child.stdio[powerDescriptor] as Duplex;
    power.on("error", () => {});
    await Promise.race([
      once(power, "data"),
      this.#ended.then(() => Promise.reject(new Error(`the agent did not boot: ${this.console}`))),
    ]);
  }

  async #listener(service: string) {
    const accepted: Socket[] = [];
    const waiting: ((socket: Socket) => void)[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      const next = waiting.shift();
      if (next === undefined) accepted.push(socket);
      else next(socket);
    });
    this.#servers.push(server);
    const path = hostServicePath(join(this.folder, "vsock", hvsocketBaseName), service);
    server.listen(path);
    await once(server, "listening");
    return {
      accept: (signal?: AbortSignal): Promise<Duplex> => {
        const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
        const socket = accepted.shift();
        if (socket !== undefined) resolve(socket);
        else waiting.push(resolve);
        signal?.addEventListener("abort", () => reject(signal.reason));
        return promise;
      },
      close: async () => {
        server.close();
        rmSync(path, { force: true });
      },
    };
  }

  #attach(path: string, place: string, isFolder: boolean, isReadOnly: boolean): void {
    const tree = openTree(path, { recursive: true });
    try {
      if (isReadOnly) setMountReadOnly(tree, true);
      withMountNamespace(this.init, () => {
        if (isFolder) mkdirSync(place, { recursive: true });
        else writeFileSync(place, "");
        moveMount(tree, place);
      });
    } finally {
      closeSync(tree);
    }
  }
}

function makeImage(image: string): string {
  const folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  const found = programs.map((name) => {
    const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
    if (path === undefined) throw new Error(`these tests need ${name}`);
    return path;
  });
  const output = execFileSync(
    "ldd",
    found.map((path) => realpathSync(path)),
    { encoding: "utf8" },
  );
  const libraries = [...output.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] as string);
  for (const file of new Set([...found, ...libraries])) {
    const target = join(image, file.startsWith("/usr/") ? file : `/usr${file}`);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
  mkdirSync(join(image, "etc"));
  writeFileSync(join(image, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  return image;
}

function makeGroups(name: string): readonly string[] {
  const bases = existsSync(join(cgroupRoot, "cgroup.procs"))
    ? [cgroupRoot]
    : readdirSync(cgroupRoot).map((entry) => join(cgroupRoot, entry));
  return bases.map((base) => {
    const group = join(base, name);
    mkdirSync(group);
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (existsSync(join(group, file))) writeFileSync(join(group, file), readFileSync(join(base, file)));
    }
    return group;
  });
}

async function removeGroups(groups: readonly string[]): Promise<void> {
  for (const group of groups.flatMap((root) => groupsBelow(root).toReversed())) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        rmdirSync(group);
        break;
      } catch (error) {
        if (attempt === 100) throw error;
        await delay(10);
      }
    }
  }
}

function groupsBelow(folder: string): string[] {
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [folder, ...below.flatMap((entry) => groupsBelow(join(folder, entry.name)))];
}
