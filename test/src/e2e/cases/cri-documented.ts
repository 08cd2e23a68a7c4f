/** The configuration that docs/linux.md tells people to write, loaded by containerd and used for a pod. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import type { CriPod } from "../../cri/pod.ts";
import { output, withPod } from "../cri-case.ts";
import { DOCUMENTED_HANDLER, DOCUMENTED_HANDLER_WITH_OPTIONS, documentedConfigurations } from "../documented.ts";
import { MEBIBYTE } from "../images.ts";
import type { Case, CriCaseContext } from "../suite.ts";
import { assertMemory } from "./resources.ts";

/** containerd reads each as its whole configuration, and has the handler beside its own. */
async function loaded({ containerd, scratch }: CriCaseContext): Promise<void> {
  const configurations = documentedConfigurations(containerd.build.major);
  assert.notEqual(configurations.length, 0);
  for (const text of configurations) {
    const file = join(scratch, "config.toml");
    writeFileSync(file, text);
    const program = join(containerd.build.programs, "containerd");
    const dump = await mustRun(program, ["--config", file, "config", "dump"]);
    for (const handler of ["runc", DOCUMENTED_HANDLER]) assert.match(dump, new RegExp(`runtimes\\.${handler}[.\\]-]`));
    for (const line of text.split("\n").filter((one) => one.startsWith("  ") && one.includes(" = "))) {
      const setting = line.trim().replaceAll(/['"]/g, "");
      assert.ok(dump.replaceAll(/['"]/g, "").includes(setting), `config dump has no ${setting}`);
    }
  }
}

/** A pod of a handler runs, in a VM of the size that was asked for. */
async function used(
  context: CriCaseContext,
  handler: string,
  memoryInMb: number,
  annotations: { readonly [key: string]: string } = {},
): Promise<void> {
  const work = async (pod: CriPod): Promise<void> => {
    await assertMemory(memoryInMb * MEBIBYTE);
    const id = await pod.run("hello", ["sleep", "1000"]);
    assert.equal(await output(context, id, "echo", "hello"), "hello\n");
  };
  await withPod(context, work, { annotations }, handler);
}

const isLcow = ({ runtime }: CriCaseContext): boolean => runtime.key === "lcow";

export const criDocumentedCases: readonly Case<CriCaseContext>[] = [
  { name: "CRI: containerd reads the configuration in docs/linux.md", run: loaded },
  {
    name: "CRI: a pod by the configuration in docs/linux.md",
    applies: isLcow,
    run: (context) =>
      used(context, DOCUMENTED_HANDLER, 512, {
        "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "512",
      }),
  },
  {
    name: "CRI: a pod by the configuration with options in docs/linux.md",
    applies: (context) => isLcow(context) && context.containerd.build.major >= 2,
    run: (context) => used(context, DOCUMENTED_HANDLER_WITH_OPTIONS, 2048),
  },
];
