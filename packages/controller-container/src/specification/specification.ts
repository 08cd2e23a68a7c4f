import { posix } from "node:path";
import { checked, checkWholeTexts } from "@uvm-shim/container-common";
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
import { type ContainerAnnotations, containerTypeKey, readAnnotations } from "../plan/annotations.ts";
import { linuxFields, mountFields, processFields, resourceFields, selectFields } from "./guest-fields.ts";
import { partsWithoutEffect } from "./without-effect.ts";

/** A checked specification with all fields that a Linux container requires. */
export interface ContainerSpecification extends OciSpec {
  readonly process: RunnableProcess;
  readonly root: NonNullable<OciSpec["root"]>;
  readonly linux: OciLinux;
  /** Rules for the host's devices. */
  readonly deviceRules: readonly OciDeviceRule[];
  readonly mayUseAllDevices: boolean;
  readonly containerAnnotations: ContainerAnnotations;
}

type RunnableProcess = OciProcess & { readonly args: readonly string[] };

/** The host name becomes a word in /etc/hosts; the kernel limits its length. */
const validHostname = /^[A-Za-z0-9_.-]{0,64}$/;
const longestDomainname = 64;

/** What a specification is read with. */
export interface SpecificationSurroundings {
  readonly podId: string;
  readonly defaultAnnotations?: { readonly [key: string]: string };
  readonly warn: (sentence: string) => void;
}

/** The specification, checked and with default annotations. Refuses it with the field, its value and what is accepted. */
export function checkedSpecification(
  value: unknown,
  { podId, defaultAnnotations = {}, warn }: SpecificationSurroundings,
  refuse: Refuse,
): ContainerSpecification {
  const spec = checked(() => checkOciSpec(value), "config.json", refuse);
  checkWholeTexts({ ...spec, annotations: undefined }, "config.json", refuse);
  const missing = (field: string): never => {
    throw refuse("InvalidArgument", `config.json: ${field} is missing: a Linux container requires it`);
  };
  const process = runnable(spec.process ?? missing("process"), "config.json: process", refuse);
  const root = spec.root ?? missing("root");
  if (root.path === "") throw refuse("InvalidArgument", "config.json: root.path is empty, expected a path");
  const linux = spec.linux ?? missing("linux");
  if (!validHostname.test(spec.hostname ?? "")) {
    const accepted = "letters, digits, hyphens, underscores and dots, at most 64";
    const given = JSON.stringify(spec.hostname?.slice(0, 65));
    throw refuse("InvalidArgument", `config.json: hostname is ${given}, expected ${accepted}`);
  }
  const domainnameBytes = Buffer.byteLength(spec.domainname ?? "");
  if (domainnameBytes > longestDomainname) {
    const accepted = `at most ${longestDomainname}`;
    throw refuse("InvalidArgument", `config.json: domainname has ${domainnameBytes} bytes, expected ${accepted}`);
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

/** Namespaces that containers share with their VM. Files of images and volumes keep the user ids of the host. */
const namespacesOfVm: ReadonlyMap<string, string> = new Map([
  ["user", "containers share the user namespace of their VM"],
  ["time", "containers share the time of their VM"],
]);

function checkNamespaces({ namespaces = [] }: OciLinux, refuse: Refuse): void {
  for (const [index, { type }] of namespaces.entries()) {
    const why = namespacesOfVm.get(type);
    if (why === undefined) continue;
    const given = `config.json: linux.namespaces[${index}].type is ${JSON.stringify(type)}`;
    throw refuse("InvalidArgument", `${given}, expected any other: ${why}`);
  }
}

/** An exec's process, checked. */
export function checkedProcess(value: unknown, refuse: Refuse): RunnableProcess {
  const process = checked(() => checkOciProcess(value, "process"), "exec", refuse);
  checkWholeTexts(process, "exec: process", refuse);
  return runnable(process, "exec: process", refuse);
}

/** The resources of an update for the guest. Device rules and network classes are omitted: they refer to the host. */
export function checkedResources(value: unknown, refuse: Refuse): OciLinuxResources {
  const resources = checked(() => checkOciLinuxResources(value, "resources"), "update", refuse);
  checkWholeTexts(resources, "update: resources", refuse);
  return withoutZeros(selectFields(resources, resourceFields));
}

/** 0 means not set: the limit stays as it is. */
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
      `${where}.args: expected a command, got ${args === undefined ? "nothing" : "an empty one"}`,
    );
  }
  if (!posix.isAbsolute(process.cwd)) {
    throw refuse("InvalidArgument", `${where}.cwd: ${JSON.stringify(process.cwd)} is not an absolute path`);
  }
  return { ...process, args };
}

/**
 * The process for the guest. AppArmor profiles and SELinux labels are omitted: they refer to the host's kernel. The
 * client's stdio decides whether there is a terminal.
 */
export function guestProcess(process: RunnableProcess, terminal: boolean): OciProcess {
  return { ...selectFields<OciProcess>(process, processFields), terminal };
}

/** The guest restricts this to the devices that it may use itself. */
const allowAll = { allow: true, access: "rwm" } as const;

/** The lowest version with all fields that are sent, so that older runtimes in the guest accept it. */
const firstVersion = "1.0.2";
const domainnameVersion = "1.1.0";

/** What the guest's specification of a container is made from. */
export interface GuestSpecificationInput {
  readonly specification: ContainerSpecification;
  readonly rootPath: string;
  readonly mounts: readonly OciMount[];
  /** Devices assigned to the VM for this container, by VMBus GUID. */
  readonly devices: readonly OciWindowsDevice[];
  readonly terminal: boolean;
  /** Whether the root is read-only, whatever the specification says. */
  readonly isRootReadOnly: boolean;
  /** The guest's id of the container's network namespace; the specification's when absent. */
  readonly networkNamespace?: string | undefined;
}

/**
 * The specification for the guest's OCI runtime, by allow-list, as microsoft/hcsshim
 * (internal/controller/linuxcontainer) sends it: without hooks and without anything that refers to the host.
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
    // A container that may use all devices gets all nodes of the guest; the host's numbers mean other devices there.
    ...(devices === undefined || allDevices ? {} : { devices }),
    // Present even if empty: the guest adds to it.
    resources: { ...withCpuDefaults(resources), ...(allDevices ? { devices: [allowAll] } : {}) },
  };
}

/** Linux guests too read the assigned devices and the network namespace from `windows`. */
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
 * Kubernetes writes 0 for not set, which the kernel refuses, and -1 for no limit, which is the default and which not
 * every runtime in a guest can write.
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
