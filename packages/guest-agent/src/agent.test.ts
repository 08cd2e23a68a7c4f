import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { uvmContainerId } from "@uvm-shim/gcs-bridge";
import { linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { Machine } from "./testing/machine.ts";
import { machineForSuite } from "./testing/suite-machine.ts";

const mebibyte = 1024 * 1024;

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("a booted guest", () => {
  let machine: Machine;

  machineForSuite("crun", (booted) => {
    machine = booted;
  });

  it("hides the host's files and devices, and has a host name, command line and network of its own", async () => {
    const { stdout: mounts } = await machine.inGuest(["cat", "/proc/self/mountinfo"]);
    const foreign = mounts
      .trim()
      .split("\n")
      .map((line) => line.split(" - "))
      .map(([mount, type]) => ({ path: mount?.split(" ")[4], type: type ?? "" }))
      // The image may be in memory too, where this machine's /tmp is.
      .filter(({ path, type }) => path === "/usr" || !/^(tmpfs|proc|sysfs|devpts|mqueue|cgroup2?) /.test(type))
      .map(({ path }) => path);
    const attached = /^\/run\/(host\/plan9|gcs\/pods\/pod)\//;
    expect(foreign.filter((path) => !attached.test(path ?? "")).sort()).toEqual(["/usr"]);
    const { stdout: root } = await machine.inGuest(["ls", "/"]);
    expect(root.trim().split("\n").sort()).toEqual(
      ["bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr"].filter(
        (name) => name !== "sbin" || existsSync(join(machine.fixtures.image, "usr/sbin")),
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
    expect(existsSync(join(machine.fixtures.image, "usr/x"))).toBe(false);
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

  it("runs programs of its own in a terminal, which they control", async () => {
    const script = 'tty; trap "echo interrupted; exit 7" INT; echo ready; read line';
    const { stdin, stdout, exit } = await machine.execute(uvmContainerId, {
      CommandArgs: ["sh", "-c", script],
      EmulateConsole: true,
    });
    expect(await stdout.until("ready")).toMatch(/^\/dev\/pts\/\d+\r\n/);
    stdin.write("\u0003");
    expect(await exit).toBe(7);
    await stdout.until("interrupted");
  });

  it("limits the memory of all containers together to the machine's, minus its own share", async () => {
    const update = (RequestType: "Update" | "Add") =>
      machine.client.request("modifySettings", uvmContainerId, {
        Request: { ResourceType: "PodCgroupMemoryLimit", RequestType },
      });
    machine.limitMemory(512 * mebibyte);
    await update("Update");
    const script =
      "cat /sys/fs/cgroup/memory/containers/memory.limit_in_bytes || cat /sys/fs/cgroup/containers/memory.max";
    const { stdout } = await machine.inGuest(["sh", "-c", script]);
    expect(Number(stdout)).toBe((512 - 75) * mebibyte);
    await expect(update("Add")).rejects.toMatchObject({ hresultName: "ERROR_NOT_SUPPORTED" });
  });

  it("accepts policy fragments, which have no effect where everything is allowed", async () => {
    const inject = (Settings: object) =>
      machine.client.request("modifySettings", uvmContainerId, {
        Request: { ResourceType: "SecurityPolicyFragment", RequestType: "Add", Settings },
      });
    await inject({ Fragment: Buffer.from("a document").toString("base64") });
    await expect(inject({ Fragment: "not base64!" })).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_JSON" });
    await expect(inject({})).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_JSON" });
  });

  it("dumps the stacks of every process in it", async () => {
    const { GuestStacks: stacks } = await machine.client.request("dumpStacks", uvmContainerId, {});
    expect(stacks).toMatch(/^agent:\n/);
    expect(stacks).toMatch(/^process 1 \(/m);
  });

  it("logs its state on SIGUSR1, opens no debugger and keeps serving", async () => {
    const before = machine.logLines.length;
    const said = (): readonly { readonly msg: string; readonly [field: string]: unknown }[] =>
      machine.logLines.slice(before).map((line) => JSON.parse(line));
    // As a container that sees the guest's processes could do.
    await machine.inGuest(["sh", "-c", "kill -USR1 1"]);
    await expect.poll(() => said().map(({ msg }) => msg)).toContain("=== END state dump ===");
    const line = (message: string) => said().find(({ msg }) => msg === message);
    expect(line("dump: stack")).toMatchObject({ stack: expect.stringContaining("StateDump.write") });
    expect(line("dump: descriptors")).toMatchObject({ open: expect.any(Number) });
    expect(line("dump: process")).toMatchObject({ process: 1, state: expect.any(String) });
    const listening = readFileSync(`/proc/${machine.init}/net/tcp`, "utf8")
      .split("\n")
      .filter((row) => / 0A /.test(row));
    expect(listening).toEqual([]);
    expect(machine.console).not.toContain("Debugger");
    expect((await machine.inGuest(["sh", "-c", "echo lives"])).stdout).toBe("lives\n");
  });

  it("mounts disks and combines layers", async () => {
    const layer = join(machine.fixtures.folder, "layer.img");
    const scratch = join(machine.fixtures.folder, "scratch.img");
    for (const path of [layer, scratch]) {
      writeFileSync(path, "");
      truncateSync(path, 16 * mebibyte);
    }
    execFileSync("mkfs.ext4", ["-q", "-d", machine.fixtures.rootfs, layer]);
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
    // The container's folder lies on the scratch disk too, until its state is deleted or the host removes the folder.
    await machine.modify("Remove", "CombinedLayers", { ...layers, ContainerRootPath: "/run/gcs/pods/pod/layered" });
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

  it("mounts and unmounts read-only shares and block devices", async () => {
    await machine.share("files", machine.fixtures.rootfs, "/run/mounts/p9/files", true);
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
    ).rejects.toMatchObject({ message: expect.stringContaining("share none does not exist") });
    const block = { MountPath: "/run/mounts/block", Controller: 0, Lun: 0, Partition: 0, BlockDev: true };
    await machine.modify("Add", "MappedVirtualDisk", block);
    const { stdout: kind } = await machine.inGuest(["stat", "-L", "-c", "%F", "/run/mounts/block"]);
    expect(kind).toBe("block special file\n");
    await machine.modify("Remove", "MappedVirtualDisk", block);
  });

  it("names the invalid field of a bad request", async () => {
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
    await refused(create("x", {}), "unsupported ContainerConfig.SchemaVersion 0.0");
    await refused(machine.createContainer("x", { args: [] }), "ContainerConfig.OciSpecification.process.args");
    await refused(
      machine.createContainer("y", {}, { namespaces: [{ type: "ipc", path: "/proc/1/ns/uts" }] }),
      "namespaces[0].path: /proc/1/ns/uts is a namespace of type uts",
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

  it("closes connections of the host to ports that have no service", async () => {
    for (const line of ["CONNECT 5\n", "nonsense\n", "x".repeat(1000)]) {
      const socket = connect(machine.hostSocket);
      socket.on("error", () => {});
      socket.write(line);
      expect(await text(socket)).toBe("");
    }
  });

  it("writes its log as one JSON object a line, and nothing to the console", () => {
    expect(machine.logLines.map((line) => JSON.parse(line) as object)).toContainEqual({
      level: "info",
      msg: "guest is up",
      memoryMb: 256,
      processors: 1,
      containerMemory: expect.any(Number),
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    expect(machine.console).toBe("");
  });

  it("leaves no process, mount or cgroup after a power loss", async () => {
    const other = await Machine.boot(machine.fixtures);
    await other.createContainer("doomed", { args: ["sleep", "123456"] });
    await other.execute("doomed");
    await other.powerOff();
    await other.removeCgroups();
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(machine.fixtures.folder);
    const commands = readdirSync("/proc").flatMap((pid) => commandOf(pid));
    expect(commands.filter((command) => command.includes("123456"))).toEqual([]);
  });

  it("powers off when the host requests a shutdown", async () => {
    const asked = await Machine.boot(machine.fixtures);
    await asked.client.request("shutdownGraceful", uvmContainerId, {});
    expect(await asked.off).toBe(0);
    await asked.powerOff();
    await asked.removeCgroups();
  });

  it("keeps dialling a host that has disconnected", async () => {
    const left = await Machine.boot(machine.fixtures);
    await left.client.close();
    const outcome = await Promise.race([left.off, delay(3000, "dialling")]);
    expect(outcome).toBe("dialling");
    left.useBridge(await left.accept(linuxVsockPorts.gcs));
    await left.client.negotiate();
    await left.powerOff();
    await left.removeCgroups();
  });
});

function commandOf(pid: string): readonly string[] {
  try {
    return [readFileSync(`/proc/${pid}/cmdline`, "utf8")];
  } catch {
    return [];
  }
}
