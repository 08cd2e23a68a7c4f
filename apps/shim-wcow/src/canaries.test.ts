/** Clients' secrets must not appear in the log at its lowest level, in errors, in events or in the shim's files. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { CanaryBench, configuredOptions as options, secret } from "@uvm-shim/platform-common/testing";
import { containerd } from "@uvm-shim/shim/protocol";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { createWcowPlatform } from "./platform-wcow.ts";

const { Task } = containerd.task.v3;
const vm = "io.microsoft.virtualmachine.";
const registryKey = `${vm}wcow.additional-reg-keys`;
const logSources = `${vm}forwardlogs.sources`;
const ordinary = options(
  `sandbox_isolation = 1\nlog_level = "trace"\nregistry_root = "https://user:${secret}@registry"\n[default_container_annotations]\n"com.example" = "${secret}"`,
);

const secretValue = {
  Key: { Hive: "System", Name: "CurrentControlSet\\Services\\example" },
  ...{ Name: "Password", Type: "String", StringValue: secret },
};
const registry = (...list: readonly unknown[]) => ({ [registryKey]: JSON.stringify(list) });
const sources = (document: unknown) => ({ [logSources]: btoa(JSON.stringify(document)) });
const providers = (...list: readonly unknown[]) =>
  sources({ LogConfig: { sources: [{ type: "ETW", providers: list }] } });
/** As gMSA has it for a host that is in no domain: an account of its own, with its password's place. */
const credentialSpec = JSON.stringify({ CmsPlugins: ["ActiveDirectory"], PluginInput: secret });

