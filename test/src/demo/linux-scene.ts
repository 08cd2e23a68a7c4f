import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { HOST_ENVIRONMENT, SHIM, SHIM_PROGRAM } from "../support/programs.ts";
import type { DemoConsole } from "./console.ts";
import type { Scene, Stage } from "./scene.ts";

const SHELL_SCRIPT = [
  'echo "Hello from the container $(hostname), on $(uname -sr)"',
  'echo "My processes begin with number 1: $(cat /proc/1/comm)"',
  'for second in 1 2 3; do echo "working, $second of 3"; sleep 0.1; done',
  'echo "now I wait for a line"',
  "read line",
  'echo "I was told: $line"',
  "exit 7",
].join("\n");
const EXEC_SCRIPT = 'echo "An exec in $(hostname) sees process 1, $(cat /proc/1/comm), and its own number $$"';

export const NO_BOUNDARY =
  "This VM is a process guest, on this machine's own kernel: no security boundary. See SECURITY.md.";

export const linuxScene: Scene = {
  title: "uvm-shim: one pod in its own utility VM, on an emulated Hyper-V host",
  program: SHIM_PROGRAM,
  boundary: NO_BOUNDARY,
  phases: {
    start: `${SHIM_PROGRAM} start: the shim serves on its socket`,
    "create sandbox": "CreateSandbox: the compute service has the VM's document",
    boot: "StartSandbox: the VM runs and its guest has answered",
    create: "Create: the root file system is in the VM, the container is ready",
    "start task": "Start: the container runs",
    delete: "Delete: the container and what it held are gone",
    stop: "StopSandbox: the VM has ended",
    end: `ShutdownSandbox and ${SHIM_PROGRAM} delete: the shim has ended`,
  },

  missing() {
    return existsSync(SHIM) ? undefined : `The demo needs ${SHIM}: npm run demo makes it`;
  },

  async prepare() {},

  async stage(directory: string, console: DemoConsole): Promise<Stage> {
    const rootfs = join(directory, "rootfs");
    mkdirSync(rootfs);
    const started = performance.now();
    const ready = makeRootfs(rootfs).then((what) => {
      console.step("root filesystem", `made of this machine's ${what}, meanwhile`, performance.now() - started);
    });
    // Whoever waits for it is told.
    ready.catch(() => undefined);
    return {
      ready,
      pod: { executable: SHIM, environment: HOST_ENVIRONMENT },
      container: {
        args: ["sh", "-c", SHELL_SCRIPT],
        rootfs: [{ type: "bind", source: rootfs, options: ["rbind", "rw"] }],
      },
      exec: { args: ["sh", "-c", EXEC_SCRIPT] },
      line: "hello through stdin\n",
    };
  },
};
