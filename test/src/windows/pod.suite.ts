/** Run under Wine: what containers of a pod can do, behind the shim's executable. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { connectWindowsHost, librariesOf } from "@uvm-shim/hcs-bindings/windows";
import { containerd, io } from "@uvm-shim/shim/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { digestOf, PATTERN } from "../e2e/images.ts";
import { NetworkPlan } from "../e2e/networks.ts";
import { Pod } from "../shim-client/pod.ts";
import { Sandbox, Task } from "../shim-client/shim.ts";
import { casePaths, podPaths } from "./case-paths.ts";
import { readPipe } from "./read-pipe.ts";
import { exitOf, podOptions, runToEnd, startContainer } from "./windows-pod.ts";

const { V1, V2 } = { V1: io.containerd.cgroups.v1.Metrics, V2: io.containerd.cgroups.v2.Metrics };
const { Status } = containerd.v1.types;
const signals = { kill: 9, terminate: 15 };
const pattern = readFileSync(podPaths().pattern);
const id = "pod";
let pod: Pod;

beforeAll(async () => {
  pod = await Pod.run(podOptions(id));
});
afterAll(() => pod?.abandon());

describe("the sandbox", () => {
  it("is ready, on Linux", async () => {
    expect(await pod.shim.call(Sandbox, "SandboxStatus", { sandboxId: id })).toMatchObject({ state: "SANDBOX_READY" });
    const { platform } = await pod.shim.call(Sandbox, "Platform", { sandboxId: id });
    expect(platform).toMatchObject({ os: "linux", architecture: "amd64" });
    await pod.shim.call(Sandbox, "PingSandbox", { sandboxId: id });
  });

  it("serves its log on the pipe that containerd dials", async () => {
    const pipe = String.raw`\\.\pipe\containerd-shim-pods-${id}-log`;
    expect(await readPipe(pipe, /msg=serving .*\n/)).toMatch(/ namespace=pods id=pod socket=/);
  });

  it("has the memory of its VM measured", async () => {
    const { stats } = await pod.shim.call(Task, "Stats", { id });
    expect(stats?.type_url).toBe("io.containerd.cgroups.v1.Metrics");
    expect(Number(V1.decode(stats?.value ?? new Uint8Array()).memory?.usage?.usage)).toBeGreaterThan(1024 * 1024);
  });
});

describe("a container of layers", () => {
  it("writes 8 MiB to its standard output, and ends with its own exit code", async () => {
    const script = `cat ${PATTERN.path}; echo written >&2; exit 3`;
    const { status, stdout, stderr } = await runToEnd(pod, { id: "flood", args: ["sh", "-c", script] });
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 3, stderr: "written\n" });
    expect(digestOf(stdout)).toBe(digestOf(pattern));
  });

  it("reads 8 MiB from its standard input, until that ends", async () => {
    const container = await startContainer(pod, { id: "cat", args: ["cat"] });
    container.stdio.stdin.end(pattern);
    await container.closeStdin();
    const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
    expect({ status, digest: digestOf(output.stdout) }).toEqual({ status: 0, digest: digestOf(pattern) });
    await container.delete();
  });

  it("writes on its scratch disk, and the layer stays as it was", async () => {
    const args = ["sh", "-c", `wc -c <${PATTERN.path}; echo own >${PATTERN.path}; cat ${PATTERN.path}`];
    for (const each of ["writer", "other-writer"]) {
      const { stdout } = await runToEnd(pod, { id: each, args });
      expect(stdout.toString()).toBe(`${PATTERN.size}\nown\n`);
    }
  });

  it("shares directories and files of the host", async () => {
    const folder = path.join(casePaths().directory, "shared");
    mkdirSync(folder);
    const file = path.join(folder, "file");
    writeFileSync(file, "of the host\n");
    const script = "cat /folder/file /alone; echo of the guest >/folder/new; echo none >/alone";
    const { status, stdout } = await runToEnd(pod, {
      id: "sharing",
      args: ["sh", "-c", script],
      change: (specification) => ({
        ...specification,
        mounts: [
          ...specification.mounts,
          { destination: "/folder", type: "bind", source: folder, options: ["rbind", "rw"] },
          { destination: "/alone", type: "bind", source: file, options: ["bind", "ro"] },
        ],
      }),
    });
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 1, stdout: "of the host\nof the host\n" });
    expect(readFileSync(path.join(folder, "new"), "utf8")).toBe("of the guest\n");
    expect(readFileSync(file, "utf8")).toBe("of the host\n");
  });

  it("reports its state, its processes and its use of resources", async () => {
    const container = await startContainer(pod, { id: "observed", args: ["sleep", "1000"] });
    const state = () => pod.shim.call(Task, "State", { id: "observed" });
    expect(await state()).toMatchObject({ status: Status.RUNNING, exitStatus: 0 });
    const exec = await container.exec("second", { args: ["sleep", "1000"] });
    const { processes } = await pod.shim.call(Task, "Pids", { id: "observed" });
    expect(processes).toHaveLength(2);
    const { stats } = await pod.shim.call(Task, "Stats", { id: "observed" });
    const Metrics = stats?.type_url === "io.containerd.cgroups.v1.Metrics" ? V1 : V2;
    expect(Number(Metrics.decode(stats?.value ?? new Uint8Array()).pids?.current)).toBe(2);
    await container.kill(signals.kill);
    expect(await container.wait()).toBe(137);
    exec.close();
    expect(await state()).toMatchObject({ status: Status.STOPPED, exitStatus: 137 });
    await container.delete();
  });

  it("receives signals, and its exit is an event", async () => {
    const args = ["sh", "-c", "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done"];
    const container = await startContainer(pod, { id: "signalled", args });
    const output = container.stdio.output();
    await new Promise((resolve) => container.stdio.stdout.once("data", resolve));
    await container.kill(signals.terminate);
    expect(await container.wait()).toBe(42);
    await output;
    expect(await exitOf(pod, "signalled")).toMatchObject({ containerId: "signalled", exitStatus: 42 });
    await container.delete();
  });
});

describe("an exec", () => {
  it("has an exit code and streams of its own", async () => {
    const container = await startContainer(pod, { id: "host-of-execs", args: ["sleep", "1000"] });
    const exec = await container.exec("seven", { args: ["sh", "-c", "read line; echo got $line; exit 7"] });
    exec.stdin.write("a line\n");
    const [{ stdout }, status] = await Promise.all([exec.output(), container.wait("seven")]);
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 7, stdout: "got a line\n" });
    expect(await container.deleteExec("seven")).toBe(7);
    exec.close();
    await container.kill(signals.kill);
    await container.wait();
    await container.delete();
  });

  it("has a terminal, whose size changes", async () => {
    const container = await startContainer(pod, { id: "host-of-terminal", args: ["sleep", "1000"] });
    const script = 'until [ "$(stty size)" = "42 117" ]; do sleep 0.05; done; read line; echo "got $line"; exit 3';
    const exec = await container.exec("terminal", { args: ["sh", "-c", script], terminal: true });
    const size = { id: "host-of-terminal", execId: "terminal" };
    await pod.shim.call(Task, "ResizePty", { ...size, width: 80, height: 24 });
    await pod.shim.call(Task, "ResizePty", { ...size, width: 117, height: 42 });
    exec.stdin.write("typed\n");
    const [{ stdout }, status] = await Promise.all([exec.output(), container.wait("terminal")]);
    expect({ status, stdout: stdout.toString() }).toEqual({
      status: 3,
      stdout: expect.stringMatching(/got typed\r\n/),
    });
    exec.close();
    await container.kill(signals.kill);
    await container.wait();
    await container.delete();
  });
});

describe("a network of the compute network service", () => {
  let host: ComputeHost;
  let plan: NetworkPlan;

  beforeAll(async () => {
    host = await connectWindowsHost(librariesOf(podPaths().libraries));
    plan = new NetworkPlan(host.networks);
  });
  afterAll(async () => {
    await plan?.remove();
    await host?.close();
  });

  it("gives a container the endpoint of its namespace", async () => {
    const networkNamespace = await plan.namespace();
    const network = await plan.network("pods", "10.41.0.0/24");
    const IpConfigurations = [{ IpAddress: "10.41.0.2", PrefixLength: 24 }];
    await plan.endpoint(networkNamespace, network, { Name: "eth0", IpConfigurations });
    const args = ["ip", "-o", "-4", "addr", "show"];
    const { status, stdout } = await runToEnd(pod, { id: "networked", args, networkNamespace });
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(/eth0 +inet 10\.41\.0\.2\/24/);
  });
});
