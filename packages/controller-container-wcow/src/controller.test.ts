import { type Fault, ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ContainerBench, noStdio, specification } from "./testing/index.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe("start", () => {
  it("starts the container, then its init process as it is described", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).created();
    const before = script.calls.length;
    expect(await bench.controller.init.start()).toBe(100);
    expect(script.names.slice(before)).toEqual(["start", "execute"]);
    expect(bench.controller.state).toBe("Running");
    expect(bench.guestContainer.executions).toMatchObject([
      { CommandLine: "ping -t localhost", WorkingDirectory: "C:\\", User: "ContainerUser" },
    ]);
  });

  it.each([0, 1])("that fails at its call %d ends the container, and publishes an exit", async (call) => {
    const script = new ScriptedCalls();
    await new ContainerBench(script).created();
    const failing = new ScriptedCalls(new Map([[script.calls.length + call, "fail"]]));
    const bench = await new ContainerBench(failing).created();
    await expect(bench.controller.init.start()).rejects.toMatchObject({ code: "Unavailable" });
    expect(await bench.controller.init.wait()).toMatchObject({ status: 255 });
    expect(bench.controller.state).toBe("Invalid");
    expect(bench.leftovers).toEqual([]);
    await bench.controller.delete();
    expect(bench.controller.state).toBe("Stopped");
  });
});

describe("after the exit of the init process", () => {
  it("shuts the container down, releases what it holds in reverse, and only then publishes the exit", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running(
      specification({ windows: { hyperv: {}, credentialSpec: "{}" } }),
    );
    const before = script.calls.length;
    let published = false;
    const waiting = bench.controller.init.wait().then((exit) => {
      published = true;
      return exit;
    });
    bench.guestContainer.ignoresShutdown = true;
    bench.initProcess.exit(42);
    await nextTurn();
    const { init } = bench.controller;
    expect([published, init.state, init.exit, init.hasEnded, bench.controller.state]).toEqual([
      ...[false, "running", undefined, true, "Ending"],
    ]);
    bench.guestContainer.end(1);
    expect(await waiting).toMatchObject({ status: 42 });
    expect([init.state, bench.controller.state, bench.leftovers]).toEqual(["stopped", "Stopped", []]);
    expect(script.names.slice(before)).toEqual([
      ...["shutdown", "closeRedirection", "removeCredentialGuard", "uncombine", "unmap disk"],
      ...["unmap share", "unmap share", "deleteState"],
    ]);
  });

  it("terminates a container that is not shut down within 30 s", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    bench.guestContainer.ignoresShutdown = true;
    bench.initProcess.exit(0);
    await nextTurn();
    await bench.clock.advance(29_999);
    expect(script.names).not.toContain("terminate");
    await bench.clock.advance(1);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 0 });
    expect(script.names).toContain("terminate");
    expect(bench.leftovers).toEqual([]);
    expect(bench.warnings).toEqual([expect.stringContaining("was not shut down within 30000 ms")]);
  });

  it("terminates at once if the guest refuses the shutdown", async () => {
    const counting = new ScriptedCalls();
    await new ContainerBench(counting).running();
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[counting.calls.length, "fail"]]))).running();
    bench.initProcess.exit(0);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 0 });
    expect(bench.leftovers).toEqual([]);
  });

  it("publishes the exit of a container that nothing ends, and keeps it for the deletion", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.ignoresShutdown = true;
    bench.guestContainer.ignoresTermination = true;
    bench.initProcess.exit(3);
    const waiting = bench.controller.init.wait();
    await nextTurn();
    await bench.clock.advance(30_000);
    await bench.clock.advance(30_000);
    expect(await waiting).toMatchObject({ status: 3 });
    expect(bench.leftovers).toEqual(["running c1", "known c1"]);
    expect(bench.warnings.at(-1)).toContain("holds resources until its deletion");
    bench.guestContainer.ignoresTermination = false;
    expect(await bench.controller.delete()).toMatchObject({ status: 3 });
    expect(bench.leftovers).toEqual([]);
  });

  it("does not wait for the end of a container that the guest no longer knows", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.ignoresShutdown = true;
    bench.guestContainer.ignoresTermination = true;
    bench.guest.known.delete("c1");
    bench.initProcess.exit(3);
    await nextTurn();
    await bench.clock.advance(30_000);
    await bench.clock.advance(30_000);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 3 });
    expect(bench.leftovers).toEqual(["running c1"]);
    expect(bench.warnings).toHaveLength(1);
  });

  it("does not depend on the report of the end of a container in which nothing runs", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.endsSilently = true;
    bench.initProcess.exit(3);
    await nextTurn();
    await bench.clock.advance(30_000);
    await bench.clock.advance(30_000);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 3 });
    expect(bench.leftovers).toEqual([]);
  });

  it("gives every exec its exit, and takes no more of them", async () => {
    const bench = await new ContainerBench().running();
    const request = { spec: { args: ["cmd"], cwd: "C:\\" }, stdio: noStdio };
    const running = await bench.controller.createProcess({ execId: "e1", ...request });
    const created = await bench.controller.createProcess({ execId: "e2", ...request });
    await running.start();
    bench.guestContainer.ignoresShutdown = true;
    bench.initProcess.exit(0);
    await nextTurn();
    await expect(bench.controller.createProcess({ execId: "e3", ...request })).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("the container is Ending, expected Running"),
    });
    bench.guestContainer.end(7);
    await bench.controller.init.wait();
    expect([await running.wait(), await created.wait()]).toMatchObject([{ status: 7 }, { status: 1 }]);
  });

  it("keeps what cannot be released for the deletion, which repeats it", async () => {
    const counting = new ScriptedCalls();
    const healthy = await new ContainerBench(counting).running();
    healthy.initProcess.exit(0);
    await healthy.controller.init.wait();
    const uncombine = counting.names.indexOf("uncombine");
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[uncombine, "fail"]]))).running();
    bench.initProcess.exit(0);
    await bench.controller.init.wait();
    expect(bench.leftovers).toEqual(["combined C:/mounts/scsi/disk0"]);
    expect(bench.warnings).toEqual([
      expect.stringContaining("container c1 holds resources until its deletion: uncombine"),
    ]);
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("a container that ends by itself", () => {
  it("ends its processes with it", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.end(5);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 5 });
    expect(bench.leftovers).toEqual([]);
  });

  it("before its start ends the init process", async () => {
    const bench = await new ContainerBench().created();
    bench.guestContainer.end(5);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 1 });
    expect(bench.leftovers).toEqual([]);
  });
});

