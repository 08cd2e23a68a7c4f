import {
  answerObject,
  type Check,
  integer,
  type JsonBounds,
  list,
  optional,
  parseWithin,
  SchemaError,
  text,
  truth,
} from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { keyOf, wrongPath } from "../specification/annotations.ts";
import type { WindowsPlanOptions } from "./options.ts";

/** The first build whose containers have them: Windows Server 2022. */
const firstBuild = 20_348;

const bounds: JsonBounds = { length: 2 ** 20, depth: 32, keys: 10_000, elements: 10_000 };

/** What the files of an annotation add to the device namespace of a container; undefined for none. */
export async function planDeviceExtensions(
  paths: readonly string[],
  { build, files }: WindowsPlanOptions,
  refuse: Refuse,
): Promise<object | undefined> {
  if (paths.length === 0) return undefined;
  if (build !== undefined && build < firstBuild) {
    const message = `annotation ${keyOf("deviceExtensions")}: the host's build is ${build}, expected at least ${firstBuild}`;
    throw refuse("FailedPrecondition", message);
  }
  const extensions: unknown[] = [];
  for (const path of paths) extensions.push(await extensionIn(path, files, refuse));
  return { device_extension: extensions };
}

async function extensionIn(path: string, files: WindowsPlanOptions["files"], refuse: Refuse): Promise<unknown> {
  const kind = await files.kind(path);
  if (kind !== "file") throw wrongPath("deviceExtensions", path, `a file, it is ${kind ?? "missing"}`, refuse);
  try {
    return withoutZeros(extension(parseWithin(await files.readText(path), bounds) ?? {}));
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const message = `annotation ${keyOf("deviceExtensions")}: ${path}: ${error.message}`;
    throw refuse("InvalidArgument", message, error);
  }
}

/** Fields that the guest's schema has, in any case of their names; others are left out. */
function copied(fields: { readonly [name: string]: Check<unknown> }): Check<unknown> {
  const all = Object.fromEntries(Object.entries(fields).map(([name, check]) => [name, optional(check)]));
  return answerObject<{ readonly [name: string]: unknown }>(all);
}

const interfaceClass = copied({ type: text, identifier: text, recurse: truth });
const category = copied({ name: text, interface_class: list(interfaceClass) });
const instance = copied({ id: text, location_path: text, port_name: text, interface_class: list(interfaceClass) });
const symlink = copied({
  name: text,
  path: text,
  scope: text,
  pathtoclone: text,
  access_mask: integer(-(2 ** 31), 2 ** 32 - 1),
});
const directory: Check<unknown> = (value, path) =>
  copied({ name: text, clonesd: text, shadow: text, symlink: list(symlink), objdir: list(directory) })(value, path);

const extension = copied({
  device_category: category,
  namespace: copied({
    ob: copied({ shadow: text, symlink: list(symlink), objdir: list(directory) }),
    device: copied({ requires_driverstore: truth, device_category: list(category), device_instance: list(instance) }),
  }),
});

/** Zeros are defaults, which Go's encoder leaves out; an empty object says that there is one. */
function withoutZeros(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeros);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(
    ([, member]) => Boolean(member) && !(Array.isArray(member) && member.length === 0),
  );
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutZeros(member)]));
}
