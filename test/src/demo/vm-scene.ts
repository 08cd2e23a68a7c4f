import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { readProcesses } from "../leaks/holdings.ts";
import { GUEST_VARIABLE } from "../support/guest-kind.ts";
import { DISTRIBUTION, VM_BOOT_FILES } from "../support/programs.ts";
import { SERVERS } from "../support/servers.ts";
import type { DemoConsole } from "./console.ts";
import { linuxScene } from "./linux-scene.ts";
import type { Scene, Stage } from "./scene.ts";

const ACCELERATORS = {
  kvm: "QEMU runs it with KVM, on this machine's processors",
  tcg: "QEMU runs it by translating its instructions (TCG), since this machine has no KVM that works: slow",
} as const;

/** The pod of Linux containers, in a virtual machine. */
export const vmScene: Scene = {
  ...linuxScene,
  title: "uvm-shim: one pod in a virtual machine with a kernel of its own, on an emulated Hyper-V host",
  boundary: "This VM is a virtual machine: its containers never see this machine's kernel. See SECURITY.md.",

  missing() {
    if (existsSync(join(DISTRIBUTION, VM_BOOT_FILES, "kernel"))) return linuxScene.missing();
    return `The demo needs the boot files of virtual machines in ${DISTRIBUTION}: npm run boot-files makes them`;
  },

  describeVm() {
    const machine = readProcesses().find(({ command }) => SERVERS["guest agent"].test(command));
    const [, name = ""] = / -accel (\w+)/.exec(machine?.command ?? "") ?? [];
    assert.ok(name === "kvm" || name === "tcg", `no virtual machine runs: ${machine?.command}`);
    return `this is a real VM: ${ACCELERATORS[name]}`;
  },

  async stage(directory: string, console: DemoConsole): Promise<Stage> {
    const { pod, exec, ...stage } = await linuxScene.stage(directory, console);
    const [shell = "", option = "", script = ""] = exec.args;
    return {
      ...stage,
      pod: { ...pod, environment: { ...pod.environment, [GUEST_VARIABLE]: "qemu" } },
      exec: {
        ...exec,
        args: [shell, option, `${script}; echo "The kernel is $(uname -r), that of this machine ${release()}"`],
      },
      checkExec: (lines) => {
        const [, kernel] = /^The kernel is (\S+),/.exec(lines.at(-1) ?? "") ?? [];
        assert.ok(kernel !== undefined && kernel !== release(), "the container sees this machine's kernel");
      },
    };
  },
};
