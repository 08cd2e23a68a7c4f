import assert from "node:assert/strict";
import { FOREIGN_IMAGE, FOREIGN_PROGRAM } from "../images.ts";
import type { Case } from "../suite.ts";
import { runContainer } from "./ctr.ts";

const MEMORY_ANNOTATION = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb";

export const inputCases: readonly Case[] = [
  {
    name: "an annotation whose value makes no sense is named",
    applies: (ground) => ground.runtime.key === "lcow",
    run: async (ground) => {
      const flags = ["--annotation", `${MEMORY_ANNOTATION}=lots`];
      const result = await runContainer(ground, { id: ground.newId("annotation"), flags, command: ["true"] });
      assert.notEqual(result.status, 0);
      assert.ok(result.stderr.includes(MEMORY_ANNOTATION), result.stderr);
      assert.match(result.stderr, /lots/);
    },
  },
  {
    name: "an image of another architecture is refused with the name of its program",
    run: async (ground) => {
      const platform = `linux/${ground.images.foreignArchitecture}`;
      await ground.containerd.mustCtr(["image", "import", "--platform", platform, ground.images.foreignArchive]);
      const result = await runContainer(ground, {
        id: ground.newId("foreign"),
        image: FOREIGN_IMAGE,
        flags: ["--platform", platform],
        command: [FOREIGN_PROGRAM],
      });
      assert.notEqual(result.status, 0);
      assert.match(result.stderr, /exec format error|architecture/i);
      // By Start's own error, and not by what the container printed.
      if (ground.runtime.key === "lcow") assert.match(result.stderr, new RegExp(`^ctr: .*${FOREIGN_PROGRAM}`));
    },
  },
];
