import { messageOf } from "@uvm-shim/lifecycle";
import { checkIdentifier } from "./identifiers.ts";
import { Refusal, UnknownWord } from "./refusal.ts";

/** The flags that containerd passes to a shim, and `-socket`, which `start` passes to the serving process. */
export interface ShimFlags {
  readonly namespace: string;
  readonly id: string;
  /** containerd's gRPC address. */
  readonly address: string;
  readonly publishBinary: string;
  /** Empty when the working directory is the bundle. */
  readonly bundle: string;
  readonly socket: string;
  readonly debug: boolean;
}

/** The flags of the action `sandboxer`; those that are undefined were not given. */
export interface SandboxerFlags {
  readonly configuration: string | undefined;
  /** containerd's gRPC address. */
  readonly address: string | undefined;
  /** Where the sandbox controller is served. */
  readonly socket: string | undefined;
  readonly state: string | undefined;
  /** How many VMs are to be ready, as it was written. */
  readonly warmPool: string | undefined;
  readonly drain: boolean | undefined;
  /** Where the log is added to; otherwise standard error. */
  readonly logFile: string | undefined;
  /** Whether the service control manager of Windows has started it. */
  readonly service: boolean;
  readonly debug: boolean;
}

/** What a command line asks for. */
export type ShimCommand =
  | { readonly kind: "version" }
  | { readonly kind: "help" }
  /** Nothing at all was said: containerd always says something. */
  | { readonly kind: "nothing" }
  | { readonly kind: "info" }
  | { readonly kind: "sandboxer"; readonly flags: SandboxerFlags }
  | { readonly kind: "start" | "delete" | "serve"; readonly flags: ShimFlags };

/** Flags that take a value. containerd passes those of a pod but for the last, which the serving process gets from `start`. */
export const textFlags = [
  ...(["namespace", "id", "address", "publish-binary", "bundle", "socket"] as const),
  ...(["config", "state", "warm-pool", "log-file"] as const),
] as const;
/** Flags without a value. */
export const switchFlags = ["debug", "drain", "service", "v", "version", "info", "h", "help"] as const;
/** What the program does, beside answering questions. */
export const actions = ["start", "delete", "sandboxer"] as const;
/** Flags that only the named actions have. */
const sandboxerFlags: readonly string[] = ["config", "state", "warm-pool", "log-file", "drain", "service"];
/** The name of a flag, without dashes. */
export type FlagName = (typeof textFlags | typeof switchFlags)[number];
type TextFlag = (typeof textFlags)[number];
type SwitchFlag = (typeof switchFlags)[number];
type Action = (typeof actions)[number];

/** Parses Go-style flags: one or two dashes, the value after `=` or as the next argument, before or after the action. */
export function parseCommand(argumentList: readonly string[]): ShimCommand {
  if (argumentList.length === 0) return { kind: "nothing" };
  const texts = new Map<TextFlag, string>();
  const switches = new Set<SwitchFlag>();
  const words: string[] = [];
  for (let index = 0; index < argumentList.length; index++) {
    const argument = argumentList[index] ?? "";
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) {
      words.push(argument);
      continue;
    }
    const name = match[1] ?? "";
    const text = textFlags.find((flag) => flag === name);
    const toggle = switchFlags.find((flag) => flag === name);
    if (text !== undefined) {
      const value = match[2] ?? argumentList[++index];
      if (value === undefined) throw new Refusal(`flag -${name} needs a value`);
      texts.set(text, value);
    } else if (toggle !== undefined) {
      if (parseSwitch(name, match[2])) switches.add(toggle);
      else switches.delete(toggle);
    } else {
      const accepted = [...textFlags, ...switchFlags].map((flag) => `-${flag}`);
      throw new UnknownWord("flag", `-${name}`, accepted);
    }
  }
  if (switches.has("h") || switches.has("help")) return { kind: "help" };
  if (switches.has("v") || switches.has("version")) return { kind: "version" };
  if (switches.has("info")) return { kind: "info" };
  const kind = parseAction(words);
  if (kind === "sandboxer") return { kind, flags: flagsOfSandboxer(texts, switches) };
  const stray = [...texts.keys(), ...switches].find((flag) => sandboxerFlags.includes(flag));
  if (stray !== undefined) throw new Refusal(`flag -${stray} belongs to the action sandboxer`);
  return {
    kind,
    flags: {
      namespace: identifier("namespace", texts),
      id: identifier("id", texts),
      address: texts.get("address") ?? "",
      publishBinary: texts.get("publish-binary") ?? "",
      bundle: texts.get("bundle") ?? "",
      socket: texts.get("socket") ?? "",
      debug: switches.has("debug"),
    },
  };
}

function flagsOfSandboxer(texts: ReadonlyMap<TextFlag, string>, switches: ReadonlySet<SwitchFlag>): SandboxerFlags {
  const foreign = (["namespace", "id", "bundle"] as const).find((flag) => texts.has(flag));
  if (foreign !== undefined) throw new Refusal(`flag -${foreign} belongs to the actions of one pod, not to sandboxer`);
  return {
    configuration: texts.get("config"),
    address: texts.get("address"),
    socket: texts.get("socket"),
    state: texts.get("state"),
    warmPool: texts.get("warm-pool"),
    drain: switches.has("drain") ? true : undefined,
    logFile: texts.get("log-file"),
    service: switches.has("service"),
    debug: switches.has("debug"),
  };
}

function identifier(name: "namespace" | "id", texts: ReadonlyMap<TextFlag, string>): string {
  try {
    return checkIdentifier(`flag -${name}`, texts.get(name) ?? "");
  } catch (error) {
    throw new Refusal(messageOf(error), { cause: error });
  }
}

function parseSwitch(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw new Refusal(`invalid value ${JSON.stringify(value)} for flag -${name}: expected true or false`);
}

/** `serve` is what is done without an action. */
function parseAction(words: readonly string[]): Action | "serve" {
  const [word, ...rest] = words;
  if (word === undefined) return "serve";
  const action = actions.find((known) => known === word);
  if (action === undefined) throw new UnknownWord("action", word, actions);
  if (rest.length > 0) {
    throw new Refusal(`actions ${words.join(" ")}: expected one of ${actions.join(", ")}, and nothing after it`);
  }
  return action;
}
