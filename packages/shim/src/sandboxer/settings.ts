import path from "node:path";
import type { Clock } from "@uvm-shim/lifecycle";
import { parse as parseToml } from "smol-toml";
import type { SandboxerFlags } from "../program/flags.ts";
import { Refusal } from "../program/refusal.ts";
import { standardSocket } from "../program/sandboxer-address.ts";
import { tomlErrorPosition, typeName } from "../redaction.ts";
import { readNamedFile } from "../system/file-calls.ts";

/** What a sandboxer is told by its configuration file and by flags, which outrank it. */
export interface SandboxerSettings {
  /** containerd's gRPC address. */
  readonly containerd: string;
  /** Where the sandbox controller is served by gRPC. */
  readonly socket: string;
  /** The folder of what it keeps of its pods. */
  readonly state: string;
  /** Whether SIGTERM ends the pods in order; otherwise their VMs end with the process. */
  readonly drain: boolean;
  readonly level: "info" | "debug";
  /** VMs that are booted before there are pods for them; absent if there are to be none. */
  readonly warmPool?: {
    readonly size: number;
    /** Of all that wait. */
    readonly memoryInMb: number;
  };
}

const mostReadyVms = 64;
/** Enough for as many VMs of pods without settings as most machines want. */
const standardPoolMemoryInMb = 4096;
const largestFile = 64 * 1024;
const isAbsolute = (value: string): boolean => path.posix.isAbsolute(value) || path.win32.isAbsolute(value);

interface Field {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

const aPath: Field = {
  expected: "an absolute path",
  accepts: (value) => typeof value === "string" && isAbsolute(value),
};

const aPoolSize: Field = {
  expected: `a number of VMs from 0 to ${mostReadyVms}`,
  accepts: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= mostReadyVms,
};

/** The keys of the configuration file. */
export const settingFields = {
  containerd: aPath,
  socket: aPath,
  state: aPath,
  warm_pool: aPoolSize,
  warm_pool_memory_mb: {
    expected: "a number of mebibytes, at least 1",
    accepts: (value) => Number.isInteger(value) && (value as number) >= 1,
  },
  drain: { expected: "true or false", accepts: (value) => typeof value === "boolean" },
  log_level: { expected: '"info" or "debug"', accepts: (value) => value === "info" || value === "debug" },
} as const satisfies { readonly [key: string]: Field };

type Key = keyof typeof settingFields;
type FileSettings = { readonly [K in Key]?: unknown };

/** Throws a Refusal that names the key or flag, its value and what is expected. */
export async function readSettings(
  flags: SandboxerFlags,
  flavour: "lcow" | "wcow",
  clock: Clock,
  platform: NodeJS.Platform = process.platform,
): Promise<SandboxerSettings> {
  const standard = standardSettings(flavour, platform);
  const file = flags.configuration === undefined ? {} : await readSettingsFile(flags.configuration, clock);
  for (const [flag, value] of [
    ["address", flags.address],
    ["socket", flags.socket],
    ["state", flags.state],
  ] as const) {
    if (value !== undefined && !aPath.accepts(value)) {
      throw new Refusal(`flag -${flag} is ${JSON.stringify(value)}, expected ${aPath.expected}`);
    }
  }
  const size = poolSize(flags, file, flavour);
  const memoryInMb = (file.warm_pool_memory_mb as number | undefined) ?? standardPoolMemoryInMb;
  return {
    ...(size > 0 && { warmPool: { size, memoryInMb } }),
    containerd: flags.address ?? (file.containerd as string | undefined) ?? standard.containerd,
    socket: flags.socket ?? (file.socket as string | undefined) ?? standard.socket,
    state: flags.state ?? (file.state as string | undefined) ?? standard.state,
    drain: flags.drain ?? (file.drain as boolean | undefined) ?? false,
    level: flags.debug ? "debug" : ((file.log_level as "info" | "debug" | undefined) ?? "info"),
  };
}

function poolSize(flags: SandboxerFlags, file: FileSettings, flavour: "lcow" | "wcow"): number {
  const flag = flags.warmPool === undefined || flags.warmPool === "" ? flags.warmPool : Number(flags.warmPool);
  if (flag !== undefined && !aPoolSize.accepts(flag)) {
    throw new Refusal(`flag -warm-pool is ${JSON.stringify(flags.warmPool)}, expected ${aPoolSize.expected}`);
  }
  const size = (flag ?? file.warm_pool ?? 0) as number;
  if (size > 0 && flavour === "wcow") {
    const where = flag === undefined ? `${flags.configuration}: warm_pool` : "flag -warm-pool";
    throw new Refusal(`${where} is ${size}, expected 0: the VM of a Windows pod boots from a disk of that pod`);
  }
  return size;
}

/** Where the log of a service of Windows is: it has no standard error. */
export function serviceLog(flavour: "lcow" | "wcow"): string {
  return path.win32.join(path.win32.dirname(standardSettings(flavour, "win32").state), `${flavour}.log`);
}

/** Where things are if nobody says otherwise. */
export function standardSettings(
  flavour: "lcow" | "wcow",
  platform: NodeJS.Platform,
): Pick<SandboxerSettings, "containerd" | "socket" | "state"> {
  if (platform === "win32") {
    return {
      containerd: String.raw`\\.\pipe\containerd-containerd`,
      socket: standardSocket(flavour, platform),
      state: path.win32.join(process.env.ProgramData ?? String.raw`C:\ProgramData`, "uvm-shim", "sandboxer", flavour),
    };
  }
  return {
    containerd: "/run/containerd/containerd.sock",
    socket: standardSocket(flavour, platform),
    state: `/run/uvm-shim/sandboxer/${flavour}`,
  };
}

async function readSettingsFile(file: string, clock: Clock): Promise<FileSettings> {
  let text: string;
  try {
    text = (await readNamedFile(file, largestFile, { clock })).toString("utf8");
  } catch (error) {
    throw new Refusal(`flag -config: ${file} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  let parsed: { readonly [key: string]: unknown };
  try {
    parsed = parseToml(text);
  } catch (error) {
    throw new Refusal(`${file} is not valid TOML${tomlErrorPosition(error)}`);
  }
  for (const [key, value] of Object.entries(parsed)) {
    if (!Object.hasOwn(settingFields, key)) {
      throw new Refusal(
        `${file}: unknown key ${JSON.stringify(key)}, expected ${Object.keys(settingFields).join(", ")}`,
      );
    }
    const { accepts, expected } = settingFields[key as Key];
    if (accepts(value)) continue;
    const given = typeof value === "string" || typeof value === "number" ? JSON.stringify(value) : typeName(value);
    throw new Refusal(`${file}: ${key} is ${given}, expected ${expected}`);
  }
  return parsed;
}
