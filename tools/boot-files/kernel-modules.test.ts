import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { elfFile } from "./elf-files.ts";
import { KernelModules, moduleTables, readModuleInformation } from "./kernel-modules.ts";

const modules: Readonly<Record<string, readonly string[]>> = {
  "kernel/fs/disk-fs.ko": [
    "license=GPL",
    "softdep=pre: crypto-sum post: later",
    "depends=checks,journal",
    "alias=fs-disk",
  ],
  "kernel/fs/journal.ko": ["depends=checks"],
  "kernel/lib/checks.ko": ["depends="],
  "kernel/crypto/sum_generic.ko": ["alias=crypto-sum", "alias=sum", "depends="],
  "kernel/arch/x86/crypto/sum-quick.ko": ["alias=crypto-sum", "depends=built_in"],
  "kernel/drivers/lonely.ko": ["depends=absent"],
};

function kernel(): KernelModules {
  const folder = join(mkdtempSync(join(tmpdir(), "boot-files-")), "6.1.0-50-amd64");
  for (const [path, information] of Object.entries(modules)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), elfFile({ information }));
  }
  writeFileSync(join(folder, "modules.builtin"), "kernel/drivers/built-in.ko\n");
  return new KernelModules(folder);
}

it("reads what a module says of itself", () => {
  expect(readModuleInformation(elfFile({ information: modules["kernel/fs/disk-fs.ko"] ?? [] }))).toEqual({
    depends: ["checks", "journal"],
    before: ["crypto-sum"],
    aliases: ["fs-disk"],
  });
});

describe("the order of loading", () => {
  it("has each module once, after all that it needs, and none that is built in", () => {
    const order = kernel().inLoadingOrder(["disk_fs", "checks", "built_in"]);
    expect(order.map(({ name }) => name)).toEqual(["sum_generic", "sum_quick", "checks", "journal", "disk_fs"]);
  });

  it("names a module that the kernel does not have, and who needs it", () => {
    expect(() => kernel().inLoadingOrder(["lonely"])).toThrow(
      "the kernel 6.1.0-50-amd64 has no module absent, which lonely needs",
    );
    expect(() => kernel().inLoadingOrder(["nothing"])).toThrow("has no module nothing, which the guest needs");
  });
});

it("makes the tables of modprobe", () => {
  const { dependencies, aliases } = moduleTables(kernel().inLoadingOrder(["disk_fs"]));
  expect(dependencies.split("\n")).toContain("kernel/fs/disk-fs.ko: kernel/fs/journal.ko kernel/lib/checks.ko");
  expect(dependencies.split("\n")).toContain("kernel/lib/checks.ko:");
  expect(aliases).toBe(
    "alias crypto-sum sum_generic\nalias crypto-sum sum_quick\nalias fs-disk disk_fs\nalias sum sum_generic\n",
  );
});
