import path from "node:path";
import { bindSocket } from "@uvm-shim/test-support/bound-sockets";
import { describe, expect, it } from "vitest";
import { containerd } from "../generated/messages.js";
import { eachTestWithProcesses, type ShimProcesses } from "../testing/shim-processes.ts";
import { takeInheritedSockets } from "./inherited-sockets.ts";

const { Task } = containerd.task.v3;

let shim: ShimProcesses;
eachTestWithProcesses((processes) => {
  shim = processes;
});

describe("a sandboxer whose sockets systemd has bound", () => {
  it("serves them, and a client that comes while it is started again waits instead of being refused", async () => {
    const files = ["sandboxer", "sandboxer.ttrpc"].map((name) => path.join(shim.directory, name));
    const bound = await Promise.all(files.map(bindSocket));
    const starting = shim.startSandboxer({ sockets: bound.map(({ descriptor }) => descriptor) });
    // The child has its copies from here on, and accepts what comes.
    for (const { leave } of bound) leave();
    const sandboxer = await starting;
    const env = { UVM_SHIM_SANDBOXER: sandboxer.socket };
    shim.makeBundle("c1", { process: { args: ["0"] } });
    const first = shim.connect(await shim.start("c1", { env }));
    expect(await first.call(Task, "Connect", { id: "c1" })).toMatchObject({ shimPid: sandboxer.pid });
    process.kill(sandboxer.pid, "SIGKILL");
    shim.makeBundle("c2", { process: { args: ["0"] } });
    const second = shim.connect(await shim.start("c2", { env }));
    const { shimPid } = await second.call(Task, "Connect", { id: "c2" });
    expect(shimPid).not.toBe(sandboxer.pid);
    process.kill(shimPid, "SIGTERM");
    // Its orderly end leaves them as well.
    shim.makeBundle("c3", { process: { args: ["0"] } });
    const third = shim.connect(await shim.start("c3", { env }));
    expect((await third.call(Task, "Connect", { id: "c3" })).shimPid).not.toBe(shimPid);
  });

  it("refuses one that is not where its configuration says", async () => {
    const bound = await bindSocket(path.join(shim.directory, "elsewhere"));
    const descriptors = [bound.descriptor];
    const failing = shim.startSandboxer({ sockets: descriptors, untilSaid: "expected" });
    bound.leave();
    const { log } = await failing;
    expect(log()).toContain(
      `descriptor 3 is the socket ${path.join(shim.directory, "elsewhere")}, expected ${path.join(shim.directory, "sandboxer.ttrpc")} or`,
    );
  });
});

describe("the variables by which systemd passes sockets", () => {
  const expected = ["/run/x"];

  it("are taken from the environment, and concern only the process that they name", () => {
    const env: NodeJS.ProcessEnv = { LISTEN_PID: "1", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b", OTHER: "stays" };
    expect([...takeInheritedSockets(env, 2, expected)]).toEqual([]);
    expect(env).toEqual({ OTHER: "stays" });
  });

  it.each(["", "x", "-1", "65", "1000"])("are refused with LISTEN_FDS=%j", (count) => {
    expect(() => takeInheritedSockets({ LISTEN_PID: "7", LISTEN_FDS: count }, 7, expected)).toThrow(
      `environment variable LISTEN_FDS is ${JSON.stringify(count)}, expected a number of at most 64`,
    );
  });

  it("are refused where a descriptor is no socket", () => {
    expect(() => takeInheritedSockets({ LISTEN_PID: "7", LISTEN_FDS: "64" }, 7, expected)).toThrow(
      /^descriptor \d+ is no Unix socket with a path, expected \/run\/x/,
    );
  });
});