describe("execs", () => {
  const request = { spec: { args: ["cmd", "/c", "dir"], cwd: "C:\\x" }, stdio: noStdio };

  it("run as they are described, and their pids are known", async () => {
    const bench = await new ContainerBench().running();
    const exec = await bench.controller.createProcess({ execId: "e1", ...request });
    await exec.start();
    expect(bench.guestContainer.executions.at(-1)).toMatchObject({
      CommandLine: "cmd /c dir",
      WorkingDirectory: "C:\\x",
    });
    expect(await bench.controller.pids()).toEqual([
      { pid: 100, details: { ProcessId: 100, ImageName: "100.exe" } },
      { pid: 101, execId: "e1", details: { ProcessId: 101, ImageName: "101.exe" } },
      { pid: 999, details: { ProcessId: 999, ImageName: "999.exe" } },
    ]);
    await exec.kill(9);
    await exec.wait();
    expect(await bench.controller.deleteProcess("e1")).toMatchObject({ status: 137 });
  });

  it("of a host process container run by the command interpreter, as the VM's account", async () => {
    const annotations = {
      "microsoft.com/hostprocess-container": "true",
      "microsoft.com/hostprocess-inherit-user": "true",
    };
    const plan = { podAnnotations: annotations };
    const bench = await new ContainerBench(new ScriptedCalls(), { plan }).running(specification({ annotations }));
    const spec = { args: ["whoami"], cwd: "C:\\" };
    await (await bench.controller.createProcess({ execId: "e1", spec, stdio: noStdio })).start();
    expect(bench.guestContainer.executions).toMatchObject([
      { CommandLine: "cmd /c ping -t localhost", User: "NT AUTHORITY\\SYSTEM" },
      { CommandLine: "cmd /c whoami", User: "NT AUTHORITY\\SYSTEM" },
    ]);
  });

  it.each([
    ["e/1", request.spec, "InvalidArgument", "the process id must start with a letter or digit"],
    ["taken", request.spec, "AlreadyExists", "a process with this id exists already"],
    ["e1", { cwd: "C:\\" }, "InvalidArgument", "process has neither args nor commandLine"],
    ["e1", { args: ["a\0b"] }, "InvalidArgument", "process: args[0]: expected text without NUL"],
    ["e1", { args: [7] }, "InvalidArgument", "process: args[0]: expected"],
  ])("are refused by what is wrong with them: %j %j", async (execId, spec, code, message) => {
    const bench = await new ContainerBench().running();
    await bench.controller.createProcess({ execId: "taken", ...request });
    await expect(bench.controller.createProcess({ execId, spec, stdio: noStdio })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it("need a running container", async () => {
    const bench = await new ContainerBench().created();
    await expect(bench.controller.createProcess({ execId: "e1", ...request })).rejects.toMatchObject({
      code: "FailedPrecondition",
    });
  });
});

describe("killAll", () => {
  it("signals execs, then the init process, which goes on if it wants to", async () => {
    const bench = await new ContainerBench().running();
    const spec = { args: ["cmd"], cwd: "C:\\" };
    await (await bench.controller.createProcess({ execId: "e1", spec, stdio: noStdio })).start();
    await bench.controller.killAll(15);
    expect(bench.guestContainer.processesRun.map(({ signals }) => signals)).toEqual([[15], [15]]);
    expect(bench.controller.state).toBe("Running");
  });

  it("refuses a signal that Windows does not have", async () => {
    const bench = await new ContainerBench().running();
    await expect(bench.controller.killAll(10)).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining("invalid signal 10: expected 0 (CtrlC)"),
    });
  });
});

describe("update", () => {
  it("changes memory in even MB, and one of the processor's limits", async () => {
    const bench = await new ContainerBench().running();
    await bench.controller.update({ memory: { limit: 511 * 2 ** 20 }, cpu: { count: 99 } });
    await bench.controller.update({ cpu: { shares: 5000 } });
    await bench.controller.update({ cpu: { maximum: 100 } });
    expect(bench.guestContainer.changes).toEqual([
      { ResourcePath: "Container/Memory/SizeInMB", RequestType: "Update", Settings: 512 },
      { ResourcePath: "Container/Processor", RequestType: "Update", Settings: { Count: 4 } },
      { ResourcePath: "Container/Processor", RequestType: "Update", Settings: { Weight: 5000 } },
      { ResourcePath: "Container/Processor", RequestType: "Update", Settings: { Maximum: 100 } },
    ]);
  });

  it.each([
    [{ cpu: { count: 1, shares: 2 } }, "InvalidArgument", "cpu has count 1, shares 2, expected one of"],
    [{ memory: { limit: 5 } }, "InvalidArgument", "memory.limit is 5 bytes, expected at least 1048576"],
    [{ memory: { limit: "5" } }, "InvalidArgument", "resources: memory.limit: expected"],
    [{ cpu: { affinity: [{ mask: 1 }] } }, "Unimplemented", "cpu.affinity cannot be changed"],
  ])("refuses %j", async (resources, code, message) => {
    const bench = await new ContainerBench().running();
    await expect(bench.controller.update(resources)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
    expect(bench.guestContainer.changes).toEqual([]);
  });

  it("needs a running container", async () => {
    const bench = await new ContainerBench().created();
    await expect(bench.controller.update({})).rejects.toMatchObject({ code: "FailedPrecondition" });
  });
});

describe("addMount", () => {
  it("shares and maps a directory, which is released with the container", async () => {
    const bench = await new ContainerBench().running();
    await bench.controller.addMount({ hostPath: "C:\\data", containerPath: "C:\\x", readOnly: true });
    expect(bench.shares.requests.at(-1)).toEqual({ hostPath: "C:\\data", kind: "directory", readOnly: true });
    expect(bench.guestContainer.changes).toEqual([
      {
        ...{ ResourcePath: "Container/MappedDirectories", RequestType: "Add" },
        Settings: { HostPath: "//?/VMSMB/share2", ContainerPath: "C:\\x", ReadOnly: true },
      },
    ]);
    await bench.controller.terminate();
    expect(bench.leftovers).toEqual([]);
  });

  it("that fails leaves the container as it was", async () => {
    const counting = new ScriptedCalls();
    await new ContainerBench(counting).running();
    const modify = counting.calls.length + 1;
    const bench = await new ContainerBench(new ScriptedCalls(new Map([[modify, "fail"]]))).running();
    const before = bench.leftovers;
    const mount = { hostPath: "C:\\data\\one.txt", containerPath: "C:\\one.txt", readOnly: false };
    await expect(bench.controller.addMount(mount)).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.leftovers).toEqual(before);
    expect(bench.controller.state).toBe("Running");
  });

  it.each([
    ["sandbox:///x", "C:\\x", 'hostPath is "sandbox:///x", expected'],
    ["C:\\missing", "C:\\x", "hostPath C:\\missing is missing, expected a file or directory"],
    ["C:\\data", "", "containerPath is empty"],
  ])("refuses %s at %j", async (hostPath, containerPath, message) => {
    const bench = await new ContainerBench().running();
    await expect(bench.controller.addMount({ hostPath, containerPath, readOnly: true })).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining(message),
    });
  });
});

