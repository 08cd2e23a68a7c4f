import { posix } from "node:path";
import {
  allowsAllDevices,
  checkOciDeviceRules,
  checkOciLinuxResources,
  checkOciProcess,
  checkOciSpec,
  type OciDeviceRule,
  type OciLinux,
  type OciLinuxResources,
  type OciMount,
  type OciProcess,
  type OciSpec,
  type OciWindowsDevice,
} from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import { checked, checkWholeTexts } from "../checks.ts";
import { type ContainerAnnotations, containerTypeKey, readAnnotations } from "../plan/annotations.ts";
import { linuxFields, mountFields, processFields, resourceFields, selectFields } from "./guest-fields.ts";
import { partsWithoutEffect } from "./without-effect.ts";

/** A specification in which all that a Linux container cannot do without is present. */
export interface ContainerSpecification extends OciSpec {
  readonly process: RunnableProcess;
  readonly root: NonNullable<OciSpec["root"]>;
  readonly linux: OciLinux;
  /** Of the host's devices. */
  readonly deviceRules: readonly OciDeviceRule[];
  readonly mayUseAllDevices: boolean;
  readonly containerAnnotations: ContainerAnnotations;
}

type RunnableProcess = OciProcess & { readonly args: readonly string[] };

/** It becomes a word of a file that programs trust, and no kernel has longer ones. */
const validHostname = /^[A-Za-z0-9_.-]{0,64}$/;
const longestDomainname = 64;

export interface SpecificationSurroundings {
  readonly podId: string;
  readonly defaultAnnotations?: { readonly [key: string]: string };
  readonly warn: (sentence: string) => void;
}

export function checkedSpecification(
  value: unknown,
  { podId, defaultAnnotations = {}, warn }: SpecificationSurroundings,
  refuse: Refuse,
): ContainerSpecification {
  const spec = checked(() => checkOciSpec(value), "config.json", refuse);
  checkWholeTexts({ ...spec, annotations: undefined }, "config.json", refuse);
  const missing = (field: string): never => {
    throw refuse("InvalidArgument", `config.json: ${field} is missing, a Linux container needs it`);
  };
  const process = runnable(spec.process ?? missing("process"), "config.json: process", refuse);
  const root = spec.root ?? missing("root");
  if (root.path === "") throw refuse("InvalidArgument", "config.json: root.path is empty, expected a path");
  const linux = spec.linux ?? missing("linux");
  if (!validHostname.test(spec.hostname ?? "")) {
    const accepted = "letters, digits, hyphens, underscores and dots, at most 64";
    const given = JSON.stringify(spec.hostname?.slice(0, 65));
    throw refuse("InvalidArgument", `config.json: hostname is ${given}, accepted are ${accepted}`);
  }
  const domainnameBytes = Buffer.byteLength(spec.domainname ?? "");
  if (domainnameBytes > longestDomainname) {
    const accepted = `at most ${longestDomainname}`;
    throw refuse("InvalidArgument", `config.json: domainname has ${domainnameBytes} bytes, accepted are ${accepted}`);
  }
  checkNamespaces(linux, refuse);
  for (const sentence of partsWithoutEffect(spec)) warn(sentence);
  const deviceRules = checked(
    () => checkOciDeviceRules(linux.resources?.devices ?? [], "linux.resources.devices"),
    "config.json",
    refuse,
  );
  const { annotations = {} } = spec;
  const defaults = annotations[containerTypeKey] === "sandbox" ? {} : defaultAnnotations;
  const containerAnnotations = readAnnotations({ ...defaults, ...annotations }, podId, refuse, warn);
  const mayUseAllDevices = allowsAllDevices(deviceRules);
  return { ...spec, process, root, linux, deviceRules, mayUseAllDevices, containerAnnotations };
}

/** Files of images and volumes belong to the users of the host, and stand in the guest as they are. */
const namespacesOfVm: ReadonlyMap<string, string> = new Map([
  ["user", "containers have the user namespace of their VM"],
  ["time", "containers have the time of their VM, and guests' runtimes know no namespace of it"],
]);

function checkNamespaces({ namespaces = [] }: OciLinux, refuse: Refuse): void {
  for (const [index, { type }] of namespaces.entries()) {
    const why = namespacesOfVm.get(type);
    if (why === undefined) continue;
    const given = `config.json: linux.namespaces[${index}].type is ${JSON.stringify(type)}`;
    throw refuse("InvalidArgument", `${given}, accepted is any other: ${why}`);
  }
}

export function checkedProcess(value: unknown, refuse: Refuse): RunnableProcess {
  const process = checked(() => checkOciProcess(value, "process"), "exec", refuse);
  checkWholeTexts(process, "exec: process", refuse);
  return runnable(process, "exec: process", refuse);
}

/** What of an update crosses to the guest: devices and network interfaces are the host's. */
export function checkedResources(value: unknown, refuse: Refuse): OciLinuxResources {
  const resources = checked(() => checkOciLinuxResources(value, "resources"), "update", refuse);
  checkWholeTexts(resources, "update: resources", refuse);
  return withoutZeros(selectFields(resources, resourceFields));
}

