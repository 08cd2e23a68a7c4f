import assert from "node:assert/strict";
import { IMAGE } from "../images.ts";
import type { Case, CaseContext } from "../suite.ts";
import { assertStatus, exec, withDetached } from "./ctr.ts";

const snapshotterCase = (snapshotter: string, applies: (context: CaseContext) => boolean): Case => ({
  name: `root file system of the snapshotter ${snapshotter}`,
  applies,
  run: async (context) => {
    // containerd 2 itself unpacks for its default snapshotter only; ctr does for any.
    const local = context.containerd.build.major >= 2 ? ["--local"] : [];
    const unpack = ["image", "import", ...local, "--snapshotter", snapshotter, context.images.archive];
    await context.containerd.mustCtr(unpack, { signal: context.signal });
    await withDetached(context, { image: IMAGE, flags: ["--snapshotter", snapshotter] }, async (id) => {
      assertStatus(await exec(context, id, ["sh", "-c", "echo kept > /data/new && rm /data/pattern"]), 0);
      const seen = await exec(context, id, ["sh", "-c", "cat /data/new; ls /data"]);
      assertStatus(seen, 0);
      assert.equal(seen.stdout.toString(), "kept\nnew\n");
    });
  },
});

export const snapshotterCases: readonly Case[] = [
  snapshotterCase("overlayfs", () => true),
  snapshotterCase("native", () => true),
  snapshotterCase("blockfile", (context) => context.containerd.build.major >= 2),
];