describe("statistics and pids", () => {
  it("are the guest's", async () => {
    const bench = await new ContainerBench().running();
    expect(await bench.controller.statistics()).toEqual({ version: "windows", metrics: { Uptime100ns: 7 } });
  });

  it("are empty before the start, without asking the guest", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).created();
    const before = script.calls.length;
    expect(await bench.controller.statistics()).toEqual({ version: "windows", metrics: {} });
    expect(await bench.controller.pids()).toEqual([]);
    expect(script.calls).toHaveLength(before);
  });
});

it.each(["pause", "resume"] as const)("cannot %s", async (operation) => {
  const bench = await new ContainerBench().running();
  await expect(bench.controller[operation]()).rejects.toMatchObject({ code: "Unimplemented" });
  expect(bench.controller.isPaused).toBe(false);
});

describe("delete", () => {
  it("is refused while the container runs, and can be repeated afterwards", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    await expect(bench.controller.delete()).rejects.toMatchObject({ code: "FailedPrecondition" });
    bench.initProcess.exit(5);
    await bench.controller.init.wait();
    expect(await bench.controller.delete()).toMatchObject({ status: 5 });
    const { length } = script.calls;
    expect(await bench.controller.delete()).toMatchObject({ status: 5 });
    expect(script.calls).toHaveLength(length);
  });

  it("of a container that was never started ends it without a shutdown, and nothing has failed", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).created();
    expect(await bench.controller.delete()).toMatchObject({ status: 0 });
    expect(script.names).not.toContain("shutdown");
    expect(bench.leftovers).toEqual([]);
  });

  it("waits 30 s for a container that ends", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.ignoresShutdown = true;
    bench.guestContainer.ignoresTermination = true;
    bench.initProcess.exit(5);
    await nextTurn();
    const deleting = bench.controller.delete();
    const refused = expect(deleting).rejects.toMatchObject({ code: "DeadlineExceeded" });
    await nextTurn();
    await bench.clock.advance(30_000);
    await refused;
    bench.guestContainer.end(1);
    expect(await bench.controller.delete()).toMatchObject({ status: 5 });
    expect(bench.leftovers).toEqual([]);
  });

  it("continues when the caller stops waiting", async () => {
    const bench = await new ContainerBench().created();
    const abort = new AbortController();
    const deleting = bench.controller.delete(abort.signal);
    abort.abort(new Error("no longer"));
    await expect(deleting).rejects.toThrow("no longer");
    await bench.controller.delete();
    expect(bench.leftovers).toEqual([]);
  });
});

