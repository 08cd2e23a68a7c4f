import { isAbsolute } from "node:path";
import { systemClock } from "@uvm-shim/lifecycle";
import { parse as parseToml } from "smol-toml";
import { describeError, ShimError } from "../errors.ts";
import { containerd, runtimeoptions } from "../generated/messages.js";
import { redactedValue, tomlErrorPosition, typeName } from "../redaction.ts";
import { readNamedFile } from "../system/file-calls.ts";
import type { RuntimeOptions } from "./bootstrap.ts";
import { decodeFields } from "./protobuf-wire.ts";

/** `containerd.runhcs.v1.Options` as a plain object; fields that were not set are absent. */
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

/** Names of the enumerations' values, by number. */
const debugTypes = ["NPIPE", "FILE", "ETW"] as const;
const isolations = ["PROCESS", "HYPERVISOR"] as const;

type Kind = "boolean" | "number" | "string" | "strings" | readonly string[];

/** Which options there are, and the type of each. */
export const optionKinds: { readonly [Field in keyof RuntimeOptionValues]-?: Kind } = {
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
/** Keys that containerd's CRI plugin adds to the runtime's options. */
const configurationKeys: ReadonlySet<string> = new Set(["typeurl", "configpath", "configbody"]);

/**
 * Decodes the two types of runtime options that containerd passes: the runhcs message, and the generic one with the TOML
 * of the CRI plugin's configuration. Throws InvalidArgument for other types and for invalid content.
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
        `unknown runtime options type ${JSON.stringify(typeUrl)}: expected containerd.runhcs.v1.Options or runtimeoptions.v1.Options`,
      );
  }
}

function decode<Message>(type: string, read: () => Message): Message {
  try {
    return read();
  } catch (error) {
    if (error instanceof ShimError) throw error;
    throw new ShimError("InvalidArgument", `runtime options are not a valid ${type}: ${describeError(error)}`, {
      cause: error,
    });
  }
}

/** Copies own properties: those of the message that were set to something other than zero. */
function fromMessage(message: containerd.runhcs.v1.Options, bytes: Uint8Array): RuntimeOptionValues {
  const { debugType, sandboxIsolation = 0, scrubLogs, ...rest } = { ...message } as Partial<typeof message>;
  // Zero is a value of this enumeration; only the encoded bytes tell it from an unset field.
  const hasIsolation = decodeFields(bytes).some(({ number }) => number === isolationField);
  return {
    ...rest,
    ...(debugType !== undefined && { debugType: enumerated("debug_type", debugTypes, debugType) }),
    ...(hasIsolation && { sandboxIsolation: enumerated("sandbox_isolation", isolations, sandboxIsolation) }),
    ...(typeof scrubLogs === "boolean" && { scrubLogs }),
  };
}

/** Accepts names in Go's and protobuf's spelling; containerd ignores case too. */
function fromToml(source: string, text: string): RuntimeOptionValues {
  let table: { readonly [key: string]: unknown };
  try {
    table = parseToml(text);
  } catch (error) {
    throw new ShimError("InvalidArgument", `runtime options: ${source} is not valid TOML${tomlErrorPosition(error)}`);
  }
  const fields = new Map(
    Object.keys(optionKinds).map((field) => [field.toLowerCase(), field as keyof RuntimeOptionValues]),
  );
  const values: { [field: string]: unknown } = {};
  for (const [key, value] of Object.entries(table)) {
    const name = key.replaceAll("_", "").toLowerCase();
    if (configurationKeys.has(name)) continue;
    const field = fields.get(name);
    if (field === undefined) {
      throw new ShimError(
        "InvalidArgument",
        `runtime options: ${source} has unknown key ${JSON.stringify(key)}, expected one of ${Object.keys(optionKinds).join(", ")}`,
      );
    }
    values[field] = checked(key, optionKinds[field], value);
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
    const given = `got ${typeName(wrong[1])} as ${JSON.stringify(wrong[0])}, expected a table of strings`;
    throw new ShimError("InvalidArgument", `runtime options: ${key}: ${given}`);
  }
  return { ...value };
}

/** Accepts the number of a value, as protobuf and containerd's configuration write it, or its name. */
function enumerated<Name extends string>(key: string, names: readonly Name[], value: unknown): Name {
  const name = typeof value === "number" ? names[value] : names.find((candidate) => candidate === value);
  if (name === undefined) throw mismatch(key, names.map((each, index) => `${index} (${each})`).join(", "), value);
  return name;
}

function mismatch(key: string, expected: string, value: unknown): ShimError {
  return new ShimError("InvalidArgument", `runtime options: ${key}: got ${redactedValue(value)}, expected ${expected}`);
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
