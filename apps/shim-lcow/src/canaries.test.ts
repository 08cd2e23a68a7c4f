/** Clients' secrets must not appear in the log at its lowest level, in errors, in events or in the shim's files. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { CanaryBench, configuredOptions as options, secret } from "@uvm-shim/platform-common/testing";
import { containerd } from "@uvm-shim/shim/protocol";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLcowPlatform } from "./platform-lcow.ts";

const { Task } = containerd.task.v3;
const agent = fileURLToPath(new URL("../../../packages/guest-agent/src/main.ts", import.meta.url));
const vm = "io.microsoft.virtualmachine.";

describeWith(
  "root",
  "crun",
  "busybox",
)("secrets of callers", () => {
  let bench: CanaryBench;
  let rootfs: string;
  beforeEach(async () => {
    bench = await CanaryBench.open(createLcowPlatform);
    const bootFiles = join(bench.folder, "LinuxBootFiles");
    mkdirSync(bootFiles);
    writeFileSync(join(bootFiles, "kernel"), `${processGuestKernel}\n`);
    symlinkSync(agent, join(bootFiles, "initrd.img"));
    rootfs = join(bench.folder, "rootfs");
    await makeRootfs(rootfs);
  });
  afterEach(() => bench.close());

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

  const creation = (configuration: object | string, id = "c1") => ({
    id,
    bundle: bench.bundle(configuration),
    rootfs: [{ type: "bind", source: rootfs, options: ["rbind", "rw"] }],
  });

  it("appear in no log, event, error or file of a running pod", { timeout: 60_000 }, async () => {
    await bench.withShim(ordinary, async (call) => {
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
        await bench.refused(
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
      await bench.refused(call(Task, "Update", { id: "c1", resources }));
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
        await bench.refused(call(Task, "Create", creation(specification({ ...wrong, annotations }), "c2")));
      }
      await call(Task, "Kill", { id: "c1", signal: 9 });
      await call(Task, "Wait", { id: "c1" });
      await call(Task, "Delete", { id: "c1" });
    });
    expect(bench.texts.some((text) => text.includes("level=debug"))).toBe(true);
    bench.expectNoCanary(rootfs);
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
    await bench.withShim(ordinary, async (call) => {
      for (const configuration of wrong) await bench.refused(call(Task, "Create", creation(configuration)));
    });
    const { Options } = containerd.runhcs.v1;
    for (const runtimeOptions of [
      options(`registry_root = "${secret}" x`),
      options(`vm_processor_count = "${secret}"`),
      options(`[default_container_annotations]\na = ["${secret}"]`),
      options(`default_container_annotations = "${secret}"`),
      { typeUrl: "containerd.runhcs.v1.Options", value: Options.encode({ NCProxyAddr: secret }).finish() },
    ]) {
      await bench.withShim(runtimeOptions, (call) => bench.refused(call(Task, "Create", creation(specification()))));
    }
    expect(bench.texts.filter((text) => text.includes("73313731"))).toEqual([]);
    bench.expectNoCanary(rootfs);
  });
});
