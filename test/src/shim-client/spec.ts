/** OCI specs of the size that the demo and the tests need. */
export interface ProcessOptions {
  readonly args: readonly string[];
  readonly terminal?: boolean;
  readonly environment?: readonly string[];
  /** Further fields of the process, and others in place of the usual ones. */
  readonly fields?: object;
}

/** A config.json, as far as tests change it. */
export interface Specification {
  readonly process: { readonly [field: string]: unknown };
  readonly mounts: readonly object[];
  readonly linux?: { readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export function processSpec(options: ProcessOptions): { readonly [field: string]: unknown } {
  return {
    terminal: options.terminal ?? false,
    user: { uid: 0, gid: 0 },
    args: options.args,
    env: ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TERM=xterm", ...(options.environment ?? [])],
    cwd: "/",
    noNewPrivileges: true,
    ...options.fields,
  };
}

export function containerSpec(
  options: ProcessOptions & {
    readonly hostname: string;
    readonly cgroup: string;
    /** GUID of the HCN namespace. */
    readonly networkNamespace?: string;
  },
): Specification {
  const { networkNamespace } = options;
  return {
    ociVersion: "1.1.0",
    process: processSpec(options),
    root: { path: "rootfs" },
    hostname: options.hostname,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ],
    linux: {
      cgroupsPath: options.cgroup,
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
    },
    ...(networkNamespace !== undefined && { windows: { network: { networkNamespace } } }),
  };
}

/** What the config.json of a sandbox has to say. */
export function sandboxSpec(annotations: { readonly [key: string]: string } = {}): object {
  return { ociVersion: "1.1.0", hostname: "pod", annotations, linux: {} };
}

/** What a pod of some platform has in its bundles. */
export interface PodSpecs {
  process(options: ProcessOptions): object;
  container(
    options: ProcessOptions & {
      readonly hostname: string;
      readonly podId: string;
      readonly cgroup: string;
      readonly networkNamespace?: string;
    },
  ): Specification;
  sandbox(options: {
    readonly id: string;
    readonly annotations?: { readonly [key: string]: string };
    /** GUID of the HCN namespace, where the specification names it. */
    readonly networkNamespace?: string;
  }): object;
}

export const linuxSpecs: PodSpecs = {
  process: processSpec,
  container: containerSpec,
  sandbox: ({ annotations }) => sandboxSpec(annotations),
};
