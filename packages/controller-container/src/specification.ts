import { posix } from "node:path";
import {
  allowsAllDevices,
  checkOciDeviceRules,
  checkOciLinuxResources,
  checkOciProcess,
  checkOciSpec,
  type OciLinux,
  type OciLinuxResources,
  type OciMount,
  type OciProcess,
  type OciSpec,
  type OciWindowsDevice,
} from "@uvm-shim/hcs-schema";
import { checked, type Refuse } from "./refusal.ts";

/** A specification in which all that a Linux container cannot do without is present. */
export interface ContainerSpecification extends OciSpec {
  readonly process: RunnableProcess;
  readonly root: NonNullable<OciSpec["root"]>;
  readonly linux: OciLinux;
  readonly mayUseAllDevices: boolean;
}

type RunnableProcess = OciProcess & { readonly args: readonly string[] };

export function checkedSpecification(value: unknown, refuse: Refuse): ContainerSpecification {
  const spec = checked(() => checkOciSpec(value), "config.json", refuse);
  const missing = (field: string): never => {
    throw refuse("InvalidArgument", `config.json: ${field} is missing, a Linux container needs it`);
  };
  const process = runnable(spec.process ?? missing("process"), "config.json: process", refuse);
  const root = spec.root ?? missing("root");
  if (root.path === "") throw refuse("InvalidArgument", "config.json: root.path is empty, expected a path");
  const linux = spec.linux ?? missing("linux");
  const deviceRules = checked(
    () => checkOciDeviceRules(linux.resources?.devices ?? [], "linux.resources.devices"),
    "config.json",
    refuse,
  );
  return { ...spec, process, root, linux, mayUseAllDevices: allowsAllDevices(deviceRules) };
}

export function checkedProcess(value: unknown, refuse: Refuse): RunnableProcess {
  const process = checked(() => checkOciProcess(value, "process"), "exec", refuse);
  return runnable(process, "exec: process", refuse);
}

/** What of an update crosses to the guest: devices and network interfaces are the host's. */
export function checkedResources(value: unknown, refuse: Refuse): OciLinuxResources {
  const resources = checked(() => checkOciLinuxResources(value, "resources"), "update", refuse);
  return pick(resources, ["memory", "cpu", "pids", "hugepageLimits", "blockIO", "rdma", "unified"]);
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
  return {
    ...pick(process, [
      "consoleSize",
      "user",
      "args",
      "env",
      "cwd",
      "capabilities",
      "rlimits",
      "noNewPrivileges",
      "oomScoreAdj",
    ]),
    terminal,
  };
}

export const containerTypeAnnotation = "io.kubernetes.cri.container-type";
const sandboxIdAnnotation = "io.kubernetes.cri.sandbox-id";
const privilegedAnnotation = "io.microsoft.virtualmachine.lcow.privileged";

/** The guest makes of it what itself may use. */
const allowAll = { allow: true, access: "rwm" } as const;

/** The version that has every field which crosses, so that a guest's runtime need not be as new as containerd is. */
const firstVersion = "1.0.2";
const domainnameVersion = "1.1.0";

export interface GuestSpecificationInput {
  readonly specification: ContainerSpecification;
  readonly podId: string;
  readonly rootPath: string;
  readonly mounts: readonly OciMount[];
  /** Those that were assigned to the VM for it, by VMBus GUID. */
  readonly devices: readonly OciWindowsDevice[];
  readonly terminal: boolean;
}

/**
 * The specification for the guest's OCI runtime, by allow-list (microsoft/hcsshim, internal/controller/linuxcontainer
 * sends about the same): nothing that names a thing of the host crosses, and hooks, which would run on it, do not.
 */
export function guestSpecification(input: GuestSpecificationInput): OciSpec {
  const { specification, podId, rootPath, mounts, devices, terminal } = input;
  return {
    ociVersion: specification.domainname === undefined ? firstVersion : domainnameVersion,
    ...pick(specification, ["hostname", "domainname"]),
    process: guestProcess(specification.process, terminal),
    root: { ...pick(specification.root, ["readonly"]), path: rootPath },
    mounts,
    annotations: guestAnnotations(specification.annotations ?? {}, podId),
    linux: guestLinux(specification),
    ...guestWindows(specification, devices),
  };
}

function guestAnnotations(
  annotations: NonNullable<OciSpec["annotations"]>,
  podId: string,
): NonNullable<OciSpec["annotations"]> {
  const type = annotations[containerTypeAnnotation];
  return type === undefined ? {} : { [containerTypeAnnotation]: type, [sandboxIdAnnotation]: podId };
}

function guestLinux({ linux, annotations = {}, mayUseAllDevices }: ContainerSpecification): OciLinux {
  const { devices, resources = {}, namespaces, seccomp } = linux;
  const privileged = /^(1|t|true)$/i.test(annotations[privilegedAnnotation] ?? "");
  const allDevices = privileged || mayUseAllDevices;
  const guestsResources = { ...guestResources(resources), ...(allDevices ? { devices: [allowAll] } : {}) };
  return {
    ...pick(linux, ["sysctl", "maskedPaths", "readonlyPaths", "rootfsPropagation", "uidMappings", "gidMappings"]),
    ...(seccomp === undefined || privileged ? {} : { seccomp }),
    // One that may use all devices gets all nodes of the guest; the host's would be of other devices there.
    ...(devices === undefined || allDevices ? {} : { devices }),
    ...(Object.keys(guestsResources).length === 0 ? {} : { resources: guestsResources }),
    // A namespace with a path is one that containers of the pod share; in the guest that is the VM's own.
    ...(namespaces === undefined ? {} : { namespaces: namespaces.filter(({ path = "" }) => path === "") }),
  };
}

/** A Linux guest too reads here which assigned devices a container gets, and which namespace's network interfaces. */
function guestWindows(
  { windows }: ContainerSpecification,
  devices: readonly OciWindowsDevice[],
): Pick<OciSpec, "windows"> {
  const { networkNamespace = "" } = windows?.network ?? {};
  if (devices.length === 0 && networkNamespace === "") return {};
  return {
    windows: {
      ...(devices.length === 0 ? {} : { devices }),
      ...(networkNamespace === "" ? {} : { network: { networkNamespace } }),
    },
  };
}

/** Block I/O, huge pages and network stay: the guest decides about those by what is attached to it. */
function guestResources(resources: NonNullable<OciLinux["resources"]>): NonNullable<OciLinux["resources"]> {
  const { cpu } = resources;
  return { ...pick(resources, ["memory", "pids"]), ...(isRecord(cpu) ? { cpu: guestCpu(cpu) } : {}) };
}

/** Kubernetes writes 0 for what is not set; the kernel refuses 0. */
function guestCpu(cpu: { readonly [field: string]: unknown }): { readonly [field: string]: unknown } {
  return {
    ...cpu,
    ...(cpu.period === 0 ? { period: 100_000 } : {}),
    ...(cpu.quota === 0 ? { quota: -1 } : {}),
  };
}

function isRecord(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function pick<T extends object, const Names extends readonly (keyof T)[]>(
  from: T,
  names: Names,
): Pick<T, Names[number]> {
  return Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]])) as Pick<
    T,
    Names[number]
  >;
}
