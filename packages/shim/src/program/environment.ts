/** The variables of the environment that a shim reads, each with the values that `start` accepts. */
import path from "node:path";
import { Refusal } from "./refusal.ts";
import { expectedLinger, readLinger } from "./retirement.ts";
import { isSandboxerAddress } from "./sandboxer-address.ts";

type Environment = { readonly [name: string]: string | undefined };

/** An environment variable of the shim that has a form. */
export interface ShimVariable {
  readonly name: string;
  /** What is accepted, for an error. */
  readonly expected: string;
  readonly accepts: (value: string) => boolean;
}

const isFolder = (value: string): boolean => path.isAbsolute(value);

/** `UVM_SHIM_HOST` and the variables of the emulated host are not among them: they differ by system. */
export const shimVariables: readonly ShimVariable[] = [
  { name: "UVM_SHIM_SOCKET_DIRECTORY", expected: "an absolute path", accepts: isFolder },
  { name: "UVM_SHIM_SANDBOXER", expected: "an absolute path or none", accepts: isSandboxerAddress },
  { name: "UVM_SHIM_GUEST", expected: "process or qemu", accepts: (value) => value === "process" || value === "qemu" },
  { name: "UVM_SHIM_TELEMETRY_FILE", expected: "an absolute path", accepts: isFolder },
  {
    name: "UVM_SHIM_RECORDS",
    expected: "an absolute path or none",
    accepts: (value) => value === "none" || isFolder(value),
  },
  {
    name: "UVM_SHIM_LINGER_MS",
    expected: expectedLinger,
    accepts: (value) => readLinger(value) !== undefined,
  },
];

/** Throws a Refusal that names the first wrong variable. An empty one counts as not set. */
export function checkEnvironment(env: Environment): void {
  for (const { name, expected, accepts } of shimVariables) {
    const value = env[name];
    if (value === undefined || value === "" || accepts(value)) continue;
    throw new Refusal(`environment variable ${name} is ${JSON.stringify(value)}, expected ${expected}`);
  }
}
