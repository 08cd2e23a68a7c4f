import { isAbsolute } from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { parse as parseToml } from "smol-toml";
import { describeError, ShimError } from "../errors.ts";
import { containerd, runtimeoptions } from "../generated/messages.js";
import { shortOr, tomlFault, typeOf } from "../given.ts";
import { readNamedFile } from "../system/file-calls.ts";
import type { RuntimeOptions } from "./bootstrap.ts";
import { decodeFields } from "./wire.ts";

/** `containerd.runhcs.v1.Options` as a plain object: what was not set is absent. */
export interface RuntimeOptionValues {
  readonly debug?: boolean;
  readonly debugType?: "NPIPE" | "FILE" | "ETW";
  readonly registryRoot?: string;
  readonly sandboxImage?: string;
  readonly sandboxPlatform?: string;
  readonly sandboxIsolation?: "PROCESS" | "HYPERVISOR";
  readonly bootFilesRootPath?: string;
  readonly vmProcessorCount?: number;
  readonly vmMemorySizeInMb?: number;
  readonly GPUVHDPath?: string;
  readonly scaleCpuLimitsToSandbox?: boolean;
  readonly defaultContainerScratchSizeInGb?: number;
  readonly defaultVmScratchSizeInGb?: number;
  readonly shareScratch?: boolean;
  readonly NCProxyAddr?: string;
  readonly logLevel?: string;
  readonly ioRetryTimeoutInSec?: number;
  readonly defaultContainerAnnotations?: { readonly [key: string]: string };
  readonly noInheritHostTimezone?: boolean;
  readonly scrubLogs?: boolean;
}

/** Values of the enumerations by their numbers. */
const debugTypes = ["NPIPE", "FILE", "ETW"] as const;
const isolations = ["PROCESS", "HYPERVISOR"] as const;

type Kind = "boolean" | "number" | "string" | "strings" | readonly string[];

const kinds: { readonly [Field in keyof RuntimeOptionValues]-?: Kind } = {
  debug: "boolean",
  debugType: debugTypes,
  registryRoot: "string",
  sandboxImage: "string",
  sandboxPlatform: "string",
  sandboxIsolation: isolations,
  bootFilesRootPath: "string",
  vmProcessorCount: "number",
  vmMemorySizeInMb: "number",
  GPUVHDPath: "string",
  scaleCpuLimitsToSandbox: "boolean",
  defaultContainerScratchSizeInGb: "number",
  defaultVmScratchSizeInGb: "number",
  shareScratch: "boolean",
  NCProxyAddr: "string",
  logLevel: "string",
  ioRetryTimeoutInSec: "number",
  defaultContainerAnnotations: "strings",
  noInheritHostTimezone: "boolean",
  scrubLogs: "boolean",
};

const isolationField = 6;
const largestConfiguration = 1024 * 1024;
/** What containerd's CRI plugin puts beside the runtime's own options. */
const configurationKeys: ReadonlySet<string> = new Set(["typeurl", "configpath", "configbody"]);

/**
 * Decodes runtime options of the two types that containerd passes: the message itself, and the generic one, which holds
 * the options of the CRI plugin's configuration as TOML. Throws InvalidArgument for others, and for what they hold.
 */
export async function decodeRuntimeOptions({ typeUrl, value }: RuntimeOptions): Promise<RuntimeOptionValues> {
  switch (typeUrl.slice(typeUrl.lastIndexOf("/") + 1)) {
    case "containerd.runhcs.v1.Options":
      return decode("containerd.runhcs.v1.Options", () =>
        fromMessage(containerd.runhcs.v1.Options.decode(value), value),
      );
    case "runtimeoptions.v1.Options":
    case "cri.runtimeoptions.v1.Options": {
      const { configPath, configBody } = decode("runtimeoptions.v1.Options", () =>
        runtimeoptions.v1.Options.decode(value),
      );
      if (configPath !== "") return fromToml(configPath, await readConfigurationFile(configPath));
      return fromToml("config_body", Buffer.from(configBody).toString("utf8"));
    }
    default:
      throw new ShimError(
        "InvalidArgument",
        `runtime options of type ${JSON.stringify(typeUrl)} are not known, expected containerd.runhcs.v1.Options or runtimeoptions.v1.Options`,
      );
  }
}