/** What is 0 is not set, and stays as it is. */
function withoutZeros(resources: OciLinuxResources): OciLinuxResources {
  if (resources.cpu === undefined) return resources;
  const { quota, period, ...cpu } = resources.cpu;
  return {
    ...resources,
    cpu: { ...cpu, ...(period ? { period } : {}), ...(quota ? { quota } : {}) },
  };
}

function runnable(process: OciProcess, where: string, refuse: Refuse): RunnableProcess {
  const { args } = process;
  if (args === undefined || args.length === 0 || args[0] === "") {
    throw refuse(
      "InvalidArgument",
      `${where}.args: expected the command, got ${args === undefined ? "nothing" : "an empty one"}`,
    );
  }
  if (!posix.isAbsolute(process.cwd)) {
    throw refuse("InvalidArgument", `${where}.cwd: ${JSON.stringify(process.cwd)} is no absolute path`);
  }
  return { ...process, args };
}

/**
 * What of a process crosses to the guest. AppArmor profiles and SELinux labels stay: they name policies that are
 * loaded into the host's kernel. Whether there is a terminal is what the client's stdio says.
 */
export function guestProcess(process: RunnableProcess, terminal: boolean): OciProcess {
  return { ...selectFields<OciProcess>(process, processFields), terminal };
}

/** The guest makes of it what itself may use. */
const allowAll = { allow: true, access: "rwm" } as const;

/** The version that has every field which crosses, so that a guest's runtime need not be as new as containerd is. */
const firstVersion = "1.0.2";
const domainnameVersion = "1.1.0";

export interface GuestSpecificationInput {
  readonly specification: ContainerSpecification;
  readonly rootPath: string;
  readonly mounts: readonly OciMount[];
  /** Those that were assigned to the VM for it, by VMBus GUID. */
  readonly devices: readonly OciWindowsDevice[];
  readonly terminal: boolean;
  /** Whether it can be written to by nobody, whatever the specification says. */
  readonly isRootReadOnly: boolean;
  /** By which the guest knows the container's network; that of the specification when absent. */
  readonly networkNamespace?: string | undefined;
}

/**
 * The specification for the guest's OCI runtime, by allow-list (microsoft/hcsshim, internal/controller/linuxcontainer
 * sends about the same): nothing that names a thing of the host crosses, and hooks, which would run on it, do not.
 */
export function guestSpecification(input: GuestSpecificationInput): OciSpec {
  const { specification, rootPath, mounts, devices, terminal, isRootReadOnly } = input;
  const { hostname, domainname } = specification;
  const readonly = isRootReadOnly || specification.root.readonly;
  return {
    ociVersion: domainname === undefined ? firstVersion : domainnameVersion,
    ...(hostname === undefined ? {} : { hostname }),
    ...(domainname === undefined ? {} : { domainname }),
    process: guestProcess(specification.process, terminal),
    root: { ...(readonly === undefined ? {} : { readonly }), path: rootPath },
    mounts: mounts.map((mount) => selectFields(mount, mountFields)),
    annotations: specification.containerAnnotations.forGuest,
    linux: guestLinux(specification),
    ...guestWindows(specification, devices, input.networkNamespace),
  };
}

function guestLinux({
  linux,
  containerAnnotations: { isPrivileged },
  mayUseAllDevices,
}: ContainerSpecification): OciLinux {
  const allDevices = isPrivileged || mayUseAllDevices;
  const { devices, resources = {}, seccomp, ...rest } = selectFields<OciLinux>(linux, linuxFields);
  return {
    ...rest,
    ...(seccomp === undefined || isPrivileged ? {} : { seccomp }),
    // One that may use all devices gets all nodes of the guest; the host's would be of other devices there.
    ...(devices === undefined || allDevices ? {} : { devices }),
    // Also when there are none: the guest adds to them.
    resources: { ...withCpuDefaults(resources), ...(allDevices ? { devices: [allowAll] } : {}) },
  };
}

/** A Linux guest too reads here which assigned devices a container gets, and which namespace's network interfaces. */
function guestWindows(
  { windows }: ContainerSpecification,
  devices: readonly OciWindowsDevice[],
  networkNamespace: string = windows?.network?.networkNamespace ?? "",
): Pick<OciSpec, "windows"> {
  if (devices.length === 0 && networkNamespace === "") return {};
  return {
    windows: {
      ...(devices.length === 0 ? {} : { devices }),
      ...(networkNamespace === "" ? {} : { network: { networkNamespace } }),
    },
  };
}

/**
 * Kubernetes writes 0 for what is not set, which the kernel refuses, and -1 for no limit, which a container has anyway
 * and not every runtime of a guest can write.
 */
function withCpuDefaults(resources: OciLinuxResources): OciLinuxResources {
  if (resources.cpu === undefined) return resources;
  const { quota, period, ...cpu } = resources.cpu;
  return {
    ...resources,
    cpu: {
      ...cpu,
      ...(period === undefined ? {} : { period: period === 0 ? 100_000 : period }),
      ...(quota === undefined || quota < 1 ? {} : { quota }),
    },
  };
}
