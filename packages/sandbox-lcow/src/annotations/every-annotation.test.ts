/** Every annotation of sandboxes: its default, typical values, limits, and what it refuses. */
import { Refused, refused } from "@uvm-shim/sandbox-common/testing";
import { describe, expect, it } from "vitest";
import { guestRows } from "../testing/guest-rows.ts";
import { machineRows } from "../testing/machine-rows.ts";
import { build, vm } from "../testing/sandbox.ts";
import { kinds, type SettingRows } from "../testing/setting-rows.ts";
import { type AnnotationName, keyOf, sandboxAnnotationKeys } from "./annotations.ts";

const byName: { readonly [Name in AnnotationName]: SettingRows } = { ...guestRows, ...machineRows };
const service = `${vm}hv-socket.service-table.11111111-2222-3333-4444-555555555555`;
const serviceObject = refused("expected a JSON object with BindSecurityDescriptor (string)");

const rows = new Map<string, SettingRows>([
  ...Object.entries(byName).map(([name, setting]): [string, SettingRows] => [keyOf(name as AnnotationName), setting]),
  ...[
    ...["io.microsoft.cri.tenant-sandbox-id", "io.microsoft.cri.virtual-pod-id", "io.microsoft.network.ncproxy"],
    ...[`${vm}lcow.vpmem.nomultimapping`, `${vm}kerneldrivers`],
  ].map((key): [string, SettingRows] => [key, kinds.unsupported(build().document)]),
  ...[
    ...[`${vm}lcow.amd-certificate`, `${vm}dump-directory-path`],
    ...[`${vm}devices.virtualpmem.maximumsizebytes`, `${vm}disablecompartmentnamespace`],
    ...["defaultsources.enable", "enable", "sources"].map((name) => `${vm}forwardlogs.${name}`),
  ].map((key): [string, SettingRows] => [
    key,
    kinds.withoutEffect(`annotation ${key} has no effect on Linux sandboxes`),
  ]),
  [
    service,
    {
      effect: ({ Devices }) => Object.values(Devices?.HvSocket?.HvSocketConfig?.ServiceTable ?? {}),
      default: [],
      valid: [['{"AllowWildcardBinds":true}', [{ AllowWildcardBinds: true }]]],
      boundary: [["{}", [{}]]],
      invalid: ["", "[]", "null", '{"Disabled":"true"}', '{"Unknown":true}'].map((text) => [text, serviceObject]),
    },
  ],
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