function decode<Message>(type: string, read: () => Message): Message {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShimError) throw error;
    throw new ShimError("InvalidArgument", `runtime options are no ${type}: ${describeError(error)}`, { cause: error });
  }
}

/** A message has as its own properties what was set to more than its zero; only those are copied. */
function fromMessage(message: containerd.runhcs.v1.Options, bytes: Uint8Array): RuntimeOptionValues {
  const { debugType, sandboxIsolation = 0, scrubLogs, ...rest } = { ...message } as Partial<typeof message>;
  // The zero of this enumeration means something, and only the wire tells it from nothing.
  const hasIsolation = decodeFields(bytes).some(({ number }) => number === isolationField);
  return {
    ...rest,
    ...(debugType !== undefined && { debugType: enumerated("debug_type", debugTypes, debugType) }),
    ...(hasIsolation && { sandboxIsolation: enumerated("sandbox_isolation", isolations, sandboxIsolation) }),
    ...(typeof scrubLogs === "boolean" && { scrubLogs }),
  };
}

/** Names in Go's or protobuf's spelling; containerd compares them without regard to case too. */
function fromToml(source: string, text: string): RuntimeOptionValues {
  let table: { readonly [key: string]: unknown };
  try {
    table = parseToml(text);
  } catch (error) {
    throw new ShimError("InvalidArgument", `runtime options: ${source} is no TOML${tomlFault(error)}`);
  }
  const fields = new Map(Object.keys(kinds).map((field) => [field.toLowerCase(), field as keyof RuntimeOptionValues]));
  const values: { [field: string]: unknown } = {};
  for (const [key, value] of Object.entries(table)) {
    const name = key.replaceAll("_", "").toLowerCase();
    if (configurationKeys.has(name)) continue;
    const field = fields.get(name);
    if (field === undefined) {
      throw new ShimError(
        "InvalidArgument",
        `runtime options: ${source} has ${JSON.stringify(key)}, expected only ${Object.keys(kinds).join(", ")}`,
      );
    }
    values[field] = checked(key, kinds[field], value);
  }
  return values;
}

function checked(key: string, kind: Kind, value: unknown): unknown {
  if (typeof kind !== "string") return enumerated(key, kind, value);
  if (kind !== "strings") {
    if (typeof value !== kind) throw mismatch(key, `a ${kind}`, value);
    return value;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw mismatch(key, "a table of strings", value);
  }
  const wrong = Object.entries(value).find(([, member]) => typeof member !== "string");
  if (wrong !== undefined) {
    const given = `got ${typeOf(wrong[1])} as ${JSON.stringify(wrong[0])}, expected a table of strings`;
    throw new ShimError("InvalidArgument", `runtime options: ${key}: ${given}`);
  }
  return { ...value };
}

/** By number, as protobuf and containerd's configuration have it, or by name. */
function enumerated<Name extends string>(key: string, names: readonly Name[], value: unknown): Name {
  const name = typeof value === "number" ? names[value] : names.find((candidate) => candidate === value);
  if (name === undefined) throw mismatch(key, names.map((each, index) => `${index} (${each})`).join(", "), value);
  return name;
}

function mismatch(key: string, expected: string, value: unknown): ShimError {
  return new ShimError("InvalidArgument", `runtime options: ${key}: got ${shortOr(value)}, expected ${expected}`);
}

async function readConfigurationFile(path: string): Promise<string> {
  try {
    if (!isAbsolute(path)) throw new Error("expected an absolute path");
    return (await readNamedFile(path, largestConfiguration, { clock: systemClock })).toString("utf8");
  } catch (error) {
    throw new ShimError("InvalidArgument", `runtime options: config_path ${path}: ${describeError(error)}`, {
      cause: error,
    });
  }
}
