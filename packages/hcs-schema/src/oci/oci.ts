/** The parts of the OCI runtime specification that a Linux guest is given. */
import type { OciRlimit } from "./oci-linux.ts";
import type { OciLinuxResources } from "./oci-resources.ts";

/**
 * The OCI runtime specification of a Linux container, as far as shim and guest look into it; hooks are unknown, since
 * nobody runs them.
 */
export interface OciSpec {
  readonly ociVersion: string;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly process?: OciProcess;
  readonly root?: { readonly path: string; readonly readonly?: boolean };
  readonly mounts?: readonly OciMount[];
  readonly annotations?: { readonly [key: string]: string };
  readonly hooks?: unknown;
  readonly linux?: OciLinux;
  readonly windows?: OciWindows;
}

/**
 * `process`: what a container or an exec runs. `capabilities` has a list for each set (bounding, effective, …),
 * `oomScoreAdj` goes from -1000 to 1000.
 */
export interface OciProcess {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user?: OciUser;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly cwd: string;
  readonly capabilities?: { readonly [set: string]: readonly string[] };
  readonly rlimits?: readonly OciRlimit[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
  readonly selinuxLabel?: string;
}

/** `process.user`: numbers of the container's own; `umask` is a number, not octal text. */
export interface OciUser {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
  readonly username?: string;
}

/** An entry of `mounts`: `destination` is a path in the container, `options` are those of mount(8). */
export interface OciMount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
}

/** `linux` of the OCI runtime specification. Parts that no code here looks into are unknown, and passed on. */
export interface OciLinux {
  readonly resources?: OciLinuxResources;
  readonly cgroupsPath?: string;
  readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
  readonly devices?: readonly unknown[];
  readonly seccomp?: unknown;
  readonly sysctl?: { readonly [key: string]: string };
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly rootfsPropagation?: string;
  readonly mountLabel?: string;
  readonly uidMappings?: readonly unknown[];
  readonly gidMappings?: readonly unknown[];
}

/**
 * `windows` in the specification of a Linux container on Windows: layer folders, devices to assign to the VM, and the
 * HCN namespace of its network.
 */
export interface OciWindows {
  readonly layerFolders?: readonly string[];
  readonly devices?: readonly { readonly id: string; readonly idType: string }[];
  readonly network?: { readonly networkNamespace?: string };
}
