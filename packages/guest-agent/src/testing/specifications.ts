/** Specifications as hosts write them. */
import type { OciProcess, OciSpec } from "@uvm-shim/hcs-schema";

/** CRI's annotation that tells a pod's sandbox container from its others. */
export const containerTypeKey = "io.kubernetes.cri.container-type";
/** CRI's annotation with the id of a container's sandbox. */
export const sandboxIdKey = "io.kubernetes.cri.sandbox-id";
/** The annotation of a sandbox container whose pod has no network. */
export const skipPodNetworkKey = "io.microsoft.cri.skip-pod-networking";
/** The folder of a container in the guest. */
export function bundleOf(id: string): string {
  return `/run/gcs/pods/pod/${id}`;
}

/** Namespaces as containerd writes them for a workload whose sandbox container has this pid. */
export function namespacesOf(sandboxPid: number): readonly { readonly type: string; readonly path?: string }[] {
  return [
    ...["pid", "mount", "cgroup"].map((type) => ({ type })),
    ...[
      ["network", "net"],
      ["ipc", "ipc"],
      ["uts", "uts"],
    ].map(([type = "", name]) => ({ type, path: `/proc/${sandboxPid}/ns/${name}` })),
  ];
}

/** The specification of a container that runs this process. */
export function specificationFor(root: string, process: Partial<OciProcess>, linux: OciSpec["linux"] = {}): OciSpec {
  const capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_RESOURCE", "CAP_NET_RAW"];
  return {
    ociVersion: "1.0.2",
    hostname: "box",
    root: { path: root },
    process: {
      args: ["/bin/sh"],
      cwd: "/",
      env: ["PATH=/bin"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1048576 * 4, soft: 1048576 * 4 }],
      noNewPrivileges: true,
      apparmorProfile: "cri-containerd.apparmor.d",
      oomScoreAdj: -998,
      ...process,
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
      },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
    ],
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount", "network", "cgroup"].map((type) => ({ type })),
      resources: {
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
          { allow: true, type: "c", major: 5, minor: 2, access: "rwm" },
        ],
      },
      sysctl: { "net.ipv4.ip_unprivileged_port_start": "0" },
      maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
      ...linux,
    },
  };
}
