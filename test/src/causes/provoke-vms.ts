/** VMs that are not created, do not boot or do not last. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { powerDescriptor, powerWords } from "@uvm-shim/host-protocol/guest";
import { containerd } from "@uvm-shim/shim/protocol";
import { Sandbox, Task } from "../shim-client/shim.ts";
import { freezeGuest, systemOf, thawGuest } from "../support/frozen-guest.ts";
import { guestInit } from "../support/guest-init.ts";
import { poll } from "../support/wait.ts";
import { type Bench, bootAnnotation, NAMESPACE } from "./bench.ts";
import type { Provocation } from "./provocation.ts";

const vm = "io.microsoft.virtualmachine.";

function annotated(key: string, value: string) {
  return (bench: Bench) => bench.failingPod({ annotations: { [`${vm}${key}`]: value } });
}

export const vmEnds: readonly Provocation[] = [
  {
    cause: "boot-files-missing",
    name: "a folder without boot files",
    says: /^The pod's VM was not created: there is no file \S+\/empty\/vmlinux or \S+\/empty\/kernel, which the VM boots from\.$/,
    proof: /create sandbox failed with InvalidArgument/,
    run: (bench) => bench.failingPod({ annotations: bootAnnotation(bench.folder("empty")) }),
  },
  {
    cause: "boot-files-unusable",
    name: "a kernel for another host",
    says: /^The pod's VM was not created: the host cannot boot it \(unsupported kernel \S+\/kernel\)\.$/,
    proof: /createComputeSystem failed/,
    run: (bench) => {
      const folder = bench.folder("boot");
      writeFileSync(join(folder, "kernel"), "MZ");
      writeFileSync(join(folder, "initrd.img"), "");
      return bench.failingPod({ annotations: bootAnnotation(folder) });
    },
  },
  {
    cause: "guest-not-dialled",
    name: "a guest that starts and says nothing",
    says: /^StartSandbox has waited for \d+ s for the guest of the VM to dial the shim, which it has not done\.$/,
    proof: /waiting for the guest to dial in began/,
    later: 60,
    run: async (bench) => {
      const silent = `const power = new (require("node:net").Socket)({ fd: ${powerDescriptor} });
power.on("close", () => process.exit()).resume().write("${powerWords.up}\\n");`;
      const over = new AbortController();
      const given = bench.pod({ annotations: bench.bootFolder(silent), signal: over.signal }).catch(() => {});
      // The next pod has the same name.
      bench.atEnd(() => {
        over.abort();
        return given;
      });
      await poll("the wait for the guest", () => bench.began("waiting for the guest to dial in"), {
        timeoutMs: 15_000,
      });
    },
  },
  {
    cause: "guest-died-at-boot",
    name: "a guest that panics",
    says: /^The guest crashed while it booted: .*Kernel panic - not syncing/,
    proof: /vm exited .*isExpected false/,
    run: (bench) =>
      bench.failingPod({
        annotations: bench.bootFolder(
          'process.stderr.write("Kernel panic - not syncing\\n", () => process.exit(3));\n',
        ),
      }),
  },
  {
    cause: "guest-crashed",
    name: "the guest's first process is killed",
    says: /^The guest crashed while the pod ran: /,
    proof: /vm exited .*GuestCrash/,
    run: async (bench) => {
      await bench.running();
      process.kill(Number(guestInit()), "SIGKILL");
    },
  },
  {
    cause: "guest-silent",
    name: "all that runs in the guest is frozen, and an exec is started",
    says: /^The guest has not answered executeProcess for \d+ s, on which Start waits\.$/,
    proof: /executeProcess began \(container c1/,
    later: 60,
    run: async (bench) => {
      const { container } = await bench.running();
      const system = systemOf(NAMESPACE, bench.id);
      await freezeGuest(system);
      bench.atEnd(() => thawGuest(system));
      await container.addExec("e1", { args: ["true"] }, {});
      void container.startExec("e1").catch(() => {});
    },
  },
  {
    cause: "given-up",
    name: "all that runs in the guest is frozen until the client gives an exec up",
    says: /^Exec e1 in container c1 did not start: something did not answer in time \(/,
    proof: /^executeProcess failed/,
    run: async (bench) => {
      const { pod, container } = await bench.running();
      const system = systemOf(NAMESPACE, bench.id);
      await container.addExec("e1", { args: ["true"] }, {});
      await freezeGuest(system);
      bench.atEnd(() => thawGuest(system));
      await pod.shim.call(Task, "Start", { id: "c1", execId: "e1" }, { timeoutMs: 1500 }).catch(() => {});
    },
  },
  {
    cause: "policy-refused",
    name: "a policy that forbids something, on a guest that enforces none",
    says: /^The pod's VM did not start: its security policy stands in the way \(mount_device does not allow everything/,
    proof: /modifySettings failed/,
    run: (bench) =>
      bench.failingPod({
        annotations: {
          [`${vm}lcow.securitypolicy`]: btoa('package policy\napi_version := "0.1.0"\n'),
          [`${vm}no_security_hardware`]: "true",
          [`${vm}storage.scratch.encrypted`]: "false",
        },
      }),
  },
  {
    cause: "annotation-invalid",
    name: "a word where a number is expected",
    says: /^The pod's VM was not created: annotation io\.\S+processor\.count is invalid: got "many", expected a whole number/,
    run: annotated("computetopology.processor.count", "many"),
  },
  {
    cause: "runtime-option-invalid",
    name: "a platform that there is not",
    says: /^The pod's VM was not created: runtime option sandbox_platform is invalid: got /,
    run: (bench) =>
      bench.failingPod({
        runtimeOptions: containerd.runhcs.v1.Options.encode({ sandboxPlatform: "beos/pdp11" }).finish(),
      }),
  },
  {
    cause: "sandbox-ended",
    name: "a container for a pod that was stopped",
    says: /^Container c1 was not created: the pod has ended and takes no more containers\.$/,
    run: async (bench) => {
      const pod = await bench.pod();
      await pod.shim.call(Sandbox, "StopSandbox", { sandboxId: bench.id, timeoutSecs: 10 });
      await bench.container(pod).catch(() => {});
    },
  },
];
