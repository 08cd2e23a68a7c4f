import path from "node:path";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import { typeName } from "../redaction.ts";
import { parseSpecification } from "../specification-json.ts";
import { readNamedFile } from "../system/file-calls.ts";

const largestConfiguration = 16 * 1024 * 1024;
const expected = "an OCI runtime specification";

/** A bundle's config.json. */
export interface BundleConfiguration {
  /** config.json as parsed JSON; only the annotations have been checked. */
  readonly spec: { readonly [field: string]: unknown };
  readonly annotations: { readonly [key: string]: string };
}

/** Undefined when the bundle has no config.json. */
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
  const parsed = parseSpecification(`${file} is`, content, expected);
  if (!isObject(parsed)) throw new ShimError("InvalidArgument", `${file} is not a JSON object, expected ${expected}`);
  return { spec: parsed, annotations: checkAnnotations(file, parsed.annotations) };
}

/** A bundle's configuration; InvalidArgument if it has none or it cannot be read. */
export async function requireConfiguration(bundle: string): Promise<BundleConfiguration> {
  const configuration = await readConfiguration(bundle);
  if (configuration === undefined) {
    throw new ShimError("InvalidArgument", `${path.join(bundle, "config.json")} does not exist, expected ${expected}`);
  }
  return configuration;
}

/** Annotations that name the sandbox that a container joins: CRI's own, and one for other clients. */
const sandboxIdAnnotations = ["io.kubernetes.cri.sandbox-id", "io.uvm-shim.sandbox-id"] as const;

/** The id of the sandbox that a container joins, if its annotations name one. */
export function sandboxIdOf(annotations: { readonly [key: string]: string }): string | undefined {
  for (const key of sandboxIdAnnotations) {
    const id = annotations[key];
    if (id !== undefined && id !== "") return id;
  }
  return undefined;
}

/** Whether CRI creates a sandbox by this container, and not one that joins a sandbox. */
export function isSandbox(annotations: { readonly [key: string]: string }): boolean {
  return annotations["io.kubernetes.cri.container-type"] === "sandbox";
}

function checkAnnotations(file: string, value: unknown): { readonly [key: string]: string } {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new ShimError("InvalidArgument", `${file}: annotations must be an object of strings`);
  for (const [key, annotation] of Object.entries(value)) {
    if (typeof annotation !== "string") {
      throw new ShimError(
        "InvalidArgument",
        `${file}: annotations[${JSON.stringify(key)}] is ${typeName(annotation)}, expected a string`,
      );
    }
  }
  return value as { readonly [key: string]: string };
}

function isObject(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