describeWith(
  "Linux on x64",
  "root",
  "Wine",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
)("secrets of callers", () => {
  let bench: CanaryBench;
  let base: string;
  let snapshots: string;
  let containers = 0;
  beforeAll(async () => {
    base = await baseLayer();
  }, 240_000);
  beforeEach(async () => {
    bench = await CanaryBench.open(createWcowPlatform);
    snapshots = join(bench.folder, "snapshots");
    mkdirSync(snapshots);
  });
  afterEach(() => bench.close());

  interface Changes {
    readonly process?: object | string;
    readonly windows?: object;
    readonly annotations?: object;
    readonly [field: string]: unknown;
  }
  const specification = (changes: Changes = {}) => ({
    ...{ ociVersion: "1.1.0", hostname: "canary", root: { path: "" } },
    ...changes,
    process:
      typeof changes.process === "string"
        ? changes.process
        : {
            args: ["cmd.exe", "/c", "set /p LINE=& exit 0", secret],
            ...{ cwd: "C:\\", env: [`TOKEN=${secret}`], user: { username: "ContainerUser" } },
            ...changes.process,
          },
    windows: { layerFolders: [], hyperv: {}, ...changes.windows },
    annotations: { "com.example/token": secret, ...changes.annotations },
  });
  const role = (type: "sandbox" | "container") => ({
    "io.kubernetes.cri.container-type": type,
    "io.kubernetes.cri.sandbox-id": "c1",
  });
  const pod = (annotations: object = {}) => specification({ annotations: { ...role("sandbox"), ...annotations } });
  const inPod = ({ annotations, ...changes }: Changes = {}) =>
    specification({ ...changes, annotations: { ...role("container"), ...annotations } });
  const creation = (configuration: object | string, id = "c1") => {
    const source = join(snapshots, String(containers++));
    mkdirSync(source);
    const rootfs = [{ type: "windows-layer", source, options: [`parentLayerPaths=${JSON.stringify([base])}`] }];
    return { id, bundle: bench.bundle(configuration), rootfs };
  };
  const spec = (process: object | string) => ({
    type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process",
    value: Buffer.from(typeof process === "string" ? process : JSON.stringify(process)),
  });

  it("appear in no log, event, error or file of a running pod", async () => {
    await bench.withShim(ordinary, async (call) => {
      await call(Task, "Create", creation(pod({ ...registry(secretValue), ...providers({ providerName: secret }) })));
      await call(Task, "Start", { id: "c1" });
      await call(Task, "Create", { ...creation(inPod({ windows: { credentialSpec } }), "c2"), stdin: "in" });
      await call(Task, "Start", { id: "c2" });
      const exec = {
        args: ["cmd.exe", "/c", "exit 0", secret],
        cwd: "C:\\",
        env: [`TOKEN=${secret}`, secret, `=${secret}`],
      };
      await call(Task, "Exec", { id: "c2", execId: "e1", spec: spec(exec) });
      await call(Task, "Start", { id: "c2", execId: "e1" });
      expect(await call(Task, "Wait", { id: "c2", execId: "e1" })).toMatchObject({ exitStatus: 0 });
      for (const [wrong, message] of [
        [`{"env":["TOKEN=${secret}" x`, "spec is not JSON (at position 93)"],
        [`${secret}`, "spec is not JSON"],
        [JSON.stringify(secret), "process: expected an object"],
        [{ ...exec, env: `TOKEN=${secret}` }, "env: expected a list"],
        [{ ...exec, env: { TOKEN: secret } }, "env: expected a list"],
        [{ ...exec, env: [`TOKEN=${secret}\0`] }, "env[0]: expected text without NUL"],
        [{ ...exec, env: [{ TOKEN: secret }] }, "env[0]: expected a string"],
        [{ ...exec, args: secret }, "args: expected a list"],
        [{ ...exec, args: [[secret]] }, "args[0]: expected a string"],
        [{ ...exec, args: [secret.repeat(9_000)] }, "E_FAIL"],
        [{ ...exec, args: ["cmd", `${secret}\0`] }, "args[1]: expected text without NUL"],
        [{ ...exec, args: [secret] }, "cannot start the program of a command line of 76 characters in C:\\"],
        [{ ...exec, args: [], commandLine: `${secret}\0` }, "commandLine: expected text without NUL"],
        [{ ...exec, args: [], commandLine: [secret] }, "commandLine: expected a string"],
        [{ ...exec, args: [], commandLine: `nothing.exe ${secret}` }, "cannot start nothing.exe in C:\\"],
        [{ ...exec, user: secret }, "user: expected an object"],
      ] as const) {
        const refusal = await bench.refused(
          call(Task, "Exec", { id: "c2", execId: "e2", spec: spec(wrong) }).then(() =>
            call(Task, "Start", { id: "c2", execId: "e2" }),
          ),
        );
        expect(refusal).toContain(message);
        await call(Task, "Delete", { id: "c2", execId: "e2" }).catch(() => {});
      }
      for (const text of [`"${secret}`, JSON.stringify(secret)]) {
        const type_url = "types.containerd.io/opencontainers/runtime-spec/1/WindowsResources";
        await bench.refused(call(Task, "Update", { id: "c2", resources: { type_url, value: Buffer.from(text) } }));
      }
      const disabled = "io.microsoft.container.wcow.gmsa.disable";
      for (const [wrong, message] of [
        [{ process: secret }, "process: expected an object"],
        [{ process: { env: `TOKEN=${secret}` } }, "process.env: expected a list"],
        [{ process: { env: [`TOKEN=${secret}\0`] } }, "process.env[0]: expected text without NUL"],
        [{ process: { env: [[secret]] } }, "process.env[0]: expected a string"],
        [{ process: { args: secret } }, "process.args: expected a list"],
        [{ process: { args: ["cmd", `${secret}\0`] } }, "process.args[1]: expected text without NUL"],
        [{ process: { args: [], commandLine: `${secret}\0` } }, "process.commandLine: expected text without NUL"],
        [{ process: { args: [], commandLine: { secret } } }, "process.commandLine: expected a string"],
        [{ windows: { credentialSpec: secret } }, "CredentialSpec: expected a JSON object as text"],
        [{ windows: { credentialSpec: `{"password":"${secret}"` } }, "CredentialSpec: expected a JSON object as text"],
        [{ windows: { credentialSpec: JSON.stringify(secret) } }, "CredentialSpec: expected a JSON object as text"],
        [{ windows: { credentialSpec: `${credentialSpec}\0` } }, "windows.credentialSpec: expected text without NUL"],
        [{ windows: { credentialSpec: { password: secret } } }, "windows.credentialSpec: expected a string"],
        [{ windows: { credentialSpec: [secret] } }, "windows.credentialSpec: expected a string"],
        [{ windows: { credentialSpec }, annotations: { [disabled]: "true" } }, "windows.credentialSpec is given"],
        ...[
          disabled,
          "io.microsoft.container.processor.count",
          "io.microsoft.container.storage.qos.iopsmaximum",
          "io.microsoft.container.wcow.deviceextensions",
          "io.microsoft.container.wcow.test-registry-annotation",
          "io.microsoft.wcow.processdumptype",
          "microsoft.com/hostprocess-container",
          `${vm}kerneldrivers`,
        ].map((key) => [{ annotations: { [key]: secret } }, key] as const),
      ] as const) {
        expect(await bench.refused(call(Task, "Create", creation(inPod(wrong), "c3")))).toContain(message);
      }
      await call(Task, "Kill", { id: "c2", signal: 9 });
      await call(Task, "Wait", { id: "c2" });
      await call(Task, "Delete", { id: "c2" });
      await call(Task, "Kill", { id: "c1", signal: 9 });
      await call(Task, "Wait", { id: "c1" });
      await call(Task, "Delete", { id: "c1" });
    });
    expect(bench.texts.some((text) => text.includes("level=debug"))).toBe(true);
    bench.expectNoCanary(snapshots);
  }, 120_000);

  it("appear in no error or log line of a refused pod", async () => {
    const wrong: (readonly [object | string, string])[] = [
      ...[true, null, 73313731, [secret], { token: secret }].map(
        (typed) => [pod({ "com.example/typed": typed }), 'annotations["com.example/typed"] is'] as const,
      ),
      [`{"process":{"env":["TOKEN=${secret}" x`, "config.json is not JSON (at position 104)"],
      [secret, "config.json is not JSON"],
      [JSON.stringify(secret), "config.json is not a JSON object"],
      ...[
        registry(secret),
        registry([secret]),
        registry({ [secret]: 1 }),
        registry({ ...secretValue, Type: "DWord" }),
        registry({ ...secretValue, Type: secret }),
        registry({ ...secretValue, Type: "Binary", StringValue: undefined, BinaryValue: `${secret}!` }),
        registry({ ...secretValue, Type: "DWord", StringValue: undefined, DWordValue: [secret] }),
        registry({ ...secretValue, StringValue: [secret] }),
        registry({ ...secretValue, StringValue: { password: secret } }),
        registry({ ...secretValue, StringValue: 73313731 }),
        registry({ ...secretValue, Name: { password: secret } }),
        registry({ ...secretValue, Key: [secret] }),
        registry({ ...secretValue, CustomType: { password: secret } }),
        { [registryKey]: JSON.stringify(secretValue) },
        { [registryKey]: `[${JSON.stringify(secretValue)}` },
        { [registryKey]: secret },
        sources(secret),
        sources({ LogConfig: [secret] }),
        sources({ LogConfig: { sources: { token: secret } } }),
        sources({ LogConfig: { sources: [[secret]] } }),
        sources({ LogConfig: { sources: [{ type: { token: secret } }] } }),
        sources({ LogConfig: { sources: [{ type: "ETW", providers: { token: secret } }] } }),
        providers([secret]),
        providers({ providerName: [secret] }),
        providers({ providerName: "name", providerGuid: secret }),
        providers({ providerName: "name", keywords: [secret] }),
        { [logSources]: secret },
        { [logSources]: btoa(`{"${secret}`) },
        { [`${vm}wcow.securitypolicy`]: `${secret}\n` },
        { [`${vm}wcow.securitypolicy`]: secret },
        { [`${vm}wcow.enforcer`]: `${secret}\n` },
        { "io.microsoft.network.ncproxy": secret },
        { [`${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`]: `{"x":"${secret}"}` },
        { [`${vm}computetopology.processor.count`]: secret },
        { [`${vm}cpugroup.id`]: secret },
        { [`${vm}forwardlogs.enable`]: secret },
      ].map((annotations) => [pod(annotations), Object.keys(annotations)[0] ?? "an annotation"] as const),
    ];
    await bench.withShim(ordinary, async (call) => {
      for (const [configuration, message] of wrong) {
        expect(await bench.refused(call(Task, "Create", creation(configuration)))).toContain(message);
      }
    });
    const { Options } = containerd.runhcs.v1;
    const proxied = { sandboxIsolation: 1, NCProxyAddr: secret };
    for (const [runtimeOptions, message] of [
      [options(`registry_root = "${secret}" x`), "config_body is not valid TOML"],
      [options(`vm_processor_count = "${secret}"`), "vm_processor_count: got 76 characters"],
      [
        options(`[default_container_annotations]\na = ["${secret}"]`),
        'default_container_annotations: got a list as "a"',
      ],
      [options(`default_container_annotations = "${secret}"`), "default_container_annotations: got 76 characters"],
      [{ typeUrl: "containerd.runhcs.v1.Options", value: Options.encode(proxied).finish() }, "NCProxyAddr"],
    ] as const) {
      await bench.withShim(runtimeOptions, async (call) => {
        expect(await bench.refused(call(Task, "Create", creation(pod())))).toContain(message);
      });
    }
    expect(bench.texts.filter((text) => /73313731/.test(text))).toEqual([]);
    bench.expectNoCanary(snapshots);
  }, 120_000);
});
