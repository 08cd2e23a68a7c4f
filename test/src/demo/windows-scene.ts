import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { baseLayer } from "@uvm-shim/guest-agent-windows";
import { hostVariables } from "@uvm-shim/host-protocol";
import { hasWine, lackOfWine, wineRoot } from "../../windows-host/wine-environment.ts";
import type { Mount } from "../shim-client/pod.ts";
import { windowsLayers, windowsSpecs } from "../shim-client/windows-spec.ts";
import { HOST_ENVIRONMENT, WINDOWS_SHIM, WINDOWS_SHIM_PROGRAM } from "../support/programs.ts";
import type { DemoConsole } from "./console.ts";
import { NO_BOUNDARY } from "./linux-scene.ts";
import type { Scene, Stage } from "./scene.ts";

/** A batch file in a layer of its own, on top of the base layer. */
const BATCH_FILE = [
  "@echo off",
  "echo Hello from the container %COMPUTERNAME%, in %CD%",
  "echo Windows has the version",
  "ver",
  "for %%s in (1 2 3) do echo working, %%s of 3",
  "echo now I wait for a line",
  "set /p LINE=",
  "echo I was told: %LINE%",
  "exit 7",
];
const EXEC = "echo An exec in %COMPUTERNAME% runs beside it, in the processor architecture %PROCESSOR_ARCHITECTURE%";

export const windowsScene: Scene = {
  title: "uvm-shim: one pod of Windows containers in its own utility VM, on an emulated Hyper-V host, under Wine",
  program: WINDOWS_SHIM_PROGRAM,
  boundary: NO_BOUNDARY,
  phases: {
    start: `${WINDOWS_SHIM_PROGRAM} start: the shim serves on its socket`,
    "create sandbox": "Create of the pod's own task: the VM runs and its guest has answered",
    boot: "Start of the pod's own task: there is no pause container to be started",
    create: "Create: layers and scratch disk are in the VM, the container is ready",
    "start task": "Start: the container runs",
    delete: "Delete: the container and what it held are gone",
    stop: "Kill, Wait and Delete of the pod's own task: the VM has ended",
    end: `Shutdown and ${WINDOWS_SHIM_PROGRAM} delete: the shim has ended`,
  },

  missing() {
    const lack = lackOfWine();
    if (lack !== undefined) return `The demo of Windows containers needs Wine: ${lack}`;
    return existsSync(WINDOWS_SHIM) ? undefined : `The demo needs ${WINDOWS_SHIM}: npm run demo makes it`;
  },

  async prepare(console: DemoConsole) {
    const started = performance.now();
    if (!hasWine()) {
      console.line("  Wine is not there yet: it is fetched from Debian once, which takes some minutes");
      console.progress("setting Wine up");
      await wineRoot();
      console.step("Wine", "fetched and unpacked, for later runs too", performance.now() - started);
    }
    console.progress("base layer");
    await baseLayer();
    console.step("base layer", "made of Wine, as the lowest layer of an image", performance.now() - started);
  },

  async stage(directory: string): Promise<Stage> {
    const wine = await wineRoot();
    const base = await baseLayer();
    const top = join(directory, "layer");
    mkdirSync(join(top, "Files"), { recursive: true });
    writeFileSync(join(top, "Files", "demo.cmd"), BATCH_FILE.map((line) => `${line}\r\n`).join(""));
    const scratch = (name: string, parents: readonly string[]): Mount => {
      const source = join(directory, name);
      mkdirSync(source);
      return windowsLayers(source, parents);
    };
    return {
      ready: Promise.resolve(),
      pod: {
        executable: WINDOWS_SHIM,
        specs: windowsSpecs,
        form: "Task API",
        rootfs: [scratch("pod-scratch", [base])],
        environment: { ...HOST_ENVIRONMENT, [hostVariables.wine]: wine },
      },
      container: { args: ["cmd.exe", "/c", "C:\\demo.cmd"], rootfs: [scratch("container-scratch", [top, base])] },
      exec: { args: ["cmd.exe", "/c", EXEC] },
      line: "hello through stdin\r\n",
    };
  },
};
