import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fixtures, Machine, makeFixtures } from "./testing/machine.ts";

const mebibyte = 1024 * 1024;

describe.each(["crun", "runc"] as const)("the agent with %s", (runtime) => {
  let fixtures: Fixtures;
  let machine: Machine;

  beforeAll(async () => {
    fixtures = await makeFixtures(runtime);
    machine = await Machine.boot(fixtures);
  });

  afterAll(async () => {
    await machine?.powerOff();
    await machine?.removeCgroups();
    rmSync(fixtures.folder, { recursive: true });
  });

  it("runs a container and reports its output and exit code", async () => {
    const { code, stdout, stderr } = await machine.run("first", [
      "sh",
      "-c",
      "hostname; echo problem >&2; echo again >/dev/stderr; exit 42",
    ]);
    expect({ code, stdout, stderr }).toEqual({ code: 42, stdout: "box\n", stderr: "problem\nagain\n" });
    expect(machine.notifications.filter(({ containerId }) => containerId === "first")).toMatchObject([
      { type: "GracefulExit", result: 0 },
    ]);
  });

  it("gives a process nothing of its own open files", async () => {
    const { stdout } = await machine.run("files", ["sh", "-c", "exec ls /proc/self/fd"]);
    // 3 is the folder that ls itself reads.
    expect(stdout).toBe("0\n1\n2\n3\n");
  });

  it("loses no byte of 8 MiB that a process writes right before it exits, first or added", async () => {
    const write = ["sh", "-c", "head -c 8388608 /dev/zero"];
    await machine.createContainer("loud", { args: ["sh", "-c", "read line; head -c 8388608 /dev/zero"] });
    const init = await machine.execute("loud");
    const added = await machine.execute("loud", { OCIProcess: { args: write, cwd: "/", env: ["PATH=/bin"] } });
    expect((await added.stdout.all).length).toBe(8 * mebibyte);
    expect(await added.exit).toBe(0);
    init.stdin.end("\n");
    expect((await init.stdout.all).length).toBe(8 * mebibyte);
    expect(await init.exit).toBe(0);
    await machine.client.request("deleteContainerState", "loud", {});
  });

  it("carries 20 MiB through a process, and the end of its input", async () => {
    await machine.createContainer("cat", { args: ["cat"] });
    const { stdin, stdout, exit } = await machine.execute("cat");
    const sent = Buffer.alloc(20 * mebibyte, "some bytes that do not repeat at a power of two,");
    stdin.end(sent);
    expect((await stdout.all).equals(sent)).toBe(true);
    expect(await exit).toBe(0);
    await machine.client.request("deleteContainerState", "cat", {});
  });

  it("adds processes, lists and signals them", async () => {
    await machine.createContainer("host", { args: ["sleep", "1000"] });
    const init = await machine.execute("host");
    const added = await machine.execute("host", {
      OCIProcess: { args: ["sh", "-c", "echo ready; sleep 1000; sleep 1000"], cwd: "/tmp", env: ["PATH=/bin"] },
    });
    await added.stdout.until("ready");
    const { Properties } = await machine.client.request("getProperties", "host", {
      Query: '{"PropertyTypes":["ProcessList"]}',
    });
    const pids = (JSON.parse(Properties) as { ProcessList: { ProcessId: number }[] }).ProcessList.map(
      ({ ProcessId }) => ProcessId,
    );
    expect(pids).toContain(init.pid);
    expect(pids).toContain(added.pid);
    // The sleep of the shell, which the host did not start and may signal all the same.
    const child = pids.find((pid) => pid !== init.pid && pid !== added.pid) ?? 0;
    await machine.client.request("signalProcess", "host", { ProcessId: child, Options: { Signal: 15 } });
    await machine.client.request("signalProcess", "host", { ProcessId: added.pid, Options: { Signal: 15 } });
    expect(await added.exit).toBe(143);
    await expect(
      machine.client.request("signalProcess", "host", { ProcessId: added.pid, Options: { Signal: 15 } }),
    ).rejects.toMatchObject({ hresultName: "ERROR_NOT_FOUND" });
    await expect(machine.client.request("deleteContainerState", "host", {})).rejects.toMatchObject({
      hresultName: "HCS_E_INVALID_STATE",
    });
    await machine.client.request("signalProcess", "host", { ProcessId: init.pid, Options: { Signal: 9 } });
    expect(await init.exit).toBe(137);
    await machine.client.request("deleteContainerState", "host", {});
    await expect(machine.client.request("start", "host", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });
  });

  it("ends a container by force, with all that runs in it", async () => {
    await machine.createContainer("forced", { args: ["sleep", "1000"] });
    const init = await machine.execute("forced");
    const added = await machine.execute("forced", {
      OCIProcess: { args: ["sleep", "1000"], cwd: "/", env: ["PATH=/bin"] },
    });
    await machine.client.request("shutdownForced", "forced", {});
    expect(await init.exit).toBe(137);
    expect(await added.exit).toBe(137);
    await machine.client.request("deleteContainerState", "forced", {});
    expect(machine.notifications.filter(({ containerId }) => containerId === "forced")).toMatchObject([
      { type: "ForcedExit" },
    ]);
  });

  it("reports an exit although a process in the background keeps the output open", async () => {
    await machine.createContainer("background", { args: ["sleep", "1000"] });
    const init = await machine.execute("background");
    const added = await machine.execute("background", {
      OCIProcess: { args: ["sh", "-c", "sleep 1000 & echo done"], cwd: "/", env: ["PATH=/bin"] },
    });
    expect(await added.exit).toBe(0);
    expect(await added.stdout.until("done")).toBe("done\n");
    await machine.client.request("shutdownForced", "background", {});
    await init.exit;
    await added.stdout.all;
    await machine.client.request("deleteContainerState", "background", {});
  });

  it("gives a terminal that can be resized", async () => {
    await machine.createContainer("terminal", { args: ["sh"] });
    const { pid, stdin, stdout, exit } = await machine.execute("terminal", {
      EmulateConsole: true,
      ConsoleSize: [33, 111],
    });
    stdin.write("stty size\n");
    await stdout.until("33 111");
    await machine.client.request("resizeConsole", "terminal", { ProcessId: pid, Height: 44, Width: 122 });
    stdin.write("stty size; tty; exit 7\n");
    await stdout.until("44 122");
    await stdout.until("/dev/pts/0");
    expect(await exit).toBe(7);
    await stdout.all;
    await machine.client.request("resizeConsole", "terminal", { ProcessId: pid, Height: 10, Width: 10 });
    await machine.client.request("deleteContainerState", "terminal", {});
  });

  it("gives an added process a terminal, to its last byte", async () => {
    await machine.createContainer("terminals", { args: ["sleep", "1000"] });
    const init = await machine.execute("terminals");
    const added = await machine.execute("terminals", {
      EmulateConsole: true,
      ConsoleSize: [12, 34],
      OCIProcess: {
        args: ["sh", "-c", "stty size -onlcr; stty size; yes | head -c 200000; echo end"],
        cwd: "/",
        env: ["PATH=/bin"],
      },
    });
    const all = (await added.stdout.all).toString();
    expect(all).toContain("12 34");
    expect(all.match(/y\r?\n/g)).toHaveLength(100_000);
    expect(all.trimEnd().endsWith("end")).toBe(true);
    expect(await added.exit).toBe(0);
    await machine.client.request("shutdownForced", "terminals", {});
    await init.exit;
    await machine.client.request("deleteContainerState", "terminals", {});
  });

  it("names a command that does not exist, and leaves nothing of the attempt", async () => {
    await machine.createContainer("missing", { args: ["no-such-command"] });
    await expect(machine.execute("missing")).rejects.toMatchObject({
      message: expect.stringContaining("no-such-command"),
    });
    await machine.client.request("deleteContainerState", "missing", {});

    await machine.createContainer("host2", { args: ["sleep", "1000"] });
    const init = await machine.execute("host2");
    const attempt = machine.execute("host2", { OCIProcess: { args: ["nor-this"], cwd: "/", env: ["PATH=/bin"] } });
    await expect(attempt).rejects.toMatchObject({ message: expect.stringContaining("nor-this") });
    await machine.client.request("shutdownForced", "host2", {});
    await init.exit;
    await machine.client.request("deleteContainerState", "host2", {});

    const left = await machine.inGuest(["find", "/run/oci", "/run/agent", "-mindepth", "1"]);
    expect(left.stdout).toBe("");
    const groups = await machine.inGuest(["find", "/sys/fs/cgroup", "-path", "*/containers/*", "-type", "d"]);
    expect(groups.stdout).toBe("");
  });

  it("ends a container that was never started, and starts ten at once", async () => {
    await machine.createContainer("idle", { args: ["true"] });
    await machine.client.request("shutdownForced", "idle", {});
    await expect(machine.client.request("shutdownForced", "idle", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_ALREADY_STOPPED",
    });
    await expect(machine.execute("idle")).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
    await machine.client.request("deleteContainerState", "idle", {});
    const runs = Array.from({ length: 10 }, (_, index) => machine.run(`ten-${index}`, ["echo", String(index)]));
    const results = await Promise.all(runs);
    expect(results.map(({ code, stdout }) => `${code} ${stdout}`)).toEqual(runs.map((_, index) => `0 ${index}\n`));
  });

  it("shows nothing of the host's files, and has a guest's own kernel surroundings", async () => {
    const { stdout: mounts } = await machine.inGuest(["cat", "/proc/self/mountinfo"]);
    const foreign = mounts
      .trim()
      .split("\n")
      .map((line) => line.split(" - "))
      .filter(([, type]) => !/^(tmpfs|proc|sysfs|devpts|mqueue|cgroup2?) /.test(type ?? ""))
      .map(([mount]) => mount?.split(" ")[4]);
    const attached = /^\/run\/(host\/plan9|gcs\/pods\/pod)\//;
    expect(foreign.filter((path) => !attached.test(path ?? "")).sort()).toEqual(["/run/hvsocket", "/usr"]);
    const { stdout: root } = await machine.inGuest(["ls", "/"]);
    expect(root.trim().split("\n").sort()).toEqual(
      ["bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr"].filter(
        (name) => name !== "sbin" || existsSync(join(fixtures.image, "usr/sbin")),
      ),
    );
    const { stdout: devices } = await machine.inGuest(["find", "/dev", "-type", "b", "-o", "-type", "c"]);
    expect(devices.trim().split("\n").sort()).toEqual(
      ["full", "null", "pts/ptmx", "random", "tty", "urandom", "zero"].map((name) => `/dev/${name}`),
    );
    const { stdout: own } = await machine.inGuest([
      "sh",
      "-c",
      "cat /proc/sys/kernel/hostname /proc/cmdline /sys/class/net/lo/operstate; touch /usr/x",
    ]);
    expect(own).toBe("uvm-test\nconsole=none\nunknown\n");
    expect(existsSync(join(fixtures.image, "usr/x"))).toBe(false);
  });

  it("runs programs of the VM itself", async () => {
    const { code, stdout } = await machine.inGuest(["sh", "-c", "echo $0 $NAME; pwd; exit 4"], {
      Environment: { NAME: "value" },
      WorkingDirectory: "/run",
    });
    expect({ code, stdout }).toEqual({ code: 4, stdout: "sh value\n/run\n" });
    await expect(machine.execute(uvmContainerId, { CommandArgs: ["/no/such"] })).rejects.toMatchObject({
      message: expect.stringContaining("/no/such"),
    });
  });

  it("mounts disks and combines layers", async () => {
    const layer = join(fixtures.folder, "layer.img");
    const scratch = join(fixtures.folder, "scratch.img");
    for (const path of [layer, scratch]) {
      writeFileSync(path, "");
      truncateSync(path, 16 * mebibyte);
    }
    execFileSync("mkfs.ext4", ["-q", "-d", fixtures.rootfs, layer]);
    machine.attachDisk(layer, 0);
    machine.attachDisk(scratch, 1);
    const disk = { MountPath: "/run/mounts/scsi/0/0/0", Controller: 0, Lun: 0, Partition: 0, ReadOnly: true };
    const scratchDisk = { ...disk, MountPath: "/run/mounts/scsi/0/1/0", Lun: 1, ReadOnly: false };
    await machine.modify("Add", "MappedVirtualDisk", disk);
    await expect(machine.modify("Add", "MappedVirtualDisk", scratchDisk)).rejects.toMatchObject({
      message: expect.stringContaining("holds no file system"),
    });
    const ensured = { ...scratchDisk, EnsureFilesystem: true, Options: ["nosuid"] };
    await machine.modify("Add", "MappedVirtualDisk", ensured);
    const layers = {
      ContainerID: "layered",
      ContainerRootPath: "/run/gcs/pods/pod/layered/rootfs",
      Layers: [{ Path: disk.MountPath }],
      ScratchPath: `${scratchDisk.MountPath}/scratch/layered`,
    };
    await machine.modify("Add", "CombinedLayers", layers);
    const { stdout } = await machine.inGuest([
      "sh",
      "-c",
      `cd ${layers.ContainerRootPath}; echo new >file; ls; ls ${layers.ScratchPath}/upper`,
    ]);
    expect(stdout).toBe("bin\ndev\netc\nfile\nlost+found\nproc\nsys\ntmp\nfile\n");
    await expect(machine.modify("Remove", "SCSIDevice", { Controller: 0, Lun: 1 })).rejects.toMatchObject({
      message: expect.stringContaining("still mounted at /run/mounts/scsi/0/1/0"),
    });
    await machine.modify("Remove", "CombinedLayers", layers);
    await machine.modify("Remove", "MappedVirtualDisk", scratchDisk);
    await machine.modify("Remove", "MappedVirtualDisk", disk);
    await machine.modify("Remove", "MappedVirtualDisk", disk);
    await machine.modify("Remove", "SCSIDevice", { Controller: 0, Lun: 1 });
    const { stdout: left } = await machine.inGuest([
      "sh",
      "-c",
      "grep -c /dev/scsi /proc/self/mounts; ls /run/mounts/scsi/0/0",
    ]);
    expect(left).toBe("0\n");
  });

  it("makes read-only shares and block devices available, and takes them away", async () => {
    await machine.share("files", fixtures.rootfs, "/run/mounts/p9/files", true);
    const { stdout, stderr } = await machine.inGuest([
      "sh",
      "-c",
      "cd /run/mounts/p9/files && ls bin/busybox; touch x",
    ]);
    expect(stdout).toBe("bin/busybox\n");
    expect(stderr).toContain("Read-only");
    await machine.modify("Remove", "MappedDirectory", { MountPath: "/run/mounts/p9/files", ShareName: "files" });
    await expect(
      machine.modify("Add", "MappedDirectory", { MountPath: "/run/mounts/p9/none", ShareName: "none", Port: 564 }),
    ).rejects.toMatchObject({ message: expect.stringContaining("no share none") });
    const block = { MountPath: "/run/mounts/block", Controller: 0, Lun: 0, Partition: 0, BlockDev: true };
    await machine.modify("Add", "MappedVirtualDisk", block);
    const { stdout: kind } = await machine.inGuest(["stat", "-L", "-c", "%F", "/run/mounts/block"]);
    expect(kind).toBe("block special file\n");
    await machine.modify("Remove", "MappedVirtualDisk", block);
  });

  it("answers bad requests with the field that is wrong", async () => {
    const refused = async (request: Promise<unknown>, ...words: string[]): Promise<void> => {
      const error = await request.then(
        () => undefined,
        (reason: Error) => reason,
      );
      for (const word of words) expect(error?.message).toContain(word);
    };
    const create = (id: string, settings: object) =>
      machine.client.request("create", id, { ContainerConfig: JSON.stringify(settings) });
    await refused(create("../x", {}), "ContainerId");
    await refused(create("x", {}), "ContainerConfig.OciSpecification");
    await refused(machine.createContainer("x", { args: [] }), "ContainerConfig.OciSpecification.process.args");
    await refused(
      machine.createContainer("y", {}, { namespaces: [{ type: "ipc", path: "/proc/1/ns/ipc" }] }),
      "namespaces (ipc).path",
    );
    await refused(machine.modify("Add", "MappedVirtualDisk", { MountPath: "a/../b" }), "Request.Settings.MountPath");
    await refused(machine.modify("Add", "Nonsense", {}), "Request.ResourceType", "Nonsense");
    await refused(machine.execute("nobody"), "container nobody does not exist");
    await refused(machine.execute(uvmContainerId, { CommandArgs: [] }), "ProcessParameters.CommandArgs");
    await refused(
      machine.client.request("waitForProcess", uvmContainerId, { ProcessId: 1, TimeoutInMs: 0 }),
      "process 1 does not exist",
    );
  });

  it("refuses the host's connections to ports that nobody serves", async () => {
    for (const line of ["CONNECT 5\n", "nonsense\n", "x".repeat(1000)]) {
      const socket = connect(machine.hostSocket);
      socket.on("error", () => {});
      socket.write(line);
      expect(await text(socket)).toBe("");
    }
  });

  it("takes a new bridge when it has lost the old one, and keeps its containers", async () => {
    await machine.createContainer("survivor", { args: ["sleep", "1000"] });
    const { pid } = await machine.execute("survivor");
    const again = machine.accept(linuxVsockPorts.gcs);
    await machine.client.close();
    machine.useBridge(await again);
    await machine.client.negotiate();
    const exit = machine.client.request("waitForProcess", "survivor", { ProcessId: pid, TimeoutInMs: 60_000 });
    await machine.client.request("shutdownGraceful", "survivor", {});
    await machine.client.request("signalProcess", "survivor", { ProcessId: pid });
    expect((await exit).ExitCode).toBe(137);
    await machine.client.request("deleteContainerState", "survivor", {});
  });

  it("writes its log as one JSON object a line", () => {
    expect(machine.logLines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({
        level: "info",
        msg: "container created",
        container: "first",
        time: expect.any(String),
      }),
    );
    expect(machine.console).toBe("");
  });

  it("leaves no process, mount or cgroup when the power goes", async () => {
    const before = readFileSync("/proc/self/mountinfo", "utf8");
    const other = await Machine.boot(fixtures);
    await other.createContainer("doomed", { args: ["sleep", "123456"] });
    await other.execute("doomed");
    await other.powerOff();
    await other.removeCgroups();
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
    const commands = readdirSync("/proc").flatMap((pid) => commandOf(pid));
    expect(commands.filter((command) => command.includes("123456"))).toEqual([]);
  });

  it("goes off by itself when the host asks, and when the host is gone", async () => {
    const asked = await Machine.boot(fixtures);
    await asked.client.request("shutdownGraceful", uvmContainerId, {});
    expect(await asked.off).toBe(0);
    const left = await Machine.boot(fixtures);
    await left.client.close();
    expect(await left.off).toBe(1);
    for (const each of [asked, left]) {
      await each.powerOff();
      await each.removeCgroups();
    }
  });
});

function commandOf(pid: string): readonly string[] {
  try {
    return [readFileSync(`/proc/${pid}/cmdline`, "utf8")];
  } catch {
    return [];
  }
}
