/**
 * A container with every capability and every device of its VM, and without a seccomp filter, tries to get at the
 * machine below. SECURITY.md lists the attempts.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { GcsBridgeClient, infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts, type OciSpec, plan9ShareFlags, resourcePaths } from "@uvm-shim/hcs-schema";
import { hostPortPath } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { EmulatedHost } from "../../emulated-host.ts";
import type { GuestKind } from "../../guest-machine.ts";
import type { ComputeSystem } from "../../system/compute-system.ts";
import { TestFiles } from "../../testing/fake-guest.ts";
import { mountedHierarchies } from "../hierarchies.ts";
import { ProcessGuestKind } from "../process-guest-kind.ts";

const agent = fileURLToPath(new URL("../../../../guest-agent/src/main.ts", import.meta.url));
const attempts = fileURLToPath(new URL("attempts.py", import.meta.url));
const memoryMb = 256;
/** Enough for a busy machine. */
const bootMs = 60_000;

/** The outcome on kernels that have the file. */
function ifThere(path: string, outcome: string): string {
  return existsSync(path) ? outcome : "ENOENT";
}

/** Kernels can be built and started without the gate of 32-bit programs. */
const hasGate = spawnSync("/usr/bin/python3", [attempts, "gate"], { stdio: "ignore" }).status === 0;

/** The outcome of each attempt. */
const expected: { readonly [attempt: string]: string } = {
  "open a file of the host by its handle": "EPERM",
  "open a file by its handle, in a user namespace": "EPERM",
  "use a system call of 32 bits": hasGate || process.arch !== "x64" ? "EPERM" : "ENOSYS",
  "open a device of the host": "EPERM",
  "open the memory of the host": "EPERM",
  "open a disk of the host": "EPERM",
  "read /proc/kcore": ifThere("/proc/kcore", "EPERM"),
  "name the host's handler of core files": "EPERM",
  "name the host's loader of modules": ifThere("/proc/sys/kernel/modprobe", "EPERM"),
  "change how the host gives memory": "EPERM",
  "change what panics the host": "EPERM",
  "press a key of the host": ifThere("/proc/sysrq-trigger", "EROFS"),
  "steer the interrupts of the host": "EROFS",
  "load a module": "EPERM",
  "load another kernel": "EPERM",
  "read the host's log": "EPERM",
  "set the host's clock": "EPERM",
  "use ports of the host": process.arch === "x64" ? "EPERM" : "ENOSYS",
  "have the host swap to a file": "EPERM",
  "freeze a file system of the host": "EPERM",
  "give a file system of the host new options": "EPERM",
  "give it new options the newer way": "ENOSYS",
  "force the unmount of a share": "EPERM",
  "switch quotas of the host": "EPERM",
  "watch a file system of the host": "EPERM",
  "name a release agent": "EPERM",
  "load a program into the host's kernel": "EPERM",
  "count events of the host": "EPERM",
  "read root's keys": "EPERM",
  "add a key to root's": "EPERM",
  "have a ring do system calls": "EPERM",
  "make a socket to the machine below": "EAFNOSUPPORT",
  "reach an abstract socket of the host": "ECONNREFUSED",
  "see a process of the host": "ESRCH",
};

/** The same for attempts on version 1 of control groups, even if it is not mounted. */
const expectedOfVersion1: { readonly [attempt: string]: string } = {
  "widen the devices of the VM": "EPERM",
  "find the file of the release agent": "ENOENT",
};
const version1 = "the control groups of version 1 for devices";

/** What such a container must be able to do. */
const possible = [
  "lift the memory limit that its VM sees",
  "set what its network namespace has",
  "set what its IPC namespace has",
  "make a mount read-only",
  "watch a file",
  "have a keyring of its own",
];

/** Gaps that only a VM's own kernel would close. */
const left = ["mount the devices of the host"];

interface KindUnderTest {
  readonly name: string;
  readonly kernel: string;
  create(stateDirectory: string, report: (message: string) => void): GuestKind;
}

/** Every kind of guest that runs Linux containers here. */
const kinds: readonly KindUnderTest[] = [
  {
    name: "process",
    kernel: `${processGuestKernel}\n`,
    create: (stateDirectory, report) => new ProcessGuestKind({ stateDirectory, bootTimeoutMs: 10_000, report }),
  },
];

const capabilities = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

function specification(root: string, usr: string, args: readonly string[]): OciSpec {
  return {
    ociVersion: "1.0.2",
    hostname: "box",
    root: { path: root },
    process: {
      args: [...args],
      cwd: "/",
      env: ["PATH=/usr/bin:/bin"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: [] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["rw"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["dev"] },
      { destination: "/usr", type: "bind", source: usr, options: ["rbind", "ro"] },
    ],
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
      resources: { devices: [{ allow: true, access: "rwm" }] },
    },
  };
}

