/** What pods under Wine are made of: a test host with its DLLs, the disks of a root file system, and boot files. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { headerOptions } from "../../windows-host/build-test-host.ts";
import { compileForWindows } from "../../windows-host/compile.ts";
import { windowsPath } from "../../windows-host/windows-machine.ts";
import { WindowsTestHost } from "../../windows-host/windows-test-host.ts";
import { PATTERN, pattern } from "../e2e/images.ts";
import type { HoldingsScope } from "../leaks/holdings.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { makeWindowsLayers } from "../support/windows-layers.ts";
import type { PodPaths } from "./case-paths.ts";

/** The emulated host ends this soon after its last user, so that its end can be seen. */
const IDLE_MS = 300;
const LAYER_MEBIBYTES = 64;
const SCRATCH_MEBIBYTES = 8;

export class PodFixture implements AsyncDisposable {
  readonly host: WindowsTestHost;
  /** As programs under Wine call them. */
  readonly paths: Omit<PodPaths, "linuxSide">;
  /** Where pods could leave something on the Linux machine. */
  readonly scope: HoldingsScope;

  private constructor(host: WindowsTestHost, paths: PodFixture["paths"]) {
    this.host = host;
    this.paths = paths;
    this.scope = shimScope([dirname(host.socketPath)], host.socketPath);
  }

  static async make(directory: string): Promise<PodFixture> {
    const contents = join(directory, "rootfs");
    mkdirSync(contents);
    await makeRootfs(contents);
    writeFileSync(join(contents, PATTERN.path), pattern(PATTERN.size));
    const layer = await makeLayer(join(directory, "layer"), contents, LAYER_MEBIBYTES);
    const scratch = await makeScratch(join(directory, "scratch"), SCRATCH_MEBIBYTES);
    // The snapshotter of containerd for Windows makes scratch disks under this name.
    renameSync(join(scratch, "sandbox.vhd"), join(scratch, "sandbox.vhdx"));
    const failingCore = join(directory, "failing-core.dll");
    const source = fileURLToPath(new URL("failing-core.c", import.meta.url));
    await compileForWindows([source], failingCore, ["-shared", ...headerOptions]);
    const layers = await makeWindowsLayers(join(directory, "windows-layers"));
    const host = await WindowsTestHost.start({ idleMs: IDLE_MS });
    return new PodFixture(host, {
      libraries: windowsPath(host.libraries),
      failingCore: windowsPath(failingCore),
      bootFiles: windowsPath(join(DISTRIBUTION, "LinuxBootFiles")),
      layer: windowsPath(layer),
      pattern: windowsPath(join(contents, PATTERN.path)),
      windowsLayers: layers.map(windowsPath),
      scratchDisk: windowsPath(join(scratch, "sandbox.vhdx")),
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}
