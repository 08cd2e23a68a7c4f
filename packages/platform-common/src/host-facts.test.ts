import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";
import { withHostFacts } from "./host-facts.ts";

it("answers the questions of a document's build about files, and then fails as the build does", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "host-facts-"));
  try {
    const file = path.join(folder, "kernel");
    writeFileSync(file, "");
    let builds = 0;
    const built = await withHostFacts(folder, {}, (facts) => {
      builds++;
      const hasFolder = facts.hasFolder(facts.executableFolder);
      return { hasFolder, hasFile: hasFolder && facts.hasFile(file), hasOther: facts.hasFile(path.join(file, "x")) };
    });
    expect(built).toEqual({ hasFolder: true, hasFile: true, hasOther: false });
    // Nothing is known at first; the file is looked up once the folder is known.
    expect(builds).toBe(3);
    const failing = withHostFacts(folder, {}, (facts): never => {
      throw new Error(facts.hasFile(file) ? "has the file" : "has no file");
    });
    await expect(failing).rejects.toThrow("has the file");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("names the boot files of the kind of guest that the environment asks for", async () => {
  const asked = (guest: string): Promise<string | undefined> =>
    withHostFacts("/opt", { UVM_SHIM_GUEST: guest }, ({ linuxBootFolder }) => linuxBootFolder);
  const machines = process.platform === "win32" ? undefined : "LinuxVmBootFiles";
  expect([await asked("qemu"), await asked("process"), await asked("")]).toEqual([machines, undefined, undefined]);
});
