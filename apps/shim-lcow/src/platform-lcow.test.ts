import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ComputeHost, connectEmulatedHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import type { Platform, SandboxRequest } from "@uvm-shim/shim";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLcowPlatform } from "./platform-lcow.ts";

let directory: string;
let host: ComputeHost;
let platform: Platform;
let logged: string[];
let loggedOfRequests: string[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "platform-lcow-"));
  mkdirSync(join(directory, "LinuxBootFiles"));
  writeFileSync(join(directory, "LinuxBootFiles", "kernel"), `${processGuestKernel}\n`);
  writeFileSync(join(directory, "LinuxBootFiles", "initrd.img"), "");
  const socketPath = join(directory, "host.sock");
  const program = fileURLToPath(new URL("../../../packages/host-emulator/src/main.ts", import.meta.url));
  const start = { command: process.execPath, args: [program], env: { [hostVariables.idleMs]: "100" } };
  host = await connectEmulatedHost({ socketPath, start });
  [logged, loggedOfRequests] = [[], []];
  platform = createLcowPlatform({
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

const request = (changes: Partial<SandboxRequest> = {}): SandboxRequest => ({
  ...{ id: "s1", namespace: "ns", bundle: directory, annotations: {}, makesContainer: true },
  ...changes,
});

describe("a sandbox that cannot be created", () => {
  const noFolder = "/dev/null/bundle";
  it.each<[string, Partial<SandboxRequest>, string]>([
    [
      "whose own container would need shares",
      { annotations: { "io.microsoft.migration.support-enabled": "true" } },
      "no Plan9 shares",
    ],
    ["whose bundle takes no files", { bundle: noFolder }, "ENOTDIR"],
    [
      "whose resolv.conf cannot be written",
      { bundle: noFolder, makesContainer: false, pod: { resolvConf: "nameserver 10.0.0.1\n", specification: {} } },
      "ENOTDIR",
    ],
    [
      "without a cgroup of its own",
      { makesContainer: false, spec: { linux: { cgroupsPath: "/pods/.." } } },
      'cannot join cgroup "/pods/.." (linux.cgroupsPath)',
    ],
  ])("%s leaves no VM", async (_, changes, message) => {
    const refusal = platform.createSandbox(request(changes)).then(() => "made", String);
    expect(await refusal).toContain(message);
    expect(await host.enumerateComputeSystems()).toEqual([]);
    // Its id is free, too.
    const sandbox = await platform.createSandbox(request());
    expect(await host.enumerateComputeSystems()).toMatchObject([{ Id: "ns-s1@vm" }]);
    await sandbox.stop(1_000);
    expect(await host.enumerateComputeSystems()).toEqual([]);
  });
});

it("requests of annotations and a specification without effect are logged within a bound", async () => {
  const annotations = { "io.microsoft.virtualmachine.dump-directory-path": "x" };
  const sandbox = await platform.createSandbox(request({ annotations }));
  expect(loggedOfRequests).toEqual([expect.stringContaining("dump-directory-path has no effect")]);
  expect(logged).toEqual([]);
  await sandbox.stop(1_000);
});
