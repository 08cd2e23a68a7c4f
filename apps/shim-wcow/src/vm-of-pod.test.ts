import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PodVm } from "@uvm-shim/controller-pod";
import { afterEach, beforeEach, expect, it } from "vitest";
import { recordOwnFiles } from "./own-files.ts";
import { vmOfPod } from "./vm-of-pod.ts";

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "vm-of-pod-"));
  writeFileSync(join(folder, "own"), "of the VM");
  await recordOwnFiles(folder, [join(folder, "own")]);
});
afterEach(() => rmSync(folder, { recursive: true }));

function vmThat(
  terminate: () => Promise<void>,
  copies = [{ from: join(folder, "own"), to: join(folder, "kept", "own") }],
) {
  const warnings: string[] = [];
  const preserved = { folder: join(folder, "kept"), copies };
  const vm = { terminate } as unknown as PodVm;
  return { warnings, vm: vmOfPod(vm, { bundle: folder, preserved, warn: (sentence) => void warnings.push(sentence) }) };
}

it("what only a VM used goes with it, and is preserved before for those who debug it", async () => {
  const { vm, warnings } = vmThat(async () => {});
  await vm.terminate();
  expect([existsSync(join(folder, "own")), readFileSync(join(folder, "kept", "own"), "utf8")]).toEqual([
    false,
    "of the VM",
  ]);
  await vm.terminate();
  expect(warnings).toEqual([]);
});

it("a VM that cannot be ended keeps its files", async () => {
  const { vm } = vmThat(async () => {
    throw new Error("it runs on");
  });
  await expect(vm.terminate()).rejects.toThrow("it runs on");
  expect([existsSync(join(folder, "own")), existsSync(join(folder, "kept"))]).toEqual([true, false]);
});

it("files that cannot be preserved are warned of, and removed", async () => {
  const missing = [{ from: join(folder, "missing"), to: join(folder, "kept", "missing") }];
  const { vm, warnings } = vmThat(async () => {}, missing);
  await vm.terminate();
  expect([warnings, existsSync(join(folder, "own"))]).toEqual([["the VM's disks are not preserved"], false]);
});
