/** Clients' secrets must not appear in the log at its lowest level, in errors, in events or in the shim's files. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { FakeUpstream } from "@uvm-shim/controller-process/testing";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { systemClock } from "@uvm-shim/lifecycle";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { LogLevel } from "@uvm-shim/shim";
import { containerd, runtimeoptions } from "@uvm-shim/shim/protocol";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createServices } from "../../../packages/shim/src/services/services.ts";
import { formatLine } from "../../../packages/shim/src/system/log.ts";
import { EventServer } from "../../../packages/shim/src/testing/event-server.ts";
import { TtrpcClient } from "../../../packages/ttrpc/src/index.ts";
import { createLcowPlatform } from "./platform-lcow.ts";

const { Task } = containerd.task.v3;
const canary = "canary-7f3a";
/** As long as keys and tokens; tests look for its beginning, since texts may be cut. */
const secret = `${canary}-${"0123456789abcdef".repeat(4)}`;
const sourceOf = (path: string): string => fileURLToPath(new URL(`../../../packages/${path}`, import.meta.url));
const vm = "io.microsoft.virtualmachine.";

describeWith(
  "root",
  "crun",
  "busybox",
)("secrets of callers", () => {
  let folder: string;
  let socketPath: string;
  let host: ComputeHost;
  let events: EventServer;
  let texts: string[];
  let calls: number;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "canary-"));
    mkdirSync(join(folder, "LinuxBootFiles"));
    writeFileSync(join(folder, "LinuxBootFiles/kernel"), `${processGuestKernel}\n`);
    symlinkSync(sourceOf("guest-agent/src/main.ts"), join(folder, "LinuxBootFiles/initrd.img"));
    socketPath = join(folder, "host.sock");
    const start = {
      command: process.execPath,
      args: [sourceOf("host-emulator/src/main.ts")],
      env: { [hostVariables.idleMs]: "100" },
    };
    host = await connectEmulatedHost({ socketPath, start });
    events = new EventServer();
    await events.listen(join(folder, "events"));
    await makeRootfs(join(folder, "rootfs"));
    [texts, calls] = [[], 0];
  });
  afterEach(async () => {
    await events.close();
    await host.close();
    await vi.waitFor(() => expect(existsSync(socketPath)).toBe(false), { timeout: 10_000 });
    rmSync(folder, { recursive: true });
  });

  /** The services on the real platform, at the lowest log level. */
  async function withShim(
    runtimeOptions: { readonly typeUrl: string; readonly value: Uint8Array },
    work: (call: TtrpcClient["call"]) => Promise<void>,
  ): Promise<void> {
    const log = {
      log: (level: LogLevel, message: string, fields = {}) =>
        void texts.push(formatLine(new Date(0), level, message, fields).toString(), inspect(fields, { depth: 9 })),
    };
    const platform = createLcowPlatform({
      log,
      guestLog: log,
      requestLog: log,
      upstreamStdio: new FakeUpstream(new ScriptedCalls()),
      env: { UVM_SHIM_HOST: `unix:${socketPath}` },
      executableDirectory: folder,
      namespace: "canary",
    });
    const services = createServices({
      ...{ shimId: "c1", namespace: "canary", bundle: folder, pid: process.pid, version: "1", runtimeOptions },
      ...{ ttrpcAddress: `unix://${join(folder, "events")}`, platform: async () => platform, log, clock: systemClock },
      ...{ lingerMilliseconds: 10_000, isDispensable: async () => true, end: () => {}, handOver: () => {} },
    });
    const server = createServer((socket) => services.serve(socket));
    const socket = join(folder, "shim.sock");
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const client = new TtrpcClient(dial(socket));
    try {
      await work(client.call.bind(client) as TtrpcClient["call"]);
    } finally {
      client.close();
      await services.stopAll(1_000);
      await services.close(1_000);
      await new Promise((resolve) => server.close(resolve));
      await platform.close();
    }
  }

  const options = (configBody: string) => {
    const { Options } = runtimeoptions.v1;
    return {
      typeUrl: "runtimeoptions.v1.Options",
      value: Options.encode(new Options({ configBody: Buffer.from(configBody) })).finish(),
    };
  };
  const ordinary = options(
    `log_level = "trace"\nregistry_root = "https://user:${secret}@registry"\n[default_container_annotations]\n"com.example" = "${secret}"`,
  );
  const specification = (changes: { readonly process?: object; readonly annotations?: object } = {}) => ({
    ociVersion: "1.0.2",
    root: { path: "rootfs" },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: { namespaces: [{ type: "pid" }, { type: "mount" }], resources: {} },
    ...changes,
    process: {
      args: ["sh", "-c", "sleep 100", secret],
      cwd: "/",
      env: ["PATH=/bin", `TOKEN=${secret}`],
      user: { uid: 0, gid: 0 },
      ...changes.process,
    },
    annotations: {
      [`${vm}computetopology.memory.sizeinmb`]: "256",
      "com.example/token": secret,
      ...changes.annotations,
    },
  });

  function bundle(configuration: object | string): string {
    const directory = join(folder, `bundle-${calls++}`);
    mkdirSync(directory);
    const text = typeof configuration === "string" ? configuration : JSON.stringify(configuration);
    writeFileSync(join(directory, "config.json"), text);
    return directory;
  }

  const creation = (configuration: object | string, id = "c1") => ({
    id,
    bundle: bundle(configuration),
    rootfs: [{ type: "bind", source: join(folder, "rootfs"), options: ["rbind", "rw"] }],
  });

  async function refused(call: Promise<unknown>): Promise<void> {
    const error = await call.then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(Error);
    texts.push(String((error as Error).message));
  }

  function expectNoCanary(): void {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "config.json")
      .map(({ parentPath, name }) => join(parentPath, name))
      .filter((file) => !file.startsWith(join(folder, "rootfs")));
    for (const file of files) expect(readFileSync(file).includes(canary), file).toBe(false);
    expect(texts.filter((text) => text.includes(canary))).toEqual([]);
    expect(JSON.stringify(events.received).includes(canary)).toBe(false);
  }

  it("appear in no log, event, error or file of a running pod", { timeout: 60_000 }, async () => {
    await withShim(ordinary, async (call) => {
      await call(Task, "Create", creation(specification()));
      await call(Task, "Start", { id: "c1" });
      const spec = (process: object | string) => ({
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process",
        value: Buffer.from(typeof process === "string" ? process : JSON.stringify(process)),
      });
      const exec = { args: ["sh", "-c", "exit 0", secret], cwd: "/", env: ["PATH=/bin", `TOKEN=${secret}`] };
      await call(Task, "Exec", { id: "c1", execId: "e1", spec: spec(exec) });
      await call(Task, "Start", { id: "c1", execId: "e1" });
      expect(await call(Task, "Wait", { id: "c1", execId: "e1" })).toMatchObject({ exitStatus: 0 });
      for (const wrong of [
        `{"env":["TOKEN=${secret}" x`,
        `${secret}`,
        { ...exec, env: `TOKEN=${secret}` },
        { ...exec, env: [`TOKEN=${secret}\0`] },
        { ...exec, env: [{ TOKEN: secret }] },
        { ...exec, args: secret },
        { ...exec, args: [secret.repeat(9_000)] },
        { ...exec, args: ["sh", `${secret}\0`] },
      ]) {
        await refused(
          call(Task, "Exec", { id: "c1", execId: "e2", spec: spec(wrong) }).then(() =>
            call(Task, "Start", { id: "c1", execId: "e2" }),
          ),
        );
        await call(Task, "Delete", { id: "c1", execId: "e2" }).catch(() => {});
      }
      const resources = {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
        value: Buffer.from(`"${secret}`),
      };
      await refused(call(Task, "Update", { id: "c1", resources }));
      const inPod = { "io.uvm-shim.sandbox-id": "c1" };
      for (const wrong of [
        { process: { env: `TOKEN=${secret}` } },
        { process: { env: [`TOKEN=${secret}\0`] } },
        { process: { env: [[secret]] } },
        { process: { args: secret } },
        { process: { args: ["sh", `${secret}\0`] } },
        { annotations: { [`${vm}wcow.amd-certificate`]: `${secret}!` } },
        { annotations: { "io.microsoft.lcow.shm.size-kb": secret } },
        { annotations: { "io.microsoft.container.gpu.capabilities": secret } },
      ]) {
        const annotations = { ...inPod, ...wrong.annotations };
        await refused(call(Task, "Create", creation(specification({ ...wrong, annotations }), "c2")));
      }
      await call(Task, "Kill", { id: "c1", signal: 9 });
      await call(Task, "Wait", { id: "c1" });
      await call(Task, "Delete", { id: "c1" });
    });
    expect(texts.some((text) => text.includes("level=debug"))).toBe(true);
    expectNoCanary();
  });

  it("appear in no error or log line of a refused pod", { timeout: 60_000 }, async () => {
    const wrong: (object | string)[] = [
      ...[true, null, 73313731, [secret], { token: secret }].map((typed) =>
        specification({ annotations: { "com.example/typed": typed } }),
      ),
      `{"process":{"env":["TOKEN=${secret}" x`,
      secret,
      ...[
        { [`${vm}lcow.securitypolicy`]: `{${secret}` },
        { [`${vm}lcow.securitypolicy`]: `${secret}\n` },
        { [`${vm}lcow.kernelbootoptions`]: `token=${secret}\n` },
        { [`${vm}kerneldrivers`]: secret },
        { "io.microsoft.network.ncproxy": secret },
        { [`${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`]: `{"x":"${secret}"}` },
        { [`${vm}computetopology.processor.count`]: secret },
        { [`${vm}cpugroup.id`]: secret },
      ].map((annotations) => specification({ annotations })),
      // The guest refuses this one.
      specification({
        annotations: {
          [`${vm}lcow.securitypolicy`]: btoa(`package policy\n${secret}`),
          [`${vm}no_security_hardware`]: "true",
        },
      }),
    ];
    await withShim(ordinary, async (call) => {
      for (const configuration of wrong) await refused(call(Task, "Create", creation(configuration)));
    });
    const { Options } = containerd.runhcs.v1;
    for (const runtimeOptions of [
      options(`registry_root = "${secret}" x`),
      options(`vm_processor_count = "${secret}"`),
      options(`[default_container_annotations]\na = ["${secret}"]`),
      options(`default_container_annotations = "${secret}"`),
      { typeUrl: "containerd.runhcs.v1.Options", value: Options.encode({ NCProxyAddr: secret }).finish() },
    ]) {
      await withShim(runtimeOptions, (call) => refused(call(Task, "Create", creation(specification()))));
    }
    expect(texts.filter((text) => text.includes("73313731"))).toEqual([]);
    expectNoCanary();
  });
});
