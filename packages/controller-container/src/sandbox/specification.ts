import { containerTypeKey } from "../plan/annotations.ts";
import { fieldsOf } from "./fields.ts";
import { type SandboxHost, sandboxProgramNames } from "./root.ts";

/** The value of CRI's sandbox containers: this one uses no memory and must be killed last. */
const oomScoreAdjustment = -998;
/** The user of common pause images. */
const nobody = { uid: 65535, gid: 65535 };
const ownNamespaces = ["mount", "network", "ipc", "uts", "pid"].map((type) => ({ type }));

/** Input for the specification of the pod's own sandbox container. */
export interface SandboxRequest {
  /** Folder on the host with the entries of its root file system. */
  readonly rootPath: string;
  readonly host: SandboxHost;
  /**
   * The caller's OCI specification of the pod as parsed JSON, unchecked: host name, user, sysctls, namespaces and id
   * mappings are taken from it.
   */
  readonly specification?: unknown;
  readonly annotations: { readonly [key: string]: string };
}

/**
 * The specification of the sandbox container that the shim creates where the client has none. It holds the pod's
 * namespaces and has no capabilities. Its root must not be the VM's: processes in its pid namespace see it at
 * /proc/1/root.
 */
export function sandboxSpecification({ rootPath, host, specification, annotations }: SandboxRequest): object {
  const { hostname, domainname, process, linux } = fieldsOf(specification);
  const { sysctl, namespaces, uidMappings, gidMappings } = fieldsOf(linux);
  const { user } = fieldsOf(process);
  const given = { sysctl, uidMappings, gidMappings };
  return {
    ociVersion: "1.0.2",
    ...present({ hostname, domainname }),
    process: {
      args: [`/${sandboxProgramNames[host]}`],
      cwd: "/",
      user: user ?? nobody,
      capabilities: {},
      noNewPrivileges: true,
      oomScoreAdj: oomScoreAdjustment,
    },
    root: { path: rootPath, readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=64k"],
      },
    ],
    annotations: { ...annotations, [containerTypeKey]: "sandbox" },
    linux: {
      ...present(given),
      namespaces: Array.isArray(namespaces) ? withMounts(namespaces) : (namespaces ?? ownNamespaces),
      resources: {},
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

/** A root of its own needs a mount namespace. */
function withMounts(namespaces: readonly unknown[]): readonly unknown[] {
  return [{ type: "mount" }, ...namespaces.filter((namespace) => fieldsOf(namespace).type !== "mount")];
}

function present(fields: { readonly [field: string]: unknown }): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}
