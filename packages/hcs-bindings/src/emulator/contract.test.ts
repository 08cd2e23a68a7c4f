import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, getPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type ContractHost, describeComputeHostContract } from "../testing/contract.ts";
import { type ContractNetworks, describeNetworkContract } from "../testing/network-contract.ts";
import { allSpellings, RespellingProxy, type Spelling } from "../testing/respelling.ts";
import type { ComputeHost } from "../types.ts";
import { connectEmulatedHost } from "./emulated-host.ts";

const describeReal = describeWith("root", "crun");

const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** An emulated host in its own directory, started on demand as by a shim. */
class RealEmulator implements ContractHost {
  readonly #directory = mkdtempSync(join(tmpdir(), "host-"));
  readonly stateDirectory = join(this.#directory, "state");
  readonly #kernel = join(this.#directory, "kernel");
  readonly #devices = join(this.#directory, "devices.json");
  readonly assignableDevice = "PCIP\\VEN_1234&DEV_5678";
  readonly memoryMb = 512;
  /** A command that runs the program, if any. */
  wrapper: readonly string[] = [];
  readonly #spelling: Spelling | undefined;
  #proxy: RespellingProxy | undefined;
  #files = 0;

  /** @param spelling the case of names in the host's documents; unchanged if absent. */
  constructor(spelling?: Spelling) {
    this.#spelling = spelling;
    writeFileSync(this.#kernel, `${processGuestKernel}\n`);
    const devices = [{ instancePath: this.assignableDevice, functions: 2 }];
    writeFileSync(this.#devices, JSON.stringify({ devices }));
  }

  async connect(): Promise<ComputeHost> {
    if (this.#spelling === undefined) return await this.#connect();
    // Starts the host if it does not run.
    const direct = await this.#connect();
    const socketPath = join(this.#directory, "proxy.sock");
    this.#proxy ??= await RespellingProxy.start(socketPath, join(this.stateDirectory, "host.sock"), this.#spelling);
    const host = await connectEmulatedHost({ socketPath });
    await direct.close();
    return host;
  }

  #connect(): Promise<ComputeHost> {
    const remember = `echo $$ >>${this.#directory}/pids; exec "$@"`;
    return connectEmulatedHost({
      socketPath: join(this.stateDirectory, "host.sock"),
      start: {
        command: "/bin/sh",
        args: ["-c", remember, "sh", ...this.wrapper, process.execPath, sourceOf("host-emulator/src/main.ts")],
        env: { [hostVariables.idleMs]: "5000", [hostVariables.devices]: this.#devices },
      },
    });
  }

  document(options: { readonly owner: string; readonly endsWithLastHandle: boolean }) {
    const boot = { KernelFilePath: this.#kernel, InitRdPath: sourceOf("guest-agent/src/main.ts") };
    return {
      Owner: options.owner,
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: options.endsWithLastHandle,
      VirtualMachine: {
        Chipset: { LinuxKernelDirect: boot },
        ComputeTopology: { Memory: { SizeInMB: this.memoryMb }, Processor: { Count: 1 } },
        Devices: { Plan9: {}, VirtualSmb: {}, Scsi: { [scsiControllerGuids[0]]: {} } },
      },
    };
  }

  makeDisk(): string {
    this.#files++;
    const path = join(this.#directory, `disk-${this.#files}`);
    writeFileSync(path, Buffer.alloc(64 * 1024));
    return path;
  }

  makeDirectory(): string {
    this.#files++;
    const path = join(this.#directory, `directory-${this.#files}`);
    mkdirSync(path);
    return path;
  }

  makeFile(directory: string): string {
    this.#files++;
    const path = join(directory, `file-${this.#files}`);
    writeFileSync(path, "");
    return path;
  }

  async loseService(): Promise<void> {
    for (const pid of this.running()) process.kill(pid, "SIGKILL");
  }

  async dispose(): Promise<void> {
    // A killed host removes nothing; the next one removes its leftovers.
    await (await this.#connect()).close();
    await this.#proxy?.close();
    for (const pid of this.running()) process.kill(pid, "SIGTERM");
    await vi.waitFor(() => expect(this.running()).toEqual([]), { timeout: 10_000 });
    expect(existsSync(join(this.stateDirectory, "host.sock"))).toBe(false);
    expect(existsSync(join(this.stateDirectory, "vm"))).toBe(false);
    rmSync(this.#directory, { recursive: true });
  }

  /** Pids of running emulators of this test. */
  running(): readonly number[] {
    const list = join(this.#directory, "pids");
    if (!existsSync(list)) return [];
    return readFileSync(list, "utf8")
      .trim()
      .split("\n")
      .map(Number)
      .filter((pid) => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z "));
  }
}

describeReal("the contract", () => {
  describeComputeHostContract("emulator driver and emulated host", async () => new RealEmulator());
  describeComputeHostContract(
    "emulator driver and emulated host, answers in swapped case",
    async () => new RealEmulator("swapped"),
  );
});

describeWith(
  "root",
  "crun",
  "ip",
)("the contract", () => {
  const networksOf = (spelling?: Spelling) => async (): Promise<ContractNetworks> => {
    const emulator = new RealEmulator(spelling);
    const host = await emulator.connect();
    const document = emulator.document({ owner: "contract", endsWithLastHandle: true });
    const system = await host.createComputeSystem("networks", document);
    await system.start();
    const nic = (RequestType: "Add" | "Remove", id: string, Settings: object): Promise<void> =>
      system.modify({ ResourcePath: resourcePaths.networkAdapter(id), RequestType, Settings });
    return {
      networks: host.networks,
      addNic: (id, adapter) => nic("Add", id, adapter),
      removeNic: (id, adapter) => nic("Remove", id, adapter),
      dispose: async () => {
        await system.terminate();
        await host.close();
        await emulator.dispose();
      },
    };
  };

  describeNetworkContract("emulator driver and emulated host", networksOf());
  for (const spelling of allSpellings) {
    const name = `emulator driver and emulated host, answers in ${spelling} case`;
    describeNetworkContract(name, networksOf(spelling));
  }
});

describeReal("the emulated host as a program", () => {
  let emulator: RealEmulator;
  beforeAll(() => {
    emulator = new RealEmulator();
  });
  afterAll(() => emulator.dispose());

  const document = { owner: "program", endsWithLastHandle: true };

  it("is started only once by several clients at a time", async () => {
    const hosts = await Promise.all([1, 2, 3, 4].map(() => emulator.connect()));
    const [first, ...others] = hosts;
    const system = await first?.createComputeSystem("shared", emulator.document(document));
    for (const other of others) expect(await other.enumerateComputeSystems()).toMatchObject([{ Id: "shared" }]);
    await system?.close();
    for (const host of hosts) await host.close();
  });

  it("has the highest priority on the machine, like a hypervisor, but its guests do not", async () => {
    const host = await emulator.connect();
    const system = await host.createComputeSystem("priorities", emulator.document(document));
    await system.start();
    const [pid = 0] = emulator.running();
    const childrenOf = (parent: number): readonly number[] =>
      readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    const guest = childrenOf(pid).flatMap((launcher) => [launcher, ...childrenOf(launcher)]);
    const threads = guest.flatMap((one) => readdirSync(`/proc/${one}/task`).map(Number));
    expect(threads.length).toBeGreaterThan(2);
    expect(getPriority(pid)).toBe(constants.priority.PRIORITY_HIGHEST);
    expect(new Set(threads.map((thread) => getPriority(thread)))).toEqual(new Set([getPriority()]));
    await system.terminate();
    await host.close();
  });

  it("keeps its priority if it may not raise it, and logs that", async () => {
    const restricted = new RealEmulator();
    restricted.wrapper = ["setpriv", "--bounding-set", "-sys_nice"];
    try {
      const host = await restricted.connect();
      const system = await host.createComputeSystem("restricted", restricted.document(document));
      await system.start();
      expect(restricted.running().map((pid) => getPriority(pid))).toEqual([getPriority()]);
      const log = readFileSync(join(restricted.stateDirectory, "emulator.log"), "utf8");
      expect(log).toContain(`cannot raise the priority from ${getPriority()}`);
      await system.terminate();
      await host.close();
    } finally {
      await restricted.dispose();
    }
  });

  it("removes what a killed host left behind", async () => {
    const host = await emulator.connect();
    const system = await host.createComputeSystem("orphan", emulator.document(document));
    await system.start();
    const [name = ""] = readdirSync(join(emulator.stateDirectory, "vm"));
    const groups = (): readonly string[] =>
      readdirSync("/sys/fs/cgroup")
        .map((hierarchy) => `/sys/fs/cgroup/${hierarchy}/uvm-shim/${name}`)
        .concat(`/sys/fs/cgroup/uvm-shim/${name}`)
        .filter((path) => existsSync(path));
    expect(groups()).not.toEqual([]);
    await emulator.loseService();
    await host.close();
    const next = await emulator.connect();
    expect(await next.enumerateComputeSystems()).toEqual([]);
    expect(groups()).toEqual([]);
    expect(readdirSync(join(emulator.stateDirectory, "vm"))).toEqual([]);
    await next.close();
  });
});
