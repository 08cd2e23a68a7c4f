import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import type { Platform, SandboxRequest } from "@uvm-shim/shim";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createWcowPlatform } from "./platform-wcow.ts";

let directory: string;
let host: ComputeHost;
let platform: Platform;
let logged: string[];
let loggedOfRequests: string[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "platform-wcow-"));
  const boot = join(directory, "base", "UtilityVM", "Files", "EFI", "Microsoft", "Boot");
  mkdirSync(boot, { recursive: true });
  writeFileSync(join(boot, "bootmgfw.efi"), "// uvm-shim Windows guest 1\n");
  writeFileSync(join(directory, "base", "UtilityVM", "SystemTemplate.vhdx"), "template");
  for (const name of ["scratch", "bundle"]) mkdirSync(join(directory, name));
  const socketPath = join(directory, "host.sock");
  const program = fileURLToPath(new URL("../../../packages/host-emulator/src/main.ts", import.meta.url));
  const start = { command: process.execPath, args: [program], env: { [hostVariables.idleMs]: "100" } };
  host = await connectEmulatedHost({ socketPath, start });
  [logged, loggedOfRequests] = [[], []];
  platform = createWcowPlatform({
    log: { log: (_, message) => void logged.push(message) },
    guestLog: { log: () => {} },
    requestLog: { log: (_, message) => void loggedOfRequests.push(message) },
    upstreamStdio: undefined as never,
    env: { UVM_SHIM_HOST: `unix:${socketPath}` },
    namespace: "ns",
    executableDirectory: directory,
    servesOnePod: true,
  });
});

afterEach(async () => {
  await platform.close();
  await host.close();
  await vi.waitFor(() => expect(existsSync(join(directory, "host.sock"))).toBe(false), { timeout: 10_000 });
  rmSync(directory, { recursive: true, force: true });
});

const layers = () => [
  {
    type: "windows-layer",
    source: join(directory, "scratch"),
    options: [`parentLayerPaths=${JSON.stringify([join(directory, "base")])}`],
  },
];

/** A pod with a task of its own, as containerd for Windows creates it. */
const pod = (changes: Partial<SandboxRequest> = {}): SandboxRequest => ({
  ...{ id: "s1", namespace: "ns", bundle: join(directory, "bundle"), makesContainer: false },
  annotations: { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "s1" },
  spec: { ociVersion: "1.1.0", windows: { layerFolders: [], hyperv: {} } },
  rootfs: layers(),
  ...changes,
});

describe("a sandbox of Windows containers", () => {
  it("has a VM with a scratch disk of its own, copied once", async () => {
    const sandbox = await platform.createSandbox(pod());
    expect(await host.enumerateComputeSystems()).toMatchObject([{ Id: "ns-s1@vm" }]);
    expect(readdirSync(join(directory, "scratch", "vm"))).toEqual(["sandbox.vhdx"]);
    await sandbox.stop(1_000);
    expect(await host.enumerateComputeSystems()).toEqual([]);
    writeFileSync(join(directory, "base", "UtilityVM", "SystemTemplate.vhdx"), "another");
    await (await platform.createSandbox(pod())).stop(1_000);
  });

  it("of the Sandbox API, whose client has no layers for it, boots from the folder of boot files", async () => {
    const { rootfs: _, spec: __, ...withoutLayers } = pod({ annotations: {}, makesContainer: true });
    await expect(platform.createSandbox(withoutLayers)).rejects.toMatchObject({ code: "InvalidArgument" });
    const annotations = { "io.microsoft.virtualmachine.bootfilesrootpath": join(directory, "base") };
    const sandbox = await platform.createSandbox({ ...withoutLayers, annotations });
    expect(readdirSync(join(directory, "bundle", "vm"))).toEqual(["sandbox.vhdx"]);
    await sandbox.stop(1_000);
  });

  it.each<[string, () => Partial<SandboxRequest>, string]>([
    ["with a spec of Linux", () => ({ spec: { linux: {} } }), "linux: got {}"],
    ["without layers", () => ({ rootfs: [] }), "bootfilesrootpath"],
    [
      "of another role",
      () => ({ annotations: { "io.kubernetes.cri.container-type": "container" } }),
      "io.kubernetes.cri.container-type",
    ],
    [
      "without a cgroup of its own",
      () => ({ pod: { controlGroupParent: "../pods", specification: {} } }),
      "cannot join cgroup",
    ],
    [
      "whose network is no GUID",
      () => ({ spec: { windows: { hyperv: {}, network: { networkNamespace: "pods" } } } }),
      "windows.network.networkNamespace",
    ],
  ])("%s is refused, and leaves no VM", async (_, changes, message) => {
    const refusal = platform.createSandbox(pod(changes())).then(
      () => "made",
      (error: { readonly code: string; readonly message: string }) => `${error.code}: ${error.message}`,
    );
    expect(await refusal).toContain("InvalidArgument");
    expect(await refusal).toContain(message);
    expect(await host.enumerateComputeSystems()).toEqual([]);
    await (await platform.createSandbox(pod())).stop(1_000);
  });

  it("that asks for what has no effect says so within a bound", async () => {
    const { annotations } = pod();
    const more = { ...annotations, "io.microsoft.virtualmachine.forwardlogs.enable": "false" };
    const sources = { "io.microsoft.virtualmachine.forwardlogs.sources": "e30=" };
    const sandbox = await platform.createSandbox(pod({ annotations: { ...more, ...sources } }));
    expect(loggedOfRequests).toEqual([expect.stringContaining("forwardlogs.sources has no effect")]);
    expect(logged).toEqual([]);
    await sandbox.stop(1_000);
  });
});
