import { ShimError } from "../errors.ts";
import { checkIdentifier } from "./identifiers.ts";

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

export type ShimCommand =
  | { readonly kind: "version" }
  | { readonly kind: "info" }
  | { readonly kind: "start" | "delete" | "serve"; readonly flags: ShimFlags };

const textFlags = ["namespace", "id", "address", "publish-binary", "bundle", "socket"] as const;
const switchFlags = ["debug", "v", "version", "info"] as const;
type TextFlag = (typeof textFlags)[number];
type SwitchFlag = (typeof switchFlags)[number];

/** Parses Go-style flags: one or two dashes, the value after `=` or as the next argument, before or after the action. */
export function parseCommand(argumentList: readonly string[]): ShimCommand {
  const texts = new Map<TextFlag, string>();
  const switches = new Set<SwitchFlag>();
  const actions: string[] = [];
  for (let index = 0; index < argumentList.length; index++) {
    const argument = argumentList[index] ?? "";
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) {
      actions.push(argument);
      continue;
    }
    const name = match[1] ?? "";
    const text = textFlags.find((flag) => flag === name);
    const toggle = switchFlags.find((flag) => flag === name);
    if (text !== undefined) {
      const value = match[2] ?? argumentList[++index];
      if (value === undefined) throw new ShimError("InvalidArgument", `flag -${name} needs a value`);
      texts.set(text, value);
    } else if (toggle !== undefined) {
      if (parseSwitch(name, match[2])) switches.add(toggle);
      else switches.delete(toggle);
    } else {
      const accepted = [...textFlags, ...switchFlags].map((flag) => `-${flag}`).join(", ");
      throw new ShimError("InvalidArgument", `unknown flag ${argument}: expected one of ${accepted}`);
    }
  }
  if (switches.has("v") || switches.has("version")) return { kind: "version" };
  if (switches.has("info")) return { kind: "info" };
  return {
    kind: parseAction(actions),
    flags: {
      namespace: checkIdentifier("flag -namespace", texts.get("namespace") ?? ""),
      id: checkIdentifier("flag -id", texts.get("id") ?? ""),
      address: texts.get("address") ?? "",
      publishBinary: texts.get("publish-binary") ?? "",
      bundle: texts.get("bundle") ?? "",
      socket: texts.get("socket") ?? "",
      debug: switches.has("debug"),
    },
  };
}

function parseSwitch(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw new ShimError(
    "InvalidArgument",
    `invalid value ${JSON.stringify(value)} for flag -${name}: expected true or false`,
  );
}

function parseAction(actions: readonly string[]): "start" | "delete" | "serve" {
  const [action, ...rest] = actions;
  if (rest.length === 0) {
    if (action === undefined) return "serve";
    if (action === "start" || action === "delete") return action;
  }
  throw new ShimError(
    "InvalidArgument",
    `unknown action ${JSON.stringify(actions.join(" "))}: expected start or delete`,
  );
}
