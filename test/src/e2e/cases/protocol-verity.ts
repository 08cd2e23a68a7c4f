/** Layers with the hash trees that a pod with a security policy requires. */
import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { appendHashTree } from "@uvm-shim/test-support/hash-tree";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import type { Mount } from "../../shim-client/pod.ts";
import { openPolicy, policyAnnotations } from "../../support/open-policy.ts";
import { assertRefused, type ProtocolCase, type ProtocolCaseContext, runToEnd, withPod } from "./protocol.ts";

/** Guests with a policy want ids like those of containerd. */
const id = "c0".repeat(32);
const WORD = "a word that is nowhere else in the layer";

/** The image below a layer with one file, the latter's disk changed after its tree was made. */
async function layered(
  context: ProtocolCaseContext,
  spoil: (disk: string) => void = () => {},
): Promise<readonly Mount[]> {
  const { directory, images } = context;
  const contents = join(directory, "contents");
  mkdirSync(join(contents, "layers"), { recursive: true });
  writeFileSync(join(contents, "layers", "word"), WORD);
  const base = await makeLayer(join(directory, "base"), images.rootfs, 32, appendHashTree);
  const upper = await makeLayer(join(directory, "upper"), contents, 4, (disk) => {
    appendHashTree(disk);
    spoil(disk);
  });
  return [layersMount(await makeScratch(join(directory, "scratch")), [upper, base])];
}

const annotations = policyAnnotations(openPolicy);
const args = ["sh", "-c", "cat /layers/word"];

async function readThrough(context: ProtocolCaseContext): Promise<void> {
  const rootfs = await layered(context);
  const bare = await makeLayer(join(context.directory, "bare"), context.images.rootfs);
  const scratch = await makeScratch(join(context.directory, "other-scratch"));
  await withPod(
    context,
    async (pod) => {
      const seen = await runToEnd(await pod.createContainer({ id, args, rootfs }));
      assert.deepEqual(seen, { status: 0, stdout: WORD, stderr: "" });
      const without = pod.createContainer({ id: "d1".repeat(32), args, rootfs: [layersMount(scratch, [bare])] });
      await assertRefused(without, "Internal", "expected a hash tree");
    },
    { annotations },
  );
}

async function damaged(context: ProtocolCaseContext): Promise<void> {
  const rootfs = await layered(context, (disk) => {
    const at = readFileSync(disk).indexOf(WORD);
    const descriptor = openSync(disk, "r+");
    writeSync(descriptor, "A", at);
    closeSync(descriptor);
  });
  await withPod(
    context,
    async (pod) => {
      const { status, stdout, stderr } = await runToEnd(await pod.createContainer({ id, args, rootfs }));
      assert.notEqual(status, 0);
      assert.equal(stdout, "");
      assert.match(stderr, /Input\/output error/);
    },
    { annotations },
  );
}

export const protocolVerityCases: readonly ProtocolCase[] = [
  { name: "layers with hash trees are read in a pod with a policy, and none without", run: readThrough },
  { name: "a layer's block that does not fit its hash tree is not read", run: damaged },
];
