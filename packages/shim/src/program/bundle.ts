import path from "node:path";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import { jsonFault, typeOf } from "../given.ts";
import { readNamedFile } from "../system/file-calls.ts";

const largestConfiguration = 16 * 1024 * 1024;
const expected = "a specification of the OCI runtime specification";

export interface BundleConfiguration {
  /** config.json as parsed JSON; nothing but the annotations has been checked. */
  readonly spec: { readonly [field: string]: unknown };
  readonly annotations: { readonly [key: string]: string };
}

/** Reads config.json; undefined when there is none. */
export async function readConfiguration(
  bundle: string,
  clock: Clock = systemClock,
): Promise<BundleConfiguration | undefined> {
  const file = path.join(bundle, "config.json");
  let content: Buffer;
  try {
    content = await readNamedFile(file, largestConfiguration, { clock });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if ((error as NodeJS.ErrnoException).code === "DeadlineExceeded") throw error;
    throw new ShimError("InvalidArgument", `${file} cannot be read: ${describeError(error)}`, { cause: error });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(content.toString("utf8"));
  } catch (error) {
    throw new ShimError("InvalidArgument", `${file} is not JSON${jsonFault(error)}, expected ${expected}`);
  }
  if (!isObject(parsed)) throw new ShimError("InvalidArgument", `${file} is not a JSON object, expected ${expected}`);
  return { spec: parsed, annotations: checkAnnotations(file, parsed.annotations) };
}

/** Reads config.json of a bundle that must have one. */
export async function requireConfiguration(bundle: string): Promise<BundleConfiguration> {
  const configuration = await readConfiguration(bundle);
  if (configuration === undefined) {
    throw new ShimError("InvalidArgument", `${path.join(bundle, "config.json")} does not exist, expected ${expected}`);
  }
  return configuration;
}

/** Annotations by which a container says which sandbox it joins: CRI's, and ours for callers other than CRI. */
const sandboxIdAnnotations = ["io.kubernetes.cri.sandbox-id", "io.uvm-shim.sandbox-id"] as const;

/** The sandbox that a container names, when it names one. */
export function sandboxIdOf(annotations: { readonly [key: string]: string }): string | undefined {
  for (const key of sandboxIdAnnotations) {
    const id = annotations[key];
    if (id !== undefined && id !== "") return id;
  }
  return undefined;
}

function checkAnnotations(file: string, value: unknown): { readonly [key: string]: string } {
  if (value === undefined || value === null) return {};
  if (!isObject(value))
    throw new ShimError("InvalidArgument", `${file}: annotations is not an object, expected one of strings`);
  for (const [key, annotation] of Object.entries(value)) {
    if (typeof annotation !== "string") {
      throw new ShimError(
        "InvalidArgument",
        `${file}: annotations[${JSON.stringify(key)}] is ${typeOf(annotation)}; a string is accepted`,
      );
    }
  }
  return value as { readonly [key: string]: string };
}

function isObject(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
