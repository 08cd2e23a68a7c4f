import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { SecurityPolicy } from "@uvm-shim/hcs-schema";

const field = "Request.Settings.EncodedSecurityPolicy";
const enforcers: readonly string[] = ["rego", "open_door"];
const partsOfVersion = 1000;

/**
 * The decisions of a policy, with the interface version that introduced each (pkg/securitypolicy/api.rego of
 * microsoft/hcsshim): a policy of this version or later must allow it explicitly.
 */
const decisions: { readonly [name: string]: readonly [major: number, minor: number, patch: number] } = {
  mount_device: [0, 1, 0],
  mount_overlay: [0, 1, 0],
  create_container: [0, 1, 0],
  unmount_device: [0, 2, 0],
  exec_in_container: [0, 2, 0],
  exec_external: [0, 3, 0],
  shutdown_container: [0, 4, 0],
  signal_container_process: [0, 5, 0],
  unmount_overlay: [0, 6, 0],
  plan9_mount: [0, 6, 0],
  plan9_unmount: [0, 6, 0],
  get_properties: [0, 7, 0],
  dump_stacks: [0, 7, 0],
  runtime_logging: [0, 8, 0],
  load_fragment: [0, 9, 0],
  scratch_mount: [0, 10, 0],
  scratch_unmount: [0, 10, 0],
  rw_mount_device: [0, 11, 0],
  rw_unmount_device: [0, 11, 0],
  mount_blockdev: [0, 11, 1],
  unmount_blockdev: [0, 11, 1],
  host_network: [0, 12, 0],
};

/** Decisions that this guest follows also when they deny everything. */
const followed = ["exec_external", "dump_stacks"] as const;

/** What a policy denies of these. */
export type DeniedRequest = (typeof followed)[number];

/** Further fields of a decision that do not restrict it. */
const harmless: { readonly [name: string]: unknown } = { env_list: null, allow_stdio_access: true };

/**
 * Accepts a policy that allows everything, but for programs of the VM itself and the guest's stacks, or none, and refuses
 * any other one: this guest enforces no other rules, and a host must not believe that it does. Returns what is denied.
 * Throws a GuestFault naming the restriction without repeating the policy.
 */
export function requireOpenPolicy({ EnforcerType, EncodedSecurityPolicy }: SecurityPolicy): ReadonlySet<DeniedRequest> {
  if (EnforcerType !== "" && !enforcers.includes(EnforcerType)) {
    const expected = enforcers.join(", ");
    const message = `invalid Request.Settings.EnforcerType ${JSON.stringify(EnforcerType)}: expected one of ${expected}`;
    throw new GuestFault("E_FAIL", message);
  }
  if (EncodedSecurityPolicy === "" && EnforcerType !== "rego") return new Set();
  if (EnforcerType === "open_door") throw malformed("the enforcer open_door accepts no policy");
  return requireOpenRules(Buffer.from(EncodedSecurityPolicy, "base64").toString("utf8").trim());
}

/** Understands only constants of Rego, which are enough to allow everything. */
function requireOpenRules(policy: string): ReadonlySet<DeniedRequest> {
  const rules = new Map<string, unknown>();
  let hasPackage = false;
  for (const [index, line] of policy.split("\n").entries()) {
    const statement = withoutComment(line).trim();
    if (statement === "") continue;
    if (/^package\s+policy$/.test(statement)) {
      hasPackage = true;
      continue;
    }
    const [, name = "", value = ""] = /^([a-z][a-z0-9_]*)\s*:?=\s*(\S.*)$/s.exec(statement) ?? [];
    if (!hasPackage) throw malformed('it does not begin with "package policy"');
    if (name === "") throw unenforceable(`line ${index + 1} is more than a constant`);
    if (rules.has(name)) throw malformed(`${name} is defined twice`);
    rules.set(name, constant(name, value));
  }
  if (!hasPackage) throw malformed('it does not begin with "package policy"');
  const version = versionOf(rules.get("api_version"));
  const denied = new Set(followed.filter((name) => deniesAll(rules.get(name))));
  for (const [name, introduced] of Object.entries(decisions)) {
    if (denied.has(name as DeniedRequest)) continue;
    if (rules.has(name) ? !allowsAll(rules.get(name)) : numberOf(introduced) <= version) {
      throw unenforceable(`${name} does not allow everything`);
    }
  }
  return denied;
}

/** A comment begins at the start of the line, or after a space if no quotation mark follows. */
function withoutComment(line: string): string {
  if (line.startsWith("#")) return "";
  const afterTexts = line.lastIndexOf('"') + 1;
  const comment = line.slice(afterTexts).search(/\s#/);
  return comment === -1 ? line : line.slice(0, afterTexts + comment);
}

function constant(name: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    throw unenforceable(`${name} is more than a constant`);
  }
}

function versionOf(version: unknown): number {
  const digits = typeof version === "string" ? /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(version) : null;
  if (digits === null) throw malformed("api_version is missing or invalid: expected a version such as 0.10.0");
  return numberOf(digits.slice(1).map(Number));
}

function numberOf(parts: readonly number[]): number {
  return parts.reduce((number, part) => number * partsOfVersion + part, 0);
}

function allowsAll(decision: unknown): boolean {
  if (typeof decision !== "object" || decision === null) return false;
  const { allowed, ...more } = decision as { readonly [name: string]: unknown };
  return (
    allowed === true &&
    Object.entries(more).every(([name, value]) => Object.hasOwn(harmless, name) && harmless[name] === value)
  );
}

function deniesAll(decision: unknown): boolean {
  return JSON.stringify(decision) === '{"allowed":false}';
}

function malformed(problem: string): GuestFault {
  return new GuestFault("E_FAIL", `${field}: ${problem}`);
}

function unenforceable(problem: string): GuestFault {
  const message = `${field}: ${problem}: this guest enforces no rules, and accepts only a policy that allows everything`;
  return new GuestFault("ERROR_NOT_SUPPORTED", message);
}
