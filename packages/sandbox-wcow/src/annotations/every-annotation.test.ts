/** Every annotation of sandboxes: its default, typical values, limits, and what it refuses. */
import { topology, vm } from "@uvm-shim/sandbox-common";
import { describeRows } from "@uvm-shim/sandbox-common/testing";
import { expect, it } from "vitest";
import { machineRows, service, serviceRows } from "../testing/machine-rows.ts";
import { policyRows } from "../testing/policy-rows.ts";
import { build } from "../testing/sandbox.ts";
import { kinds, type SettingRows } from "../testing/setting-rows.ts";
import { type AnnotationName, keyOf, sandboxAnnotationKeys } from "./annotations.ts";

const byName: { readonly [Name in AnnotationName]: SettingRows } = { ...machineRows, ...policyRows };

const rows = new Map<string, SettingRows>([
  ...Object.entries(byName).map(([name, setting]): [string, SettingRows] => [keyOf(name as AnnotationName), setting]),
  ["io.microsoft.network.ncproxy", kinds.unsupported(build().document)],
  ...[
    ...["io.microsoft.cri.tenant-sandbox-id", "io.microsoft.cri.virtual-pod-id"],
    ...["io.microsoft.migration.support-enabled", `${topology}memory.enablecolddiscardhint`],
    ...[`${vm}devices.virtualpmem.maximumcount`, `${vm}devices.virtualpmem.maximumsizebytes`],
    `${vm}storage.scratch.encrypted`,
  ].map((key): [string, SettingRows] => [
    key,
    kinds.withoutEffect(`annotation ${key} has no effect on Windows sandboxes`),
  ]),
  [service, serviceRows],
]);

it("every known key has rows", () => {
  expect([...rows.keys()].toSorted()).toEqual([...sandboxAnnotationKeys, service].toSorted());
});

describeRows(rows, build);
