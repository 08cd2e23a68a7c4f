/** Run under Wine: a sandboxer as a service, by the service control manager's own tools. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { runCommand } from "@uvm-shim/test-support/command";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { poll } from "../support/wait.ts";
import { casePaths } from "./case-paths.ts";
import { left, remember } from "./linux-side.ts";
import { SandboxerClient, usualPipe } from "./sandboxer-process.ts";
import { executable } from "./shim-process.ts";
import { hostEnvironment, podOptions, runToEnd, startContainer } from "./windows-pod.ts";

const service = "uvm-shim-lcow";
const pipe = usualPipe("lcow");
const settleMs = 30_000;
/** ERROR_SERVICE_SPECIFIC_ERROR: the code is the service's own. */
const serviceSpecificError = 1066;
const refusedCode = 2;

/** A service of this name that `sc` makes. */
class Service {
  readonly folder: string;
  readonly containerd: string;

  constructor(name: string) {
    this.folder = path.join(casePaths().directory, `service-${name}`);
    this.containerd = String.raw`\\.\pipe\uvm-shim-containerd-${name}`;
    mkdirSync(this.folder);
  }

  get log(): string {
    const file = path.join(this.folder, "uvm-shim", "sandboxer", "lcow.log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  get state(): string {
    return path.join(this.folder, "uvm-shim", "sandboxer", "lcow");
  }

  /** Wine gives a service no environment of its own, so a script sets it. */
  async install(settings: string): Promise<void> {
    const file = path.join(this.folder, "sandboxer.toml");
    writeFileSync(file, settings);
    const variables = { ...hostEnvironment(), ProgramData: this.folder };
    const lines = Object.entries(variables).map(([name, value]) => `@set "${name}=${value}"`);
    const script = path.join(this.folder, "service.cmd");
    const command = `@"${executable("lcow")}" -config "${file}" -service sandboxer`;
    writeFileSync(script, [...lines, command, ""].join("\r\n"));
    await sc("create", service, "binPath=", `cmd.exe /d /c ${script}`, "start=", "demand");
    await sc("failure", service, "reset=", "86400", "actions=", "restart/0/restart/1000/restart/5000");
  }
}

async function sc(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCommand("sc.exe", args);
  if (status !== 0) throw new Error(`sc ${args.join(" ")} ends with ${status}: ${stdout}${stderr}`);
  return stdout.toString();
}

async function query(): Promise<{ readonly state: string; readonly exitCode: number; readonly specific: number }> {
  const text = await sc("query", service);
  const numberOf = (name: string): number => Number(new RegExp(`${name} *: *(\\d+)`).exec(text)?.[1]);
  const state = /STATE *: *\d+ +(\w+)/.exec(text)?.[1] ?? text;
  return { state, exitCode: numberOf("WIN32_EXIT_CODE"), specific: numberOf("SERVICE_EXIT_CODE") };
}

async function until(state: string): Promise<Awaited<ReturnType<typeof query>>> {
  const reached = async () => {
    const found = await query();
    return found.state === state ? found : undefined;
  };
  return await poll(`the service to be ${state}`, reached, { timeoutMs: settleMs });
}

describe("a sandboxer that is a service", () => {
  const ends: (() => unknown)[] = [];
  beforeEach(remember);
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
    await runCommand("sc.exe", ["stop", service]);
    await until("STOPPED");
    await sc("delete", service);
    expect(await left()).toEqual([]);
  });

  async function connect(containerd: string): Promise<SandboxerClient> {
    const client = await SandboxerClient.connect(pipe, containerd);
    ends.push(() => client.close());
    return client;
  }

  it("runs pods from its start on, and ends them in order when it is stopped, if told to", async () => {
    const installed = new Service("drained");
    await installed.install(`containerd = '${installed.containerd}'\ndrain = true\n`);
    await sc("start", service);
    await until("RUNNING");
    const client = await connect(installed.containerd);
    const pod = await client.run(podOptions("in-service"));
    const ran = await runToEnd(pod, { id: "in-service-short", args: ["sh", "-c", "echo served; exit 3"] });
    expect({ status: ran.status, stdout: ran.stdout.toString() }).toEqual({ status: 3, stdout: "served\n" });
    await startContainer(pod, { id: "in-service-long", args: ["sleep", "1000"] });
    await sc("stop", service);
    expect(await until("STOPPED")).toMatchObject({ exitCode: 0 });
    await pod.shim.closed;
    expect(installed.log).toMatch(/msg=ending reason=SERVICE_CONTROL_STOP pods=1 drain=true/);
    expect(existsSync(path.join(installed.state, "pods", "in-service"))).toBe(false);
  });

  it("reports its pods as lost once it has been killed, when it is started again", async () => {
    const installed = new Service("killed");
    await installed.install(`containerd = '${installed.containerd}'\n`);
    await sc("start", service);
    await until("RUNNING");
    const client = await connect(installed.containerd);
    const pod = await client.run(podOptions("in-killed-service"));
    process.kill(await pod.shimPid(), "SIGKILL");
    await pod.shim.closed;
    await until("STOPPED");
    await sc("start", service);
    await until("RUNNING");
    client.reconnect(pipe);
    const sandboxId = "in-killed-service";
    expect(await client.controller.call("Status", { sandboxId })).toMatchObject({ state: "SANDBOX_NOTREADY" });
    await client.remove(sandboxId);
    expect(readdirSync(path.join(installed.state, "pods"))).toEqual([]);
  });

  it("stops with the code of a refusal if a setting is wrong, and its log says which", async () => {
    const installed = new Service("refused");
    await installed.install("sockets = 'x'\n");
    await runCommand("sc.exe", ["start", service]);
    expect(await until("STOPPED")).toMatchObject({ exitCode: serviceSpecificError, specific: refusedCode });
    expect(installed.log).toMatch(/msg="cannot run" error=".*unknown key \\"sockets\\"/);
  });

  it("is refused without the service control manager", async () => {
    await new Service("alone").install("");
    const { status, stderr } = await runCommand(executable("lcow"), ["-service", "sandboxer"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^containerd-shim-lcow-v2: the service control manager has not started this process/);
  });
});