describe("terminate", () => {
  it("ends a running container without a shutdown, and does nothing the second time", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running();
    await bench.controller.terminate();
    await bench.controller.terminate();
    expect(bench.controller.state).toBe("Stopped");
    expect(bench.controller.init.exit).toMatchObject({ status: 0xffffffff });
    expect(script.names.filter((name) => name === "terminate")).toHaveLength(1);
    expect(script.names).not.toContain("shutdown");
    expect(bench.leftovers).toEqual([]);
  });

  it("interrupts a shutdown that takes its time", async () => {
    const bench = await new ContainerBench().running();
    bench.guestContainer.ignoresShutdown = true;
    bench.initProcess.exit(5);
    await nextTurn();
    await bench.controller.terminate();
    expect(bench.controller.init.exit).toMatchObject({ status: 5 });
    expect(bench.leftovers).toEqual([]);
    expect(bench.warnings).toEqual([]);
  });

  it("interrupts a create that hangs, and leaves nothing behind", async () => {
    const hanging = Promise.withResolvers<void>();
    const bench = new ContainerBench(new ScriptedCalls(new Map([[5, "hang"]]), hanging.resolve));
    const creating = bench.created();
    await hanging.promise;
    await Promise.all([expect(creating).rejects.toMatchObject({ code: "Cancelled" }), bench.controller.terminate()]);
    expect(bench.leftovers).toEqual([]);
  });

  it("interrupts a start that hangs, and init exits", async () => {
    const counting = new ScriptedCalls();
    await new ContainerBench(counting).created();
    const hanging = Promise.withResolvers<void>();
    const script = new ScriptedCalls(new Map([[counting.calls.length, "hang"]]), hanging.resolve);
    const bench = await new ContainerBench(script).created();
    const starting = bench.controller.init.start();
    await hanging.promise;
    await Promise.all([expect(starting).rejects.toMatchObject({ code: "Cancelled" }), bench.controller.terminate()]);
    expect(await bench.controller.init.wait()).toMatchObject({ status: 255 });
    expect(bench.leftovers).toEqual([]);
  });
});

