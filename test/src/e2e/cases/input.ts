import assert from "node:assert/strict";
import { FOREIGN_IMAGE, FOREIGN_PROGRAM } from "../images.ts";
import type { Case } from "../suite.ts";
import { runContainer } from "./ctr.ts";

const MEMORY_ANNOTATION = "io.microsoft.virtualmachine.computetopology.memory.sizeinmb";

export const inputCases: readonly Case[] = [
  {
    name: "an annotation whose value makes no sense is named",
    applies: (context) => context.runtime.key === "lcow",
    run: async (context) => {
      const flags = ["--annotation", `${MEMORY_ANNOTATION}=lots`];
      const result = await runContainer(context, { id: context.newId("annotation"), flags, command: ["true"] });
      assert.notEqual(result.status, 0);
      assert.ok(result.stderr.includes(MEMORY_ANNOTATION), result.stderr);
      assert.match(result.stderr, /lots/);
    },
  },
  {
    name: "an image of another architecture is refused with the name of its program",
    run: async (context) => {
      const platform = `linux/${context.images.foreignArchitecture}`;
      await context.containerd.mustCtr(["image", "import", "--platform", platform, context.images.foreignArchive]);
      const result = await runContainer(context, {
        id: context.newId("foreign"),
        image: FOREIGN_IMAGE,
        flags: ["--platform", platform],
        command: [FOREIGN_PROGRAM],
      });
      assert.notEqual(result.status, 0);
      assert.match(result.stderr, /exec format error|architecture/i);
      // By Start's own error, and not by what the container printed.
      if (context.runtime.key === "lcow") assert.match(result.stderr, new RegExp(`^ctr: .*${FOREIGN_PROGRAM}`));
    },
  },
];
