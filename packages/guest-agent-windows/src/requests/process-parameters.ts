/** A process of a Windows container as the host asks for it, made into what the starter does. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { checkWindowsProcessParameters, parseWithin } from "@uvm-shim/hcs-schema";
import type { ContainerProgram } from "../container/container.ts";

/** Accounts that every Windows container has, by what they are called without their domain, in lower case. */
const accounts: ReadonlyMap<string, string> = new Map(
  ["ContainerAdministrator", "ContainerUser", "Administrator", "SYSTEM", "LOCAL SERVICE", "NETWORK SERVICE"].map(
    (name) => [name.toLowerCase(), name],
  ),
);
const domains = ["", "user manager", "nt authority", "builtin"];
const wholeConsoleSize = 2;
/** An environment of Windows has at most 32767 characters, and so has a command line. */
const bounds = { length: 1024 * 1024, depth: 4, keys: 16_384, elements: 16_384 };

/** Throws a SchemaError for parameters that Windows does not know, and a GuestFault for those that it cannot meet. */
export function readProcess(parameters: string): ContainerProgram {
  const path = "ProcessParameters";
  const read = checkWindowsProcessParameters(parseWithin(parameters, bounds, path), path);
  const commandLine = read.CommandLine ?? "";
  if (commandLine === "") throw new GuestFault("E_INVALIDARG", `${path}.CommandLine: expected a command line`);
  const size = read.ConsoleSize ?? [];
  if (size.length !== 0 && size.length !== wholeConsoleSize) {
    throw new GuestFault("E_INVALIDARG", `${path}.ConsoleSize: expected height and width, got ${size.length} numbers`);
  }
  const [height = 0, width = 0] = size;
  const isConsole = read.EmulateConsole ?? false;
  if (isConsole && (read.CreateStdErrPipe ?? false)) {
    throw new GuestFault("E_INVALIDARG", `${path}.CreateStdErrPipe: a console has no error output of its own`);
  }
  return {
    commandLine,
    workingDirectory: read.WorkingDirectory ?? "",
    environment: read.Environment ?? {},
    hasInput: read.CreateStdInPipe ?? false,
    hasOutput: read.CreateStdOutPipe ?? false,
    hasError: read.CreateStdErrPipe ?? false,
    console: isConsole ? { width, height } : undefined,
    ...(read.User !== undefined && read.User !== "" && { userName: accountOf(read.User) }),
  };
}

function accountOf(user: string): string {
  const slash = user.lastIndexOf("\\");
  const account = accounts.get(user.slice(slash + 1).toLowerCase());
  if (account !== undefined && domains.includes(user.slice(0, Math.max(slash, 0)).toLowerCase())) return account;
  const known = [...accounts.values()].join(", ");
  throw new GuestFault("E_ACCESSDENIED", `ProcessParameters.User: no such account, expected one of ${known}`);
}
