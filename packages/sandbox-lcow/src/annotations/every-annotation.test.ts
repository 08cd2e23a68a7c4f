/** Every annotation of sandboxes: its default, typical values, limits, and what it refuses. */
import { describeRows, refused } from "@uvm-shim/sandbox-common/testing";
import { expect, it } from "vitest";
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

it("every known key has rows", () => {
  expect([...rows.keys()].toSorted()).toEqual([...sandboxAnnotationKeys, service].toSorted());
});

describeRows(rows, build);
