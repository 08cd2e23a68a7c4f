import assert from "node:assert/strict";
import { IMAGE } from "../images.ts";
import type { Case, Ground } from "../suite.ts";
import { assertStatus, exec, withDetached } from "./ctr.ts";

const snapshotterCase = (snapshotter: string, applies: (ground: Ground) => boolean): Case => ({
  name: `root file system of the snapshotter ${snapshotter}`,
  applies,
  run: async (ground) => {
    // containerd 2 itself unpacks for its default snapshotter only; ctr does for any.
    const local = ground.containerd.build.major >= 2 ? ["--local"] : [];
    const unpack = ["image", "import", ...local, "--snapshotter", snapshotter, ground.images.archive];
    await ground.containerd.mustCtr(unpack, { signal: ground.signal });
    await withDetached(ground, { image: IMAGE, flags: ["--snapshotter", snapshotter] }, async (id) => {
      assertStatus(await exec(ground, id, ["sh", "-c", "echo kept > /data/new && rm /data/pattern"]), 0);
      const seen = await exec(ground, id, ["sh", "-c", "cat /data/new; ls /data"]);
      assertStatus(seen, 0);
      assert.equal(seen.stdout.toString(), "kept\nnew\n");
    });
  },
});

export const snapshotterCases: readonly Case[] = [
  snapshotterCase("overlayfs", () => true),
  snapshotterCase("native", () => true),
  snapshotterCase("blockfile", (ground) => ground.containerd.build.major >= 2),
];
