import { containerTypeKey } from "../plan/annotations.ts";
import { fieldsOf } from "./fields.ts";
import { type SandboxHost, sandboxProgramNames } from "./root.ts";

/** As CRI's own: whoever else may go first when memory is short, this container takes none. */
const oomScoreAdjustment = -998;
/** As the images have it that others use for this. */
const nobody = { uid: 65535, gid: 65535 };
const ownNamespaces = ["mount", "network", "ipc", "uts", "pid"].map((type) => ({ type }));

/** What a pod's own sandbox container is made of. */
export interface SandboxRequest {
  /** Where the entries of its root file system stand, on the host. */
  readonly rootPath: string;
  readonly host: SandboxHost;
  /**
   * What the caller says of the pod, as parsed JSON of an OCI specification, unchecked: name, user, kernel settings,
   * namespaces and mappings of ids are taken from it.
   */
  readonly specification?: unknown;
  readonly annotations: { readonly [key: string]: string };
}

/**
 * The specification of the container of type sandbox that the shim makes where nobody brings one. It holds the pod's
 * namespaces and has no rights. Its root is never the VM's: what shares its process namespace sees it at /proc/1/root.
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

/** Without a namespace for mounts there can be no root of its own. */
function withMounts(namespaces: readonly unknown[]): readonly unknown[] {
  return [{ type: "mount" }, ...namespaces.filter((namespace) => fieldsOf(namespace).type !== "mount")];
}

function present(fields: { readonly [field: string]: unknown }): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));
}