describe("after the VM is gone", () => {
  it("counts what the VM held as released, and still releases what is on the host", async () => {
    const script = new ScriptedCalls();
    const bench = await new ContainerBench(script).running(
      specification({ windows: { hyperv: {}, credentialSpec: "{}" } }),
    );
    const before = script.calls.length;
    bench.controller.vmExited({ reason: "crash" });
    expect(await bench.controller.init.wait()).toMatchObject({ status: 255 });
    expect(script.names.slice(before)).toEqual(["closeRedirection", "removeCredentialGuard"]);
    expect(bench.hostLeftovers).toEqual([]);
    await bench.controller.delete();
    expect(bench.controller.state).toBe("Stopped");
  });

  it("fails a create in progress, and completes a release that waits for the VM", async () => {
    const counting = new ScriptedCalls();
    await new ContainerBench(counting).created();
    const create = counting.names.indexOf("createContainer");
    const faults = new Map<number, Fault>([
      [create, "fail"],
      [create + 1, "hang"],
    ]);
    const bench: ContainerBench = new ContainerBench(
      new ScriptedCalls(faults, () => bench.controller.vmExited({ reason: "crash" })),
    );
    await expect(bench.created()).rejects.toMatchObject({ code: "Unavailable" });
    expect(bench.hostLeftovers).toEqual([]);
  });
});

it("has no init before it is created", () => {
  expect(() => new ContainerBench().controller.init).toThrow(expect.objectContaining({ code: "FailedPrecondition" }));
});
