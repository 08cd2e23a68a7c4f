import { uvmContainerId } from "@uvm-shim/gcs-bridge";
import { type CgroupMetrics, checkCgroupMetrics, linuxVsockPorts } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it, vi } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const mebibyte = 1024 * 1024;

function figuresOf(of: CgroupMetrics) {
  if (of.version === 2) {
    const { cpu, memory } = of.metrics;
    return { cpu: cpu?.usage_usec, memory: memory?.usage, limit: memory?.usage_limit };
  }
  const { cpu, memory } = of.metrics;
  return { cpu: cpu?.usage?.total, memory: memory?.usage?.usage, limit: memory?.usage?.limit };
}

describeWith("root", "crun", "runc", "busybox").each(["crun", "runc"] as const)("containers with %s", (runtime) => {
  let machine: Machine;

  machineForSuite(runtime, (booted) => {
    machine = booted;
  });

  it("runs a container, and reports its output and exit code", async () => {
    const { code, stdout, stderr } = await machine.run("first", [
      "sh",
      "-c",
      "hostname; echo problem >&2; echo again >/dev/stderr; exit 42",
    ]);
    expect({ code, stdout, stderr }).toEqual({ code: 42, stdout: "box\n", stderr: "problem\nagain\n" });
    expect(machine.notifications.filter(({ containerId }) => containerId === "first")).toMatchObject([
      { type: "UnexpectedExit", result: 0 },
    ]);
  });

  it("passes no open files of its own to a process", async () => {
    const { stdout } = await machine.run("files", ["sh", "-c", "exec ls /proc/self/fd"]);
    // 3 is the folder that ls reads.
    expect(stdout).toBe("0\n1\n2\n3\n");
  });

  it("loses no byte of 8 MiB that an init or an exec writes right before it exits", async () => {
    const write = ["sh", "-c", "head -c 8388608 /dev/zero"];
    await machine.createContainer("loud", { args: ["sh", "-c", "read line; head -c 8388608 /dev/zero"] });
    const init = await machine.execute("loud");
    const added = await machine.execute("loud", { OCIProcess: { args: write, cwd: "/", env: ["PATH=/bin"] } });
    expect((await added.stdout.all).length).toBe(8 * mebibyte);
    expect(await added.exit).toBe(0);
    init.stdin.end("\n");
    expect((await init.stdout.all).length).toBe(8 * mebibyte);
    expect(await init.exit).toBe(0);
    await machine.deleteContainer("loud");
  });

  it("carries 20 MiB and the end of input through a process", async () => {
    await machine.createContainer("cat", { args: ["cat"] });
    const { stdin, stdout, exit } = await machine.execute("cat");
    const sent = Buffer.alloc(20 * mebibyte, "some bytes that do not repeat at a power of two,");
    stdin.end(sent);
    expect((await stdout.all).equals(sent)).toBe(true);
    expect(await exit).toBe(0);
    await machine.deleteContainer("cat");
  });

  it("starts, lists and signals execs", async () => {
    await machine.createContainer("host", { args: ["sleep", "1000"] });
    const init = await machine.execute("host");
    const added = await machine.execute("host", {
      OCIProcess: {
        args: ["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo ready; wait"],
        cwd: "/tmp",
        env: ["PATH=/bin"],
      },
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
    // The shell's sleep is listed, but the host did not start it and cannot signal it.
    const child = pids.find((pid) => pid !== init.pid && pid !== added.pid) ?? 0;
    await expect(
      machine.client.request("signalProcess", "host", { ProcessId: child, Options: { Signal: 15 } }),
    ).rejects.toMatchObject({ hresultName: "ERROR_NOT_FOUND" });
    await machine.client.request("signalProcess", "host", { ProcessId: added.pid, Options: { Signal: 15 } });
    expect(await added.exit).toBe(143);
    await expect(
      machine.client.request("signalProcess", "host", { ProcessId: added.pid, Options: { Signal: 15 } }),
    ).rejects.toMatchObject({ hresultName: "ERROR_NOT_FOUND" });
    await machine.client.request("signalProcess", "host", { ProcessId: init.pid, Options: { Signal: 9 } });
    expect(await init.exit).toBe(137);
    await machine.deleteContainer("host");
    await expect(machine.client.request("deleteContainerState", "host", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });
  });

  it("reports a container's metrics, and changes its limits", async () => {
    const metrics = async () => {
      const Query = '{"PropertyTypes":["Statistics"]}';
      const { Properties } = await machine.client.request("getProperties", "measured", { Query });
      return checkCgroupMetrics(JSON.parse(Properties));
    };
    await machine.createContainer("measured", { args: ["sh", "-c", "read size; exec head -c $size /dev/zero | tail"] });
    // As in the real guest, the process that waits for its start counts.
    expect((await metrics()).metrics.pids?.current).toBeGreaterThan(0);
    const { stdin, exit } = await machine.execute("measured");
    const before = figuresOf(await metrics());
    expect(before.cpu).toBeGreaterThan(0);
    expect(before.memory).toBeGreaterThan(0);
    await machine.client.request("modifySettings", "measured", {
      Request: {
        ResourceType: "ContainerConstraints",
        RequestType: "Update",
        Settings: { Linux: { memory: { limit: 96 * mebibyte }, cpu: { quota: 50_000, period: 100_000 } } },
      },
    });
    expect(figuresOf(await metrics()).limit).toBe(96 * mebibyte);
    // tail keeps all that it reads, since it sees no line end.
    stdin.write(`${32 * mebibyte}\n`);
    await vi.waitFor(async () => expect(figuresOf(await metrics()).memory).toBeGreaterThan(16 * mebibyte));
    await machine.client.request("shutdownForced", "measured", {});
    await exit;
    await machine.deleteContainer("measured");
  });

  it("refuses invalid resources, and names those that the runtime refuses", async () => {
    await machine.createContainer("strict", { args: ["sleep", "1000"] });
    const { exit } = await machine.execute("strict");
    const update = (ResourceType: string, Settings: object | undefined, id = "strict") =>
      machine.client.request("modifySettings", id, { Request: { ResourceType, RequestType: "Update", Settings } });
    await expect(update("ContainerConstraints", { Linux: { memory: { limit: "1" } } })).rejects.toMatchObject({
      hresultName: "E_INVALIDARG",
      message: expect.stringContaining("Request.Settings.Linux.memory.limit"),
    });
    await expect(update("ContainerConstraints", { Linux: { cpu: { cpus: "4711" } } })).rejects.toMatchObject({
      message: expect.stringContaining("update: "),
    });
    await expect(update("PodCgroupMemoryLimit", undefined)).rejects.toMatchObject({
      hresultName: "ERROR_NOT_SUPPORTED",
    });
    await expect(update("ContainerConstraints", { Linux: {} }, uvmContainerId)).rejects.toMatchObject({
      hresultName: "ERROR_NOT_SUPPORTED",
    });
    await machine.client.request("shutdownForced", "strict", {});
    await exit;
    await machine.deleteContainer("strict");
  });

  it("kills a container with all its processes", async () => {
    await machine.createContainer("forced", { args: ["sleep", "1000"] });
    const init = await machine.execute("forced");
    const added = await machine.execute("forced", {
      OCIProcess: { args: ["sleep", "1000"], cwd: "/", env: ["PATH=/bin"] },
    });
    await machine.client.request("shutdownForced", "forced", {});
    expect(await init.exit).toBe(137);
    expect(await added.exit).toBe(137);
    await machine.deleteContainer("forced");
    expect(machine.notifications.filter(({ containerId }) => containerId === "forced")).toMatchObject([
      { type: "ForcedExit" },
    ]);
  });

  it("gives an init a terminal that can be resized", async () => {
    await machine.createContainer("terminal", { args: ["sh"], terminal: true });
    // The size in the execute message applies to processes of the VM only.
    const { pid, stdin, stdout, exit } = await machine.execute("terminal", {
      CreateStdErrPipe: false,
      ConsoleSize: [33, 111],
    });
    stdin.write("stty size\n");
    // What busybox says about a terminal without a size.
    await stdout.until("stty: standard input");
    await machine.client.request("resizeConsole", "terminal", { ProcessId: pid, Height: 44, Width: 122 });
    stdin.write("stty size; tty; exit 7\n");
    await stdout.until("44 122");
    await stdout.until("/dev/pts/0");
    expect(await exit).toBe(7);
    await stdout.all;
    await machine.client.request("resizeConsole", "terminal", { ProcessId: pid, Height: 10, Width: 10 });
    await machine.deleteContainer("terminal");
  });

  it("gives an exec a terminal, and loses no byte of it", async () => {
    await machine.createContainer("terminals", { args: ["sleep", "1000"] });
    const init = await machine.execute("terminals");
    const added = await machine.execute("terminals", {
      CreateStdErrPipe: false,
      OCIProcess: {
        terminal: true,
        consoleSize: { height: 12, width: 34 },
        args: [
          "sh",
          "-c",
          // A runtime may set the size after the start. Without one, stty prints nothing and succeeds.
          'stty -onlcr; until size=$(stty size 2>/dev/null); test "$size"; do sleep 0.01; done; echo "$size"; ' +
            "yes | head -c 200000; echo end",
        ],
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
    await machine.deleteContainer("terminals");
  });

  it("names a command that does not exist, and leaves nothing behind", async () => {
    await expect(machine.createContainer("missing", { args: ["no-such-command"] })).rejects.toMatchObject({
      message: expect.stringContaining("no-such-command"),
    });
    await expect(machine.client.request("deleteContainerState", "missing", {})).rejects.toMatchObject({
      hresultName: "HCS_E_SYSTEM_NOT_FOUND",
    });

    await machine.createContainer("host2", { args: ["sleep", "1000"] });
    const init = await machine.execute("host2");
    const attempt = machine.execute("host2", { OCIProcess: { args: ["nor-this"], cwd: "/", env: ["PATH=/bin"] } });
    await expect(attempt).rejects.toMatchObject({ message: expect.stringContaining("nor-this") });
    await machine.client.request("shutdownForced", "host2", {});
    await init.exit;
    await machine.deleteContainer("host2");

    const left = await machine.inGuest(["find", "/run/oci", "/run/agent", "-mindepth", "1", "-maxdepth", "1"]);
    expect(left.stdout).toBe("/run/oci/pod\n");
    const groups = await machine.inGuest(["find", "/sys/fs/cgroup", "-path", "*/containers/*", "-type", "d"]);
    expect(groups.stdout).not.toMatch(/containers\/(missing|host2)/);
  });

  it("stops a container that was never started, and starts ten at once", async () => {
    await machine.createContainer("idle", { args: ["true"] });
    await machine.client.request("shutdownForced", "idle", {});
    await vi.waitFor(() =>
      expect(machine.client.request("shutdownForced", "idle", {})).rejects.toMatchObject({
        hresultName: "HCS_E_SYSTEM_ALREADY_STOPPED",
      }),
    );
    await expect(machine.execute("idle")).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
    await machine.deleteContainer("idle");
    const runs = Array.from({ length: 10 }, (_, index) => machine.run(`ten-${index}`, ["echo", String(index)]));
    const results = await Promise.all(runs);
    expect(results.map(({ code, stdout }) => `${code} ${stdout}`)).toEqual(runs.map((_, index) => `0 ${index}\n`));
  });

  it("accepts a new bridge when the old one is lost, and keeps its containers", async () => {
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
    await machine.deleteContainer("survivor");
  });
});
