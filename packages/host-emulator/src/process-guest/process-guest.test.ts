import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hresults, plan9ShareFlags, resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { mount, withMountNamespace } from "@uvm-shim/linux-calls";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, afterEach, beforeEach, expect, it, vi } from "vitest";
import { EmulatedHost } from "../emulated-host.ts";
import type { ComputeSystem } from "../system/compute-system.ts";
import { TestFiles } from "../testing/fake-guest.ts";
import { VmCgroups } from "./cgroups.ts";
import { readHierarchies } from "./hierarchies.ts";
import { ProcessGuestKind } from "./process-guest-kind.ts";

const agent = fileURLToPath(new URL("../../../guest-agent/src/main.ts", import.meta.url));
const owner = { systemExited: (): void => {} };

const cpuGroup = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c21";

describeWith(
  "root",
  "crun",
  "mkfs.ext4",
)("a process guest", () => {
  const files = new TestFiles();
  const kernel = files.write("process-kernel", `${processGuestKernel}\n`);
  const stateDirectory = join(files.directory, "state");
  const reports: string[] = [];
  let host: EmulatedHost;
  let system: ComputeSystem;

  beforeEach(() => {
    mkdirSync(stateDirectory, { recursive: true });
    const report = (message: string): void => void reports.push(message);
    host = new EmulatedHost({
      stateDirectory,
      kinds: [new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 10_000, report })],
      cpuGroups: new Map([[cpuGroup, "0"]]),
      report,
    });
  });
  afterEach(async () => {
    await host.close();
    expect(traces()).toEqual([]);
    expect(reports.splice(0)).toEqual([]);
  });
  afterAll(() => files.remove());

  function create(
    options: { readonly agent?: string; readonly disks?: { readonly [lun: string]: string } } = {},
  ): void {
    const document = files.document({ kernel, ...(options.disks === undefined ? {} : { disks: options.disks }) });
    const boot = { KernelFilePath: kernel, InitRdPath: options.agent ?? agent, KernelCmdLine: "test=1" };
    const { VirtualMachine: machine } = document;
    system = host.create("vm", { ...document, VirtualMachine: { ...machine, Chipset: { LinuxKernelDirect: boot } } });
    system.openHandle(owner);
  }

  const cgroups = (): VmCgroups => new VmCgroups(basename(dirname(system.vsockBase)));

  /** A file of the guest, by its path on this machine. */
  function inGuest(path: string): string {
    const init = cgroups()
      .processes()
      .find((pid) => /^NSpid:\s+\d+\s+1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
    if (init === undefined) throw new Error("the guest has no init");
    return `/proc/${init}/root${path}`;
  }

  /** What is left of the VM on this machine. */
  function traces(): readonly string[] {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return [
      ...cgroups().entrances.filter((path) => existsSync(path)),
      ...mounts.filter((line) => line.includes(files.directory)),
      ...loops().map((loop) => loop.file),
      ...[dirname(system.vsockBase)].filter((path) => existsSync(path)),
    ];
  }

  function loops(): readonly { readonly name: string; readonly file: string }[] {
    return readdirSync("/sys/block").flatMap((name) => {
      const backing = `/sys/block/${name}/loop/backing_file`;
      if (!existsSync(backing)) return [];
      const file = readFileSync(backing, "utf8").trim();
      return file.startsWith(files.directory) ? [{ name, file }] : [];
    });
  }

  const modifyDisk = (lun: number, RequestType: "Add" | "Remove", Settings?: unknown): Promise<void> =>
    system.modify({ ResourcePath: resourcePaths.scsi(scsiControllerGuids[0], lun), RequestType, Settings });

  const modifyShare = (RequestType: "Add" | "Remove", name: string, more = {}): Promise<void> =>
    system.modify({
      ResourcePath: resourcePaths.plan9Shares,
      RequestType,
      Settings: { Name: name, AccessName: name, Path: files.directory, Port: 564, Flags: 0, ...more },
    });

  it("boots into a root of its own, and leaves nothing behind when it is terminated", async () => {
    create();
    await system.start();
    expect(system.properties().State).toBe("Running");
    expect(readFileSync(inGuest("/proc/cmdline"), "utf8")).toBe("test=1\n");
    expect(existsSync(inGuest(files.directory))).toBe(false);
    expect(existsSync(inGuest("/dev/loop-control"))).toBe(false);
    expect(readdirSync(inGuest("/dev/")).filter((name) => statSync(inGuest(`/dev/${name}`)).isBlockDevice())).toEqual(
      [],
    );
    expect(readdirSync(inGuest("/proc/")).filter((name) => /^\d+$/.test(name))).toContain("1");
    expect(() => writeFileSync(inGuest("/usr/bin/new"), "")).toThrow(/EROFS/);
    await system.terminate();
    expect(await system.exited).toEqual({ Status: 0, ExitType: "ForcedExit" });
    expect(traces()).toEqual([]);
  });

  it("has an agent that handles SIGUSR1 itself and opens no debugger", async () => {
    create();
    await system.start();
    const init = Number(inGuest("").split("/")[2]);
    process.kill(init, "SIGUSR1");
    const sigusr1 = 1n << 9n;
    const mask = (name: string): bigint =>
      BigInt(`0x${new RegExp(`^${name}:\\s+(\\w+)$`, "m").exec(readFileSync(`/proc/${init}/status`, "utf8"))?.[1]}`);
    await expect.poll(() => mask("ShdPnd") & sigusr1).toBe(0n);
    expect({ blocked: mask("SigBlk") & sigusr1, caught: mask("SigCgt") & sigusr1 }).toEqual({
      ...{ blocked: 0n, caught: sigusr1 },
    });
    // Only a debugger would listen for TCP in the network of a VM without containers.
    expect(readFileSync(`/proc/${init}/net/tcp`, "utf8").trim().split("\n")).toHaveLength(1);
    expect(readFileSync(`/proc/${init}/cmdline`, "utf8").split("\0")).toContain("--disable-sigusr1");
  });

  it("has the limits of its document and of later updates, which the guest sees, and its usage is measured", async () => {
    create();
    await system.start();
    const limits = (): unknown => cgroups().usage().memoryLimitBytes;
    expect(limits()).toBe(256 * 2 ** 20);
    const update = (ResourcePath: string, Settings: unknown): Promise<void> =>
      system.modify({ ResourcePath, RequestType: "Update", Settings });
    await update(resourcePaths.memorySize, 320);
    expect(limits()).toBe(320 * 2 ** 20);
    await expect(update(resourcePaths.memorySize, 4)).rejects.toThrow("memory limit 4 MiB is too small");
    expect(limits()).toBe(320 * 2 ** 20);
    await update(resourcePaths.processorLimits, { Limit: 25_000, Weight: 300 });
    const seen = ["cpu/cpu.cfs_quota_us", "cpu/cpu.shares", "cpu.max", "cpu.weight"]
      .map((file) => inGuest(`/sys/fs/cgroup/${file}`))
      .filter((file) => existsSync(file))
      .map((file) => readFileSync(file, "utf8").trim());
    expect([
      ["25000", "3072"],
      ["25000 100000", "300"],
    ]).toContainEqual(seen);
    const usage = cgroups().usage();
    expect(usage.processorNs).toBeGreaterThan(0);
    expect(usage.memoryBytes).toBeGreaterThan(2 ** 20);
    expect(system.properties(["Memory"]).Memory?.VirtualMachineMemory?.AssignedMemory).toBe((320 * 2 ** 20) / 4096);
  });

  it("joins a CPU group with all its processes, and leaves it again", async () => {
    create();
    await system.start();
    const join = (Id: string): Promise<void> =>
      system.modify({ ResourcePath: resourcePaths.cpuGroup, RequestType: "Update", Settings: { Id } });
    const init = (): string => readFileSync(inGuest("/proc/1/status"), "utf8");
    const allowed = /^Cpus_allowed_list:\s+(.*)$/m;
    const before = allowed.exec(init())?.[1];
    await join(cpuGroup);
    expect(allowed.exec(init())?.[1]).toBe("0");
    await join("00000000-0000-0000-0000-000000000000");
    expect(allowed.exec(init())?.[1]).toBe(before);
  });

  it("shuts down in order on request", async () => {
    create();
    await system.start();
    await system.shutdown();
    expect(await system.exited).toEqual({ Status: 0, ExitType: "GracefulExit" });
  });

  it("does nothing while it is frozen, and can be thawed and terminated", async () => {
    create();
    await system.start();
    const init = Number(inGuest("").split("/")[2]);
    // By the kernel's state, since a frozen process keeps waiting for its futex.
    const { unified } = cgroups();
    const hasVersion1 = readHierarchies(readFileSync("/proc/self/mountinfo", "utf8")).some(
      ({ controllers }) => controllers !== "v2" && controllers.has("freezer"),
    );
    const isFrozen = (): boolean =>
      hasVersion1 || unified === undefined
        ? /\) D /.test(readFileSync(`/proc/${init}/stat`, "utf8"))
        : readFileSync(join(unified, "guest", "cgroup.events"), "utf8").includes("frozen 1");
    await system.freeze(true);
    expect(isFrozen()).toBe(true);
    await system.freeze(false);
    await vi.waitFor(() => expect(isFrozen()).toBe(false));
    await system.freeze(true);
    await system.terminate();
    await expect(system.freeze(true)).rejects.toMatchObject({ hresult: hresults.HCS_E_INVALID_STATE });
  });

  it("reports an init that dies", async () => {
    create();
    const crashed: (string | undefined)[] = [];
    system.openHandle({ systemCrashed: ({ CrashLog }) => crashed.push(CrashLog), systemExited: () => {} });
    await system.start();
    const init = Number(inGuest("").split("/")[2]);
    process.kill(init, "SIGKILL");
    expect(await system.exited).toMatchObject({
      Status: hresults.HCS_E_UNEXPECTED_EXIT,
      ExitType: "UnexpectedExit",
      Attribution: [{ GuestCrash: {} }],
    });
    expect(crashed).toEqual([expect.stringMatching(/^the guest's agent ended with/)]);
  });

  it("has the disks of its document and those attached later, without a VHD's footer", async () => {
    const image = Buffer.alloc(64 * 1024, "a");
    const footer = Buffer.alloc(512);
    footer.write("conectix", "latin1");
    footer.writeUInt32BE(2, 60);
    const raw = files.write("raw", image);
    const vhd = files.write("vhd", Buffer.concat([image.fill("b"), footer]));
    create({ disks: { "0": raw } });
    await system.start();
    await modifyDisk(7, "Add", { Type: "VirtualDisk", Path: vhd, ReadOnly: true });
    for (const [lun, letter] of [
      [0, "a"],
      [7, "b"],
    ] as const) {
      const node = openSync(inGuest(`/dev/scsi/0/${lun}`), "r");
      const first = Buffer.alloc(1);
      readSync(node, first, 0, 1, 0);
      closeSync(node);
      expect(first.toString()).toBe(letter);
    }
    const loop = loops().find(({ file }) => file === vhd);
    expect(readFileSync(`/sys/block/${loop?.name}/size`, "utf8").trim()).toBe("128");
    expect(readFileSync(`/sys/block/${loop?.name}/ro`, "utf8").trim()).toBe("1");
    await modifyDisk(7, "Remove");
    expect(readdirSync(inGuest("/dev/scsi/0"))).toEqual(["0"]);
    await modifyDisk(7, "Add", { Type: "VirtualDisk", Path: vhd });
  });

  it("sees a shared directory with the mounts below it, and adds no mount to the machine", async () => {
    const shared = join(files.directory, "shared");
    mkdirSync(join(shared, "below"), { recursive: true });
    writeFileSync(join(shared, "file"), "content");
    create();
    await system.start();
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(shared, "below")]);
    try {
      writeFileSync(join(shared, "below", "deep"), "deep content");
      const before = readFileSync("/proc/self/mountinfo", "utf8");
      await modifyShare("Add", "rw", { Path: shared });
      await modifyShare("Add", "ro", { Path: shared, Flags: plan9ShareFlags.readOnly });
      expect(readFileSync(inGuest("/run/host/plan9/ro/file"), "utf8")).toBe("content");
      expect(readFileSync(inGuest("/run/host/plan9/ro/below/deep"), "utf8")).toBe("deep content");
      expect(() => writeFileSync(inGuest("/run/host/plan9/ro/file"), "")).toThrow(/EROFS/);
      expect(() => writeFileSync(inGuest("/run/host/plan9/ro/below/deep"), "")).toThrow(/EROFS/);
      writeFileSync(inGuest("/run/host/plan9/rw/file"), "written by the guest");
      expect(readFileSync(join(shared, "file"), "utf8")).toBe("written by the guest");
      expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
      await modifyShare("Remove", "rw");
      expect(readdirSync(inGuest("/run/host/plan9"))).toEqual(["ro"]);
    } finally {
      execFileSync("umount", [join(shared, "below")]);
    }
  });

  it("sees later mounts below a shared directory, like over a file server, and propagates none back", async () => {
    const shared = join(files.directory, "later");
    mkdirSync(join(shared), { recursive: true });
    create();
    await system.start();
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", shared]);
    try {
      execFileSync("mount", ["--make-shared", shared]);
      mkdirSync(join(shared, "below"));
      mkdirSync(join(shared, "other"));
      await modifyShare("Add", "later", { Path: shared });
      const seen = inGuest("/run/host/plan9/later");
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(shared, "below")]);
      try {
        writeFileSync(join(shared, "below", "deep"), "deep content");
        expect(readFileSync(join(seen, "below", "deep"), "utf8")).toBe("deep content");
      } finally {
        execFileSync("umount", [join(shared, "below")]);
      }
      expect(readdirSync(join(seen, "below"))).toEqual([]);
      withMountNamespace(Number(seen.split("/")[2]), () => mount("tmpfs", "/run/host/plan9/later/other", "tmpfs", 0));
      writeFileSync(join(seen, "other", "own"), "of the guest");
      expect(readdirSync(join(shared, "other"))).toEqual([]);
    } finally {
      execFileSync("umount", [shared]);
    }
  });

  it("sees only the allowed files of a restricted share", async () => {
    files.write("allowed", "yes");
    files.write("forbidden", "no");
    create();
    await system.start();
    await modifyShare("Add", "some", { Flags: plan9ShareFlags.restrictFileAccess, AllowedFiles: ["allowed"] });
    expect(readdirSync(inGuest("/run/host/plan9/some"))).toEqual(["allowed"]);
    expect(readFileSync(inGuest("/run/host/plan9/some/allowed"), "utf8")).toBe("yes");
    expect(() => writeFileSync(inGuest("/run/host/plan9/some/new"), "")).toThrow(/EROFS/);
    await modifyShare("Remove", "some");
    expect(readdirSync(inGuest("/run/host/plan9"))).toEqual([]);
  });

  const deviceRules = readHierarchies(readFileSync("/proc/self/mountinfo", "utf8")).find(
    ({ controllers }) => controllers !== "v2" && controllers.has("devices"),
  );
  itWith("cannot open the machine's devices", "the control groups of version 1 for devices")(
    "cannot open the machine's devices, even if it makes nodes of them",
    async () => {
      create();
      await system.start();
      const entrance = join(
        deviceRules?.mountPoint ?? "",
        "uvm-shim",
        basename(dirname(system.vsockBase)),
        "cgroup.procs",
      );
      const open = (device: string): void => {
        execFileSync("/bin/sh", ["-c", `echo $$ >${entrance}; exec head -c 0 ${device}`], { stdio: "pipe" });
      };
      expect(() => open("/dev/null")).not.toThrow();
      expect(() => open("/dev/kmsg")).toThrow(/Operation not permitted/);
    },
  );

  it("fails to start with the console output of an agent that ends early", async () => {
    create({ agent: files.write("early.cjs", 'console.error("no such luck"); process.exit(3);') });
    await expect(system.start()).rejects.toMatchObject({
      hresult: hresults.HCS_E_UNEXPECTED_EXIT,
      message: "the guest's agent ended with exit code 3 before it was up",
      events: ["console: no such luck"],
    });
    expect(await system.exited).toMatchObject({ ExitType: "UnexpectedExit" });
  });

  it("fails to start if the agent sends something unexpected", async () => {
    create({ agent: files.write("odd.cjs", 'require("fs").writeSync(3, "hello"); setInterval(() => {}, 1000);') });
    await expect(system.start()).rejects.toMatchObject({ hresult: hresults.HCS_E_PROTOCOL_ERROR });
  });

  it("fails to start if the agent is not up in time", async () => {
    const silent = files.write("silent.cjs", "setInterval(() => {}, 1000);");
    const report = (message: string): void => void reports.push(message);
    host = new EmulatedHost({
      stateDirectory,
      kinds: [new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 100, report })],
      report,
    });
    create({ agent: silent });
    await expect(system.start()).rejects.toMatchObject({
      hresult: hresults.HCS_E_CONNECTION_TIMEOUT,
      message: "the guest did not come up within 100 ms",
    });
  });

  it("can be terminated while it boots", async () => {
    create({ agent: files.write("silent.cjs", "setInterval(() => {}, 1000);") });
    const start = expect(system.start()).rejects.toMatchObject({ hresult: hresults.HCS_E_TERMINATED_DURING_START });
    await system.terminate();
    await start;
    expect(traces()).toEqual([]);
  });

  it("needs an agent", async () => {
    const document = files.document({ kernel });
    system = host.create("vm", document);
    system.openHandle(owner);
    await expect(system.start()).rejects.toMatchObject({
      hresult: hresults.E_INVALIDARG,
      message: expect.stringMatching(/InitRdPath/),
    });
  });
});
