import type { OciWindowsProcess, OciWindowsSpec } from "@uvm-shim/hcs-schema";
import { isCommandInterpreter } from "@uvm-shim/sandbox-wcow";
import type { Annotations } from "../specification/annotations.ts";
import type { ConfidentialHostedSystem, HostedSystem } from "./container-document.ts";
import type { ResolvedContainer } from "./resolved.ts";

/** What a confidential guest's document is made from. */
export interface ConfidentialParts {
  readonly spec: OciWindowsSpec;
  readonly annotations: Annotations;
  readonly isHostProcess: boolean;
  readonly asksForVm: boolean;
}

/** The document of a container, with the specification that its guest checks against the policy. */
export function confidentialHostedSystem(
  { spec, annotations, isHostProcess, asksForVm }: ConfidentialParts,
  hosted: HostedSystem,
  { root, devices }: ResolvedContainer,
): ConfidentialHostedSystem {
  const { windows = {}, process } = spec;
  const assigned = devices.flat().map((path) => ({ id: path, idType: "vpci-location-path" }));
  const inGuest = {
    ...spec,
    ...(process !== undefined && {
      process: { user: {}, ...(isHostProcess ? asHostProcess(process, annotations) : process) },
    }),
    root: { path: root.path },
    annotations,
    windows: {
      ...windows,
      ...(asksForVm && { hyperv: windows.hyperv ?? {} }),
      ...(assigned.length > 0 && { devices: assigned }),
    },
  };
  return { Spec: written(specification, inGuest) as object, CWCOWHostedSystem: hosted };
}

/** Host processes are run by the command interpreter, and as the system if so annotated. */
function asHostProcess(process: OciWindowsProcess, annotations: Annotations): OciWindowsProcess {
  const { args = [], commandLine = "", user = {} } = process;
  const inherits = annotations["microsoft.com/hostprocess-inherit-user"] === "true";
  const line = commandLine === "" ? args[0] : commandLine.trim().split(/\s+/)[0];
  const isRun = line === undefined || isCommandInterpreter(line);
  return {
    ...process,
    ...(!isRun && (commandLine === "" ? { args: ["cmd", "/c", ...args] } : { commandLine: `cmd /c ${commandLine}` })),
    ...(inherits && { user: { ...user, username: "NT AUTHORITY\\SYSTEM" } }),
  };
}

/**
 * How a field is written. Policies are made from what Go's encoder writes: it leaves out a plain field that is zero or
 * empty, and a pointer that is nil, but not one to a zero; and some fields are always there.
 */
type Form =
  | "plain"
  | "pointer"
  | "text always"
  | "number always"
  | "list always"
  | readonly [Form]
  | { readonly [name: string]: Form };

const texts = ["plain"] as const;

const idMappings = [{ containerID: "number always", hostID: "number always", size: "number always" }] as const;

const hooks = [{ path: "text always", args: texts, env: texts, timeout: "pointer" }] as const;

/** Also fields without effect on Windows: the guest checks all that the client wrote. */
const specification: Form = {
  ociVersion: "text always",
  process: {
    terminal: "plain",
    consoleSize: { height: "number always", width: "number always" },
    user: {
      uid: "number always",
      gid: "number always",
      umask: "pointer",
      additionalGids: texts,
      username: "plain",
    },
    args: texts,
    commandLine: "plain",
    env: texts,
    cwd: "text always",
    capabilities: { bounding: texts, effective: texts, inheritable: texts, permitted: texts, ambient: texts },
    rlimits: [{ type: "text always", hard: "number always", soft: "number always" }],
    noNewPrivileges: "plain",
    apparmorProfile: "plain",
    oomScoreAdj: "pointer",
    scheduler: {
      policy: "text always",
      nice: "plain",
      priority: "plain",
      flags: texts,
      runtime: "plain",
      deadline: "plain",
      period: "plain",
    },
    selinuxLabel: "plain",
    ioPriority: { class: "text always", priority: "number always" },
    execCPUAffinity: { initial: "plain", final: "plain" },
  },
  root: { path: "text always", readonly: "plain" },
  hostname: "plain",
  domainname: "plain",
  mounts: [
    {
      destination: "text always",
      type: "plain",
      source: "plain",
      options: texts,
      uidMappings: idMappings,
      gidMappings: idMappings,
    },
  ],
  hooks: {
    prestart: hooks,
    createRuntime: hooks,
    createContainer: hooks,
    startContainer: hooks,
    poststart: hooks,
    poststop: hooks,
  },
  annotations: "plain",
  windows: {
    layerFolders: "list always",
    devices: [{ id: "text always", idType: "text always" }],
    resources: {
      memory: { limit: "pointer" },
      cpu: {
        count: "pointer",
        shares: "pointer",
        maximum: "pointer",
        affinity: [{ mask: "plain", group: "plain" }],
      },
      storage: { iops: "pointer", bps: "pointer", sandboxSize: "pointer" },
    },
    credentialSpec: "pointer",
    servicing: "plain",
    ignoreFlushesDuringBoot: "plain",
    hyperv: { utilityVMPath: "plain" },
    network: {
      endpointList: texts,
      allowUnqualifiedDNSQuery: "plain",
      DNSSearchList: texts,
      networkSharedContainerName: "plain",
      networkNamespace: "plain",
    },
  },
};

/** The value in its form; undefined if it is left out. */
function written(form: Form, value: unknown): unknown {
  switch (form) {
    case "plain":
      return isEmpty(value) ? undefined : value;
    case "pointer":
      return value ?? undefined;
    case "text always":
      return value ?? "";
    case "number always":
      return value ?? 0;
    case "list always":
      return value ?? null;
  }
  if (isListForm(form)) {
    if (!Array.isArray(value) || value.length === 0) return undefined;
    return value.map((item) => (form[0] === "plain" ? item : written(form[0], item)));
  }
  if (typeof value !== "object" || value === null) return undefined;
  const given = value as { readonly [name: string]: unknown };
  const fields = Object.entries(form).map(([name, field]) => [name, written(field, given[name])] as const);
  return Object.fromEntries(fields.filter(([, field]) => field !== undefined));
}

function isListForm(form: Form): form is readonly [Form] {
  return Array.isArray(form);
}

function isEmpty(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return !value;
}