for (const kind of kinds) {
  describeWith(
    "root",
    "crun",
    "python3",
    "control groups of version 2",
  )(`a container of a ${kind.name} guest cannot`, () => {
    const files = new TestFiles();
    const reports: string[] = [];
    const stateDirectory = join(files.directory, "state");
    const root = join(files.directory, "root");
    const socketName = `uvm-shim-escapes-${process.pid}`;
    const servers: Server[] = [];
    let host: EmulatedHost;
    let system: ComputeSystem;
    let guest: GcsBridgeClient;
    let results: { readonly [attempt: string]: string };

    const listen = async (path: string): Promise<Server> => {
      const server = createServer({ allowHalfOpen: true }).listen(path);
      servers.push(server);
      await once(server, "listening");
      return server;
    };

    beforeAll(async () => {
      mkdirSync(stateDirectory);
      mkdirSync(root);
      for (const name of ["bin", "sbin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name));
      writeFileSync(join(root, "name"), "");
      copyFileSync(attempts, join(root, "attempts.py"));
      await listen(`\0${socketName}`);
      host = new EmulatedHost({
        stateDirectory,
        kinds: [kind.create(stateDirectory, (message) => void reports.push(message))],
        report: (message) => void reports.push(message),
      });
      const kernel = files.write("kernel", kind.kernel);
      const { VirtualMachine: machine, ...document } = files.document({ kernel });
      const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: agent } };
      system = host.create("vm", { ...document, VirtualMachine: { ...machine, Chipset } });
      system.openHandle({ systemExited: () => {} });
      const gcs = await listen(hostPortPath(system.vsockBase, linuxVsockPorts.gcs));
      const dialled = once(gcs, "connection");
      await system.start();
      const [stream] = (await dialled) as [Socket];
      const newActivityId = (): string => "6f9619ff-8b86-d011-b42d-00c04fc964ff";
      guest = new GcsBridgeClient(stream, { newActivityId, onNotification: () => {} });
      await guest.negotiate();
      const [rootPath, usr] = [await share("root", root, false), await share("usr", "/usr", true)];
      const { dev } = statSync("/");
      const given = { socket: socketName, disk: `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}` };
      const args = ["/usr/bin/python3", "/attempts.py", JSON.stringify(given)];
      await run(specification(rootPath, usr, args));
      results = JSON.parse(readFileSync(join(root, "results.json"), "utf8"));
    }, bootMs);
    afterAll(async () => {
      await guest?.close();
      for (const server of servers) server.close();
      await host?.close();
      files.remove();
      expect(reports).toEqual([]);
    });

    async function share(name: string, path: string, isReadOnly: boolean): Promise<string> {
      const Flags = isReadOnly ? plan9ShareFlags.readOnly : 0;
      const Port = linuxVsockPorts.plan9;
      await system.modify({
        ResourcePath: resourcePaths.plan9Shares,
        RequestType: "Add",
        Settings: { Name: name, AccessName: name, Path: path, Port, Flags },
      });
      const MountPath = `/run/mounts/p9/${name}`;
      const Settings = { MountPath, Port, ShareName: name, ReadOnly: isReadOnly };
      const Request = { RequestType: "Add" as const, ResourceType: "MappedDirectory", Settings };
      await guest.request("modifySettings", uvmContainerId, { Request });
      return MountPath;
    }

    async function run(spec: OciSpec): Promise<void> {
      const settings = {
        OciBundlePath: "/run/gcs/c/box",
        OciSpecification: spec,
        SchemaVersion: { Major: 2, Minor: 1 },
      };
      await guest.request("create", "box", { ContainerConfig: JSON.stringify(settings) });
      const { ProcessId } = await guest.request("executeProcess", "box", {
        Settings: { ProcessParameters: "{}", VsockStdioRelaySettings: {} },
      });
      const { ExitCode } = await guest.request("waitForProcess", "box", { ProcessId, TimeoutInMs: infiniteTimeout });
      expect(ExitCode).toBe(0);
    }

    it.each(Object.entries(expected))("%s: %s", (attempt, outcome) => {
      expect(results[attempt]).toBe(outcome);
    });

    for (const [attempt, outcome] of Object.entries(expectedOfVersion1)) {
      itWith(attempt, version1)(`${attempt}: ${outcome}`, () => {
        expect(results[attempt]).toBe(outcome);
      });
    }

    it.each(possible)("be kept from what it must be able to do: %s", (attempt) => {
      expect(results[attempt]).toBe("done");
    });

    it.each(left)("be kept from a gap that SECURITY.md admits: %s", (attempt) => {
      expect(results[attempt]).toBe("done");
    });

    it("try anything that is not listed here", () => {
      const known = [expected, expectedOfVersion1].flatMap((table) => Object.keys(table));
      expect(Object.keys(results).sort()).toEqual([...known, ...possible, ...left].sort());
    });

    const memoryTitle = "have more memory than its VM, whatever limit the VM sees";
    itWith(memoryTitle, version1)(memoryTitle, () => {
      const memory = mountedHierarchies().find(({ controllers }) => controllers !== "v2" && controllers.has("memory"));
      const group = join(memory?.mountPoint ?? "", "uvm-shim", basename(dirname(system.vsockBase)));
      const limit = (path: string): number => Number(readFileSync(join(path, "memory.limit_in_bytes"), "utf8"));
      expect(limit(group)).toBe(memoryMb * 2 ** 20);
      expect(limit(join(group, "guest"))).toBeGreaterThan(memoryMb * 2 ** 20);
    });
  });
}
