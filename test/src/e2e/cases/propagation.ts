/** What is mounted on the host while a container has the folder above it, and what a container mounts there. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import type { CriPod } from "../../cri/pod.ts";
import { runtime } from "../../generated/messages.js";
import type { ContainerOptions, PodContainer } from "../../shim-client/pod.ts";
import { output, withPod as withCriPod } from "../cri-case.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { directoryRootfs, type ProtocolCase, type ProtocolCaseContext, withPod } from "./protocol.ts";
import { bind, withMounts } from "./protocol-containers.ts";

const { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } = runtime.v1.MountPropagation;
const SIGKILL = 9;

/** A folder whose mounts reach copies of it, as those of a host with systemd do. */
async function withSharedFolder(folder: string, work: () => Promise<void>): Promise<void> {
  mkdirSync(folder);
  await mustRun("mount", ["-t", "tmpfs", "tmpfs", folder]);
  try {
    await mustRun("mount", ["--make-shared", folder]);
    for (const name of ["later", "inner"]) mkdirSync(join(folder, name));
    await work();
  } finally {
    await mustRun("umount", ["--recursive", folder]);
  }
}

async function mountLater(folder: string): Promise<void> {
  await mustRun("mount", ["-t", "tmpfs", "tmpfs", join(folder, "later")]);
  writeFileSync(join(folder, "later", "file"), "mounted later\n");
}

async function byOption(context: ProtocolCaseContext): Promise<void> {
  const folder = join(context.directory, "folder");
  await withSharedFolder(folder, async () => {
    await withPod(context, async (pod) => {
      const run = async (id: string, options: Partial<ContainerOptions>): Promise<PodContainer> => {
        const container = await pod.createContainer({
          ...{ id, args: ["sh", "-c", "read line; ls /d/later"], rootfs: directoryRootfs(context) },
          ...options,
        });
        await container.start();
        return container;
      };
      const containers: readonly (readonly [PodContainer, string])[] = [
        [await run("slave", { change: withMounts(bind("/d", folder, "rbind", "rslave")) }), "file\n"],
        [await run("reader", { change: withMounts(bind("/d", folder, "rbind", "ro", "rslave")) }), "file\n"],
        [await run("private", { change: withMounts(bind("/d", folder, "rbind", "rprivate")) }), ""],
      ];
      await mountLater(folder);
      for (const [container, expected] of containers) {
        const collected = container.stdio.output();
        container.stdio.stdin.write("\n");
        assert.equal(await container.wait(), 0, container.id);
        assert.deepEqual([container.id, (await collected).stdout.toString()], [container.id, expected]);
        await container.delete();
      }
      const busy = await run("busy", {
        args: ["sleep", "1000"],
        change: withMounts(bind("/d", folder, "rbind", "rslave")),
      });
      await mustRun("umount", [join(folder, "later")]);
      assert.deepEqual(readdirSync(join(folder, "later")), []);
      await busy.kill(SIGKILL);
      await busy.wait();
      await busy.delete();
    });
  });
}

async function byCri(context: CriCaseContext): Promise<void> {
  const folder = join(context.scratch, context.newId("propagated"));
  const mount = (propagation: number) => ({
    mounts: [{ containerPath: "/d", hostPath: folder, propagation }],
  });
  const privileged = { linux: { securityContext: { privileged: true } } };
  await withSharedFolder(folder, async () => {
    const work = async (pod: CriPod): Promise<void> => {
      const sleep = ["sleep", "1000"];
      const fromHost = await pod.run("from-host", sleep, mount(PROPAGATION_HOST_TO_CONTAINER));
      const alone = await pod.run("alone", sleep, mount(PROPAGATION_PRIVATE));
      const both = await pod.run("both", sleep, { ...mount(PROPAGATION_BIDIRECTIONAL), ...privileged });
      await mountLater(folder);
      assert.equal(await output(context, fromHost, "ls", "/d/later"), "file\n");
      assert.equal(await output(context, both, "ls", "/d/later"), "file\n");
      assert.equal(await output(context, alone, "ls", "/d/later"), "");
      // The host has none of what is mounted in a VM, which the shim's log says.
      await output(context, both, "sh", "-c", "mount -t tmpfs tmpfs /d/inner && touch /d/inner/file");
      assert.deepEqual(readdirSync(join(folder, "inner")), []);
      const said = context.containerd.log();
      assert.match(
        said,
        /mount \/d: rshared has no effect on the host: what the container mounts below \/d stays in its VM/,
      );
    };
    await withCriPod(context, work, { linux: { securityContext: { privileged: true } } });
  });
}

export const protocolPropagationCases: readonly ProtocolCase[] = [
  { name: "a mount made on the host later shows in containers that ask for it, and in no other", run: byOption },
];

export const criPropagationCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: mounts of the host that come later, from host to container and in both directions", run: byCri },
];
