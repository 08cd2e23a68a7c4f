/** Disks and directories that the host gives to containers. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attachedBelow } from "@uvm-shim/test-support/disk";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { startTask } from "../containerd-grpc.ts";
import { IMAGE } from "../images.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, removeContainer, runContainer, withDetached } from "./ctr.ts";

const CONTAINERS = 20;

/** Three layers, topmost first: two with a file each above the image's. */
async function makeLayers(context: CaseContext, directory: string): Promise<string[]> {
  const layers = [await makeLayer(join(directory, "base"), context.images.rootfs)];
  for (const name of ["middle", "top"]) {
    const contents = join(directory, `${name}-contents`);
    mkdirSync(join(contents, "layers"), { recursive: true });
    writeFileSync(join(contents, "layers", name), `${name}\n`);
    layers.unshift(await makeLayer(join(directory, name), contents, 4));
  }
  return layers;
}

async function sharedLayers(context: CaseContext): Promise<void> {
  const { containerd, runtime } = context;
  const directory = join(context.scratch, context.newId("layers"));
  mkdirSync(directory);
  const layers = await makeLayers(context, directory);
  const endpoint = { socket: containerd.address, namespace: containerd.namespace };
  await withDetached(context, {}, async (pod) => {
    const ids = Array.from({ length: CONTAINERS }, () => context.newId("layered"));
    try {
      await Promise.all(
        ids.map(async (id) => {
          const scratch = await makeScratch(join(directory, id), 4);
          const flags = ["--runtime", runtime.name, "--annotation", `io.uvm-shim.sandbox-id=${pod}`];
          await containerd.mustCtr(["container", "create", ...flags, IMAGE, id, "sleep", "1000"]);
          await startTask(endpoint, id, layersMount(scratch, layers));
        }),
      );
      const lowerDirectories = new Set<string>();
      for (const id of ids) {
        const script = `echo ${id} > /layers/own; cat /layers/*; grep ' / overlay ' /proc/self/mounts`;
        const seen = await exec(context, id, ["sh", "-c", script]);
        assertStatus(seen, 0);
        const [middle, own, top, mount = ""] = seen.stdout.toString().split("\n");
        assert.deepEqual([middle, own, top], ["middle", id, "top"]);
        const lower = /lowerdir=([^,]*)/.exec(mount)?.[1] ?? "";
        assert.equal(lower.split(":").length, layers.length, mount);
        for (const path of lower.split(":")) lowerDirectories.add(path);
      }
      assert.equal(lowerDirectories.size, layers.length, `the guest has mounted ${[...lowerDirectories].join(", ")}`);
      const attached = attachedBelow(directory);
      const layerDisks = layers.map((layer) => join(layer, "layer.vhd")).sort();
      assert.deepEqual(
        attached.filter((file) => file.endsWith("/layer.vhd")),
        layerDisks,
      );
      assert.equal(attached.length, layers.length + CONTAINERS);
      // The first ones' end takes nothing from the others.
      for (const id of ids.splice(0, CONTAINERS - 1)) await removeContainer(context, id);
      assert.equal(attachedBelow(directory).length, layers.length + 1);
      assertStatus(await exec(context, ids[0] as string, ["cat", "/layers/top"]), 0);
    } finally {
      for (const id of ids) await removeContainer(context, id);
    }
    assert.deepEqual(attachedBelow(directory), []);
  });
}

async function boundDirectory(context: CaseContext): Promise<void> {
  const directory = join(context.scratch, context.newId("bound"));
  mkdirSync(directory);
  writeFileSync(join(directory, "in"), "from the host\n");
  const bind = (target: string, access: string): string[] => [
    "--mount",
    `type=bind,src=${directory},dst=${target},options=rbind:${access}`,
  ];
  const flags = [...bind("/readable", "ro"), ...bind("/writable", "rw")];
  await withDetached(context, { flags }, async (id) => {
    const shell = (script: string) => exec(context, id, ["sh", "-c", script]);
    const refused = await shell("cat /readable/in; echo no > /readable/out");
    assert.notEqual(refused.status, 0);
    assert.equal(refused.stdout.toString(), "from the host\n");
    assert.match(refused.stderr, /read-only/i);
    assertStatus(await shell("echo from the container > /writable/out; mkdir /writable/below"), 0);
    assert.equal(readFileSync(join(directory, "out"), "utf8"), "from the container\n");
    writeFileSync(join(directory, "below", "later"), "later\n");
    const later = await shell("cat /readable/out /readable/below/later /writable/below/later");
    assertStatus(later, 0);
    assert.equal(later.stdout.toString(), "from the container\nlater\nlater\n");
  });
  // One file alone is shared, not its neighbours.
  const file = await runContainer(context, {
    id: context.newId("file"),
    flags: ["--mount", `type=bind,src=${join(directory, "in")},dst=/only,options=bind:ro`],
    command: ["cat", "/only"],
  });
  assertStatus(file, 0);
  assert.equal(file.stdout.toString(), "from the host\n");
}

export const storageCases: readonly Case[] = [
  {
    name: `${CONTAINERS} containers that share three layers attach three layer disks`,
    // The form of the root file system is that of utility VMs.
    applies: ({ containerd, runtime }) => containerd.build.major >= 2 && runtime.key === "lcow",
    run: sharedLayers,
  },
  { name: "a directory of the host, read-only and writable, and a single file", run: boundDirectory },
];
