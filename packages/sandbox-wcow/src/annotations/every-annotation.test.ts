/** Every annotation of sandboxes: its default, typical values, limits, and what it refuses. */
import { topology, vm } from "@uvm-shim/sandbox-common";
import { Refused } from "@uvm-shim/sandbox-common/testing";
import { describe, expect, it } from "vitest";
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

it("there are rows of every kind for every known key", () => {
  expect([...rows.keys()].toSorted()).toEqual([...sandboxAnnotationKeys, service].toSorted());
  for (const [key, { valid, boundary, invalid }] of rows) {
    expect(
      [valid, boundary, invalid].every(({ length }) => length > 0),
      key,
    ).toBe(true);
  }
});

describe.each([...rows])("%s", (key, { given = {}, more, effect, default: byDefault, valid, boundary, invalid }) => {
  const find = (annotations: { readonly [key: string]: string }) => effect(build({ ...given, ...annotations }, more));
  const expectAs = (act: () => unknown, expected: unknown): void => {
    if (!(expected instanceof Refused)) {
      expect(act()).toEqual(expected);
      return;
    }
    expect(act).toThrow(expect.objectContaining({ code: expected.code }));
    expect(act).toThrow(expected.message);
  };

  it("has a default", () => expectAs(() => find({}), byDefault));

  it.each([...valid, ...boundary, ...invalid])("%j", (text, expected) => {
    expectAs(() => find({ [key]: text }), expected);
    if (expected instanceof Refused) expect(() => find({ [key]: text })).toThrow(key);
  });
});
